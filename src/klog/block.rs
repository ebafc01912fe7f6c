//! One report while it is written: what belongs to it, and where it ends.

use super::kind::Kind;
use super::line::{Caller, Line};
use super::pattern::{self, Opening, Shape};
use super::watcher::Report;
use std::time::Duration;

/// Bytes of a report's text.
const TEXT_MAX: usize = 32 << 10;
const TITLE_MAX: usize = 256;
/// Lines before a call trace that are neither indented nor known.
const HEADER_MAX: usize = 120;
/// Lines of anything between the frames of a report.
const FRAME_MAX: usize = 500;
/// Lines between "cut here" and what it is about.
const PRELUDE_MAX: usize = 8;
/// Nothing of a report comes so much later; an NMI backtrace is awaited for 10 s (lib/nmi_backtrace.c).
const GAP: Duration = Duration::from_secs(15);
/// Other processors whose traces a report has asked for.
const GUESTS_MAX: usize = 64;

/// What to do after a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It belongs to the block, and more may come.
    More,
    /// It was the last of the block.
    Ended,
    /// It is none of the block's: the block has ended before.
    Foreign,
    /// It is none of the block's, which goes on.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Only the opening is there.
    Opened(Opening),
    /// Before the call trace.
    Header,
    /// In the call trace and behind it.
    Stack,
    /// Behind "end trace".
    Tail,
}

#[derive(Debug)]
pub struct Block {
    number: u64,
    caller: Option<Caller>,
    guests: Vec<Caller>,
    kind: Option<Kind>,
    shape: Shape,
    phase: Phase,
    title: String,
    text: String,
    cut: u64,
    at: Option<Duration>,
    last: Option<Duration>,
    /// Lines that the phase allows a number of.
    lines: usize,
}

impl Block {
    /// A block that begins with this line, if the line begins one.
    pub fn begin(line: &Line, number: u64) -> Option<Block> {
        let start = pattern::start(line.text);
        let phase = match start {
            Some(_) => Phase::Header,
            None => Phase::Opened(pattern::opening(line.text)?),
        };
        let mut block = Block {
            number,
            caller: line.caller,
            guests: Vec::new(),
            kind: None,
            shape: Shape::Trace,
            phase,
            title: String::new(),
            text: String::new(),
            cut: 0,
            at: line.at,
            last: line.at,
            lines: 0,
        };
        if let Some((kind, shape)) = start {
            block.name(kind, shape, line.text);
        }
        block.push(line.text);
        Some(block)
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn caller(&self) -> Option<Caller> {
        self.caller
    }

    /// Its first line is all of it.
    pub fn single(&self) -> bool {
        self.kind.is_some() && self.shape == Shape::Single
    }

    /// The block has asked other processors what they are doing, and this line is an answer.
    pub fn takes_from(&self, line: &Line) -> bool {
        let Some(caller) = line.caller else { return false };
        let asks = matches!(
            self.kind,
            Some(Kind::RcuStall | Kind::SoftLockup | Kind::HardLockup | Kind::HungTask | Kind::Panic)
        );
        asks && (self.guests.contains(&caller)
            || line.text.starts_with("NMI backtrace for cpu ") && self.guests.len() < GUESTS_MAX)
    }

    pub fn line(&mut self, line: &Line) -> Next {
        if let (Some(last), Some(at)) = (self.last, line.at)
            && at.saturating_sub(last) > GAP
        {
            return Next::Foreign;
        }
        self.last = line.at.or(self.last);
        match line.caller {
            Some(caller) if self.caller != line.caller => self.guest(caller, line.text),
            _ => self.own(line.text),
        }
    }

    fn guest(&mut self, caller: Caller, text: &str) -> Next {
        if pattern::belongs(text) && pattern::start(text).is_none() {
            if !self.guests.contains(&caller) {
                self.guests.push(caller);
            }
            self.push(text);
            return Next::More;
        }
        self.guests.retain(|g| *g != caller);
        Next::Other
    }

    fn own(&mut self, text: &str) -> Next {
        let start = pattern::start(text);
        if let Phase::Opened(opening) = self.phase {
            return self.opened(opening, start, text);
        }
        if start.is_some_and(|(kind, _)| !self.continues(kind)) {
            return Next::Foreign;
        }
        let opening = pattern::opening(text);
        match (self.shape, opening) {
            (Shape::Frame, Some(Opening::Rule)) => {
                self.push(text);
                return Next::Ended;
            }
            (Shape::Panic, _) | (_, None) => {}
            _ => return Next::Foreign,
        }
        self.body(text)
    }

    /// The second line of what began with "cut here" and the like, or the one that says at last what it is.
    fn opened(&mut self, opening: Opening, start: Option<(Kind, Shape)>, text: &str) -> Next {
        if let Some((kind, shape)) = start {
            // The opening was not for a panic; the oom-killer's is for its own kill only.
            if kind == Kind::Panic || (opening == Opening::OomKiller) != (kind == Kind::Oom) {
                return Next::Foreign;
            }
            self.phase = Phase::Header;
            self.lines = 0;
            self.name(kind, shape, text);
            self.push(text);
            return if shape == Shape::Single { Next::Ended } else { Next::More };
        }
        self.lines += 1;
        let ended = match opening {
            Opening::CutHere => self.lines > PRELUDE_MAX || pattern::end_trace(text),
            Opening::Rule => true,
            Opening::OomKiller => text.starts_with("Memory cgroup out of memory"),
        };
        if ended || (opening != Opening::OomKiller && pattern::opening(text).is_some()) {
            return Next::Foreign;
        }
        self.push(text);
        Next::More
    }

    /// A second headline of the same report: "kernel BUG at" has "invalid opcode" behind it, a WARN() with a message
    /// of its own kind its "WARNING:".
    fn continues(&self, kind: Kind) -> bool {
        let named = matches!(kind, Kind::Warning | Kind::Bug) && self.text.contains("[ cut here ]");
        self.phase == Phase::Header && (named || kind == Kind::Oops && self.kind == Some(Kind::Oops))
    }

    fn body(&mut self, text: &str) -> Next {
        if pattern::end_panic(text) && self.shape == Shape::Panic {
            self.push(text);
            return Next::Ended;
        }
        if pattern::end_trace(text) && self.phase != Phase::Tail {
            self.push(text);
            self.phase = Phase::Tail;
            return if self.shape == Shape::Oops { Next::More } else { Next::Ended };
        }
        if pattern::call_trace(text) && self.phase == Phase::Header {
            self.phase = Phase::Stack;
        }
        self.name_further(text);
        let mine = match (self.shape, self.phase) {
            (Shape::Single, _) => false,
            (_, Phase::Tail) => pattern::registers(text),
            (Shape::Frame, _) => self.within(FRAME_MAX, true),
            (Shape::Panic, _) => self.within(FRAME_MAX, true),
            (Shape::Trace | Shape::Oops, Phase::Header) => self.within(HEADER_MAX, !pattern::belongs(text)),
            _ => pattern::belongs(text),
        };
        if !mine {
            return Next::Foreign;
        }
        self.push(text);
        Next::More
    }

    /// Takes one of a number of lines, if this is such a line.
    fn within(&mut self, max: usize, counts: bool) -> bool {
        self.lines += usize::from(counts);
        self.lines <= max
    }

    fn name(&mut self, kind: Kind, shape: Shape, text: &str) {
        self.kind = Some(kind);
        self.shape = shape;
        self.title = cut(pattern::title(text), TITLE_MAX).into();
    }

    /// Where it happened, if the headline does not say so.
    fn name_further(&mut self, text: &str) {
        let more = match self.kind {
            Some(Kind::Oops | Kind::SoftLockup | Kind::HardLockup) if !self.title.contains("+0x") => {
                pattern::place(text).map(|place| format!(" in {place}"))
            }
            // kernel/locking/lockdep.c, lockdep_rcu_suspicious.
            Some(Kind::Lockdep) if self.title.ends_with("suspicious RCU usage") && text.ends_with('!') => {
                Some(format!(": {text}"))
            }
            _ => None,
        };
        if let Some(more) = more {
            self.title.push_str(&more);
            self.title.truncate(cut(&self.title, TITLE_MAX).len());
        }
    }

    /// Adds a line to the text, as far as there is room.
    pub fn push(&mut self, text: &str) {
        if self.cut > 0 || self.text.len() + text.len() >= TEXT_MAX {
            self.cut = self.cut.saturating_add(1);
            return;
        }
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// The report, unless nothing came of it.
    pub fn end(mut self) -> Option<Report> {
        let kind = self.kind?;
        self.text.truncate(self.text.trim_end().len());
        if self.cut > 0 {
            self.text.push_str(&format!("\n[{} more lines]", self.cut));
        }
        Some(Report { kind, title: self.title, text: self.text, at: self.at, count: 1 })
    }
}

/// At most `max` bytes, whole characters.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}
