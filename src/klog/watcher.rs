//! Finds the reports in a kernel's log while it is written, and tells those of several callers apart.

use super::block::{Block, Next};
use super::kind::Kind;
use super::line::Line;
use super::pattern;
use std::time::Duration;

/// Reports kept of each kind; more are only counted.
const KEPT_MAX: usize = 16;
/// Blocks under way at once, one for each caller.
const OPEN_MAX: usize = 32;

/// What the kernel reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub kind: Kind,
    /// One line for people: "Kernel panic - not syncing: sysrq triggered crash".
    pub title: String,
    /// The whole block with its call trace, printk's prefixes taken off; at most 32 KiB, lines separated by `\n`.
    pub text: String,
    /// When it began, by the kernel's clock.
    pub at: Option<Duration>,
    /// How often the same was reported; the text is the first one's.
    pub count: u64,
}

/// Reads the console of a guest as it comes and keeps the reports in it.
#[derive(Debug, Default)]
pub struct Watcher {
    /// The blocks under way, the oldest first.
    open: Vec<Block>,
    done: Vec<Done>,
    /// Number of the next block.
    next: u64,
    left_out: u64,
    /// Lines have had printk's prefix, so one without is a program's.
    stamped: bool,
}

#[derive(Debug)]
struct Done {
    number: u64,
    identity: String,
    report: Report,
}

impl Watcher {
    pub fn new() -> Watcher {
        Watcher::default()
    }

    /// Reports that were only counted, as there were too many different ones of their kind.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The end of the log: all reports in the order in which they began.
    pub fn finish(mut self) -> Vec<Report> {
        while !self.open.is_empty() {
            self.close(0);
        }
        self.done.sort_by_key(|done| done.number);
        self.done.into_iter().map(|done| done.report).collect()
    }

    /// The next line.
    pub fn line(&mut self, line: &Line) {
        self.stamped |= line.has_prefix();
        if line.text.starts_with("Linux version ") {
            // Another boot: nothing of the one before goes on.
            while !self.open.is_empty() {
                self.close(0);
            }
            return;
        }
        if self.stamped && !line.has_prefix() && !lost(line.text) {
            return;
        }
        let text = if self.stamped { line.text } else { pattern::panic_within(line.text) };
        let line = Line { text, ..*line };
        if lost(text) {
            self.open.iter_mut().for_each(|block| block.push(text));
            return;
        }
        let Some(at) = self.block_of(&line) else {
            return self.begin(&line);
        };
        let next = self.open[at].line(&line);
        match next {
            Next::More => {}
            Next::Other => self.begin(&line),
            Next::Ended => self.close(at),
            Next::Foreign => {
                self.close(at);
                self.begin(&line);
            }
        }
    }

    /// The block that a line goes on with: its caller's, or one that has asked other processors for their traces.
    fn block_of(&self, line: &Line) -> Option<usize> {
        let own = self.open.iter().position(|block| block.caller() == line.caller);
        own.or_else(|| self.open.iter().position(|block| block.takes_from(line)))
    }

    fn begin(&mut self, line: &Line) {
        let Some(block) = Block::begin(line, self.next) else { return };
        self.next += 1;
        if self.open.len() == OPEN_MAX {
            self.close(0);
        }
        let ended = block.single();
        self.open.push(block);
        if ended {
            self.close(self.open.len() - 1);
        }
    }

    fn close(&mut self, at: usize) {
        let block = self.open.remove(at);
        let number = block.number();
        let Some(report) = block.end() else { return };
        let identity = pattern::identity(&report.title);
        let same = |done: &&mut Done| done.report.kind == report.kind && done.identity == identity;
        if let Some(done) = self.done.iter_mut().find(same) {
            // The same at the same time is the log shown again, by dmesg.
            let again = report.at.is_some() && report.at == done.report.at;
            done.report.count = done.report.count.saturating_add(u64::from(!again));
        } else if self.done.iter().filter(|d| d.report.kind == report.kind).count() < KEPT_MAX {
            self.done.push(Done { number, identity, report });
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

/// printk's own word that messages were dropped comes without a prefix.
fn lost(text: &str) -> bool {
    text.starts_with("** ") && text.ends_with(" printk messages dropped **")
}

#[cfg(test)]
mod tests;
