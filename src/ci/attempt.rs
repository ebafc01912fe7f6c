//! One boot done once: the child, its three streams, and what is seen in them.

use super::command::{Ends, arguments, quoted};
use super::file::Ktap;
use super::matrix::Boot;
use super::record::{Lines, Piece, Record, Stream};
use super::text::{SHOWN, clean, short};
use super::told::{REPORTS, Report, Told};
use crate::klog::{self, Watcher};
use crate::ktap;
use crate::sys::{EventFd, Poll, Token, child};
use anyhow::{Context, Result};
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// After its own time-out, how long a child may take to end.
const GRACE: Duration = Duration::from_secs(20);
/// How long a child that was asked to end may take.
const MANNERS: Duration = Duration::from_secs(2);
/// After a child's end, the most that is read of what it left in its pipes: somebody else may hold them open.
const LEFT: usize = 8 << 20;

/// How children are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// kiln.
    pub program: PathBuf,
    /// Where paths of the file are relative to.
    pub dir: PathBuf,
}

/// Where one attempt leaves what it has to say. Absolute paths.
#[derive(Debug, Clone)]
pub struct Places {
    pub log: PathBuf,
    pub result: PathBuf,
}

/// What was seen of one attempt.
#[derive(Debug)]
pub struct Seen {
    pub time: Duration,
    pub end: End,
    pub reports: Vec<Report>,
    pub ktap: Option<ktap::Results>,
    /// What `expect.output` and `expect.log` want has appeared.
    pub output: bool,
    pub log: bool,
    /// The last lines of all streams.
    pub tail: Vec<String>,
}

#[derive(Debug)]
pub enum End {
    /// What was awaited is there.
    Awaited,
    Told(Told),
    /// kiln failed; why.
    Broken(String),
    /// kiln ci is to end.
    Interrupted,
}

const OUT: Token = 0;
const ERR: Token = 1;
const LOG: Token = 2;
const CHILD: Token = 3;
const BELL: Token = 4;

/// Does `boot` once. `show` is given the last line now and then. Errors: the log cannot be written, no child can be started.
pub fn attempt(launcher: &Launcher, boot: &Boot, places: &Places, bell: &EventFd, show: &dyn Fn(&str)) -> Result<Seen> {
    let mut record = Record::create(&places.log)?;
    remove(&places.result)?;
    let start = Instant::now();
    let (out, out_end) = std::io::pipe().context("make a pipe")?;
    let (err, err_end) = std::io::pipe().context("make a pipe")?;
    let (log, log_end) = std::io::pipe().context("make a pipe")?;
    let arguments = arguments(boot, Some(Ends { klog: log_end.as_raw_fd(), result: &places.result }));
    record.note(Duration::ZERO, &format!("kiln {}", quoted(&arguments)))?;
    let mut command = Command::new(&launcher.program);
    command.args(arguments).current_dir(&launcher.dir);
    command.stdin(Stdio::null()).stdout(out_end).stderr(err_end);
    let child = child::spawn_tied(&mut command, log_end.as_fd());
    let child = child.with_context(|| format!("start {}", launcher.program.display()))?;
    // With them go our own ends of the pipes.
    drop((command, log_end));
    let mut ear = Ear::new(boot, record, start, [out, err, log]);
    let mut child = Guest(child);
    let (end, status) = ear.listen(boot, &mut child, bell, show)?;
    ear.conclude(places, end, status)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context(format!("remove {}", path.display())),
        _ => Ok(()),
    }
}

/// The child is gone when this is.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        // A child that was waited for has a status, and its number may be another's.
        if matches!(self.0.try_wait(), Ok(None)) {
            child::kill(&self.0);
            let _ = self.0.wait();
        }
    }
}

/// Why listening ended.
enum Stop {
    Ended,
    Awaited,
    Interrupted,
    Overdue,
}

/// Reads the child's streams and looks for what matters.
struct Ear<'a> {
    boot: &'a Boot,
    record: Record,
    start: Instant,
    pipes: [Option<PipeReader>; 3],
    lines: [Lines; 3],
    ktap: Option<ktap::Parser>,
    watcher: Watcher,
    output: bool,
    log: bool,
    awaited: bool,
    last: String,
    /// The last line of stderr: a child that leaves no result has said there why.
    complaint: String,
    shown: Option<Instant>,
}

impl<'a> Ear<'a> {
    fn new(boot: &'a Boot, record: Record, start: Instant, pipes: [PipeReader; 3]) -> Ear<'a> {
        Ear {
            boot,
            record,
            start,
            pipes: pipes.map(Some),
            lines: Default::default(),
            ktap: boot.what.ktap.map(|_| ktap::Parser::new()),
            watcher: Watcher::new(),
            output: false,
            log: false,
            awaited: false,
            last: String::new(),
            complaint: String::new(),
            shown: None,
        }
    }

    /// Until the child has ended, by itself or by us, and all it wrote has been read.
    fn listen(
        &mut self,
        boot: &Boot,
        child: &mut Guest,
        bell: &EventFd,
        show: &dyn Fn(&str),
    ) -> Result<(Stop, ExitStatus)> {
        let poll = Poll::new().context("make an epoll")?;
        for (pipe, token) in self.pipes.iter().flatten().zip([OUT, ERR, LOG]) {
            poll.add(pipe.as_fd(), token).context("watch a pipe")?;
        }
        let ending = child::ending(&child.0).context("watch a child")?;
        poll.add(ending.as_fd(), CHILD).context("watch a child")?;
        poll.add_event(bell, BELL).context("watch for signals")?;
        let overdue = self.start + boot.timeout() + GRACE;
        let mut ready = Vec::new();
        let mut stop = None;
        let mut ended = false;
        while !ended && stop.is_none() {
            let left = overdue.saturating_duration_since(Instant::now());
            poll.wait(&mut ready, Some(left + Duration::from_millis(1))).context("wait for a child")?;
            for token in &ready {
                match *token {
                    CHILD => ended = true,
                    BELL => stop = Some(Stop::Interrupted),
                    stream => {
                        self.read(&poll, stream)?;
                    }
                }
            }
            if self.awaited {
                stop = Some(Stop::Awaited);
            } else if Instant::now() >= overdue {
                stop.get_or_insert(Stop::Overdue);
            }
            self.record.flush()?;
            self.show(show);
        }
        poll.remove(bell_fd(bell)).context("watch for signals")?;
        if !ended {
            child::terminate(&child.0);
            let patience = Instant::now() + MANNERS;
            while !ended && Instant::now() < patience {
                let left = patience.saturating_duration_since(Instant::now());
                poll.wait(&mut ready, Some(left)).context("wait for a child")?;
                for token in &ready {
                    if *token == CHILD { ended = true } else { self.read(&poll, *token).map(drop)? }
                }
            }
            child::kill(&child.0);
        }
        let status = child.0.wait().context("wait for a child")?;
        self.drain(&poll, &mut ready)?;
        Ok((stop.unwrap_or(Stop::Ended), status))
    }

    /// What is still in the pipes.
    fn drain(&mut self, poll: &Poll, ready: &mut Vec<Token>) -> Result<()> {
        let mut taken = 0;
        loop {
            poll.wait(ready, Some(Duration::ZERO)).context("wait for a child")?;
            ready.retain(|t| *t != CHILD);
            if ready.is_empty() || taken > LEFT {
                break;
            }
            for token in ready.iter() {
                taken += self.read(poll, *token)?;
            }
        }
        for (token, stream) in [(OUT, Stream::Out), (ERR, Stream::Err), (LOG, Stream::Log)] {
            let mut lines = self.lines.get_mut(token as usize).map(std::mem::take).unwrap_or_default();
            lines.finish(&mut |at, piece| self.line(at, stream, piece))?;
        }
        Ok(())
    }

    /// Takes in what one stream has; the pipe is readable, so nothing waits.
    fn read(&mut self, poll: &Poll, token: Token) -> Result<usize> {
        let stream = match token {
            OUT => Stream::Out,
            ERR => Stream::Err,
            _ => Stream::Log,
        };
        let index = token as usize;
        let Some(Some(pipe)) = self.pipes.get_mut(index) else { return Ok(0) };
        let mut buffer = [0; 16 << 10];
        let n = match pipe.read(&mut buffer) {
            Ok(n) if n > 0 => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => return Ok(0),
            // Its end, or nothing that could be done about it.
            _ => {
                poll.remove(pipe.as_fd()).context("watch a pipe")?;
                if let Some(pipe) = self.pipes.get_mut(index) {
                    *pipe = None;
                }
                return Ok(0);
            }
        };
        let at = self.start.elapsed();
        let mut lines = self.lines.get_mut(index).map(std::mem::take).unwrap_or_default();
        lines.feed(at, buffer.get(..n).unwrap_or_default(), &mut |at, piece| self.line(at, stream, piece))?;
        // A prompt has no end of line.
        if stream == Stream::Out && !lines.partial().is_empty() {
            self.look_for_awaited(&clean(lines.partial()));
        }
        if let Some(place) = self.lines.get_mut(index) {
            *place = lines;
        }
        Ok(n)
    }

    fn line(&mut self, at: Duration, stream: Stream, piece: Piece<'_>) -> Result<()> {
        let text = self.record.line(at, stream, piece)?;
        // `kiln run` has but a console, where the kernel log is, too.
        let console = !self.boot.has_command() && stream == Stream::Out;
        let is_log = stream == Stream::Log || console;
        let expect = &self.boot.what.expect;
        if is_log {
            self.watcher.line(&klog::Line::parse(&text));
            self.log |= expect.log.as_ref().is_some_and(|re| re.value.is_match(&text));
        }
        if stream == Stream::Out || stream == Stream::Err {
            self.output |= expect.output.as_ref().is_some_and(|re| re.value.is_match(&text));
        }
        let results = match self.boot.what.ktap {
            Some(Ktap::Log) => is_log,
            Some(Ktap::Output) => stream == Stream::Out,
            None => false,
        };
        if let Some(parser) = self.ktap.as_mut().filter(|_| results) {
            parser.line(if stream == Stream::Out && !console { &text } else { klog::message(&text) });
        }
        if stream == Stream::Out {
            self.look_for_awaited(&text);
        }
        if stream == Stream::Err && !text.trim().is_empty() {
            self.complaint = short(&text, SHOWN);
        }
        self.last = text;
        Ok(())
    }

    fn look_for_awaited(&mut self, text: &str) {
        self.awaited |= self.boot.what.r#await.as_ref().is_some_and(|re| re.value.is_match(text));
    }

    /// The last line, at most ten times a second: more cannot be read.
    fn show(&mut self, show: &dyn Fn(&str)) {
        let now = Instant::now();
        if self.shown.is_none_or(|at| now.duration_since(at) > Duration::from_millis(100)) && !self.last.is_empty() {
            show(&short(&self.last, SHOWN));
            self.shown = Some(now);
        }
    }

    fn conclude(mut self, places: &Places, stop: Stop, status: ExitStatus) -> Result<Seen> {
        let time = self.start.elapsed();
        let told = Told::read(&places.result);
        let end = match stop {
            Stop::Awaited => End::Awaited,
            Stop::Interrupted => End::Interrupted,
            Stop::Overdue => End::Broken(format!("did not end {} s after its time-out", GRACE.as_secs())),
            Stop::Ended => match told {
                Ok(told) if status.code() == Some(i32::from(told.status)) => End::Told(told),
                Ok(told) => End::Broken(format!("{}, but told of status {}", how(status), told.status)),
                Err(e) => {
                    let said = if self.complaint.is_empty() { String::new() } else { format!(": {}", self.complaint) };
                    match std::fs::exists(&places.result) {
                        Ok(true) => End::Broken(format!("{}, and left a result that is wrong: {e:#}", how(status))),
                        _ => End::Broken(format!("{} and left no result{said}", how(status))),
                    }
                }
            },
        };
        remove(&places.result)?;
        let mut reports: Vec<Report> = self.watcher.finish().into_iter().take(REPORTS).map(Report::from).collect();
        if let End::Told(told) = &end
            && !told.reports.is_empty()
        {
            reports = told.reports.clone();
        }
        let note = match &end {
            End::Awaited => "what was awaited is there".to_string(),
            End::Interrupted => "interrupted".to_string(),
            End::Broken(why) => format!("kiln {why}"),
            End::Told(told) => format!("ended: {}, status {}", told.ended.word(), told.status),
        };
        self.record.note(time, &note)?;
        self.record.flush()?;
        Ok(Seen {
            time,
            end,
            reports,
            ktap: self.ktap.map(ktap::Parser::finish),
            output: self.output,
            log: self.log,
            tail: self.record.into_tail(),
        })
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (_, Some(signal)) => format!("was killed by signal {signal}"),
        _ => "ended".to_string(),
    }
}

fn bell_fd(bell: &EventFd) -> std::os::fd::BorrowedFd<'_> {
    crate::sys::fd::of(bell)
}

#[cfg(test)]
mod tests;
