//! While the command runs: its streams to and from the channel, its end, and what it leaves behind. One thread, no
//! allocation and no new process, so that a guest without memory or process ids still says how the command ended.

mod streams;

use super::channel::{Channel, Trouble};
use super::command::Command;
use super::protocol::{CREDIT_STEP, Ending, Exit, Key, Stream, ToGuest, ToHost, seal};
use crate::sys::process::{self, Ended};
use crate::sys::readiness::{self, Watch};
use crate::sys::{pid1, pty};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use streams::{Feed, Tap};

/// How long what the command started may write on after its end: `> >(tee log)` of a shell has to get to its end.
const GRACE: Duration = Duration::from_millis(500);
/// How long killed processes may hold a stream open; longer ones hang in the kernel.
const LINGER: Duration = Duration::from_secs(2);
/// The host takes the last frames in no time, or never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells of ended children.
pub enum Children {
    /// We are process 1, and every orphan's parent.
    All(File),
    /// Of the command alone.
    One(OwnedFd),
}

/// Where the session is after the command's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// Others may still write.
    Grace(Instant),
    /// They were killed.
    Killed(Instant),
    /// They hold on to their streams: what is there is the rest.
    Abandoned,
}

struct Relay<'a> {
    channel: &'a mut Channel,
    children: Children,
    pid: libc::pid_t,
    ended: Option<(Ended, u64)>,
    phase: Phase,
    stdin: Feed,
    taps: [Tap; 2],
    terminal: bool,
}

/// Runs the session from the command's start to its end. `sync` is to write back what it wrote.
pub fn run(
    channel: &mut Channel,
    command: Command,
    children: Children,
    terminal: bool,
    key: &Key,
    sync: impl FnOnce() -> Result<(), String>,
) -> Result<(), Trouble> {
    let taps = [Tap::new(Some(command.out)), Tap::new(command.err)];
    let stdin = Feed::new(command.stdin, terminal);
    let mut relay =
        Relay { channel, children, pid: command.pid, ended: None, phase: Phase::Running, stdin, taps, terminal };
    let result = relay.until_the_end();
    relay.kill();
    let (ended, uptime_ns) = result?;
    sync().map_err(Trouble::Failed)?;
    let ending = match ended {
        Ended::Code(code) => Ending::Code(code),
        Ended::Signal(number) => Ending::Signal(number),
    };
    let mut exit = Exit { ending, uptime_ns, totals: [relay.taps[0].sent, relay.taps[1].sent], seal: 0 };
    exit.seal = seal(key, &exit.sealed_part());
    relay.channel.say(&ToHost::Exit(exit));
    relay.channel.settle(PATIENCE).map(drop)
}

impl Relay<'_> {
    fn until_the_end(&mut self) -> Result<(Ended, u64), Trouble> {
        self.channel.say(&ToHost::Started { uptime_ns: pid1::uptime_ns() });
        if self.taps[1].is_ended() {
            self.channel.say(&ToHost::End(Stream::Err));
        }
        loop {
            self.channel.flush()?;
            if let Some(end) = self.ended
                && self.taps.iter().all(Tap::is_ended)
            {
                return Ok(end);
            }
            self.turn()?;
            self.advance();
        }
    }

    /// Waits for something to do, and does it.
    fn turn(&mut self) -> Result<(), Trouble> {
        let timeout = match self.phase {
            Phase::Grace(until) | Phase::Killed(until) => Some(until.saturating_duration_since(Instant::now())),
            Phase::Running | Phase::Abandoned => None,
        };
        let has_room = self.channel.outgoing.room() >= streams::PIECE;
        let children = match &self.children {
            Children::All(fd) => Watch::new(fd.as_fd(), true, false),
            Children::One(_) if self.ended.is_some() => Watch::NONE,
            Children::One(fd) => Watch::new(fd.as_fd(), true, false),
        };
        let [out, err] = &self.taps;
        let mut watches =
            [self.channel.watch(), children, out.watch(has_room), err.watch(has_room), self.stdin.watch()];
        // What is left of an abandoned stream is there, or never will be.
        let at_once = self.phase == Phase::Abandoned && has_room && self.taps.iter().any(Tap::may_send);
        let timeout = if at_once { Some(Duration::ZERO) } else { timeout };
        readiness::wait(&mut watches, timeout).map_err(|e| Trouble::Failed(format!("wait for the command: {e}")))?;
        let [channel, children, out, err, stdin] = watches.map(|w| w.ready());
        if children {
            self.reap();
        }
        if channel {
            self.hear()?;
        }
        let abandoned = self.phase == Phase::Abandoned;
        for (stream, ready) in Stream::ALL.into_iter().zip([out, err]) {
            if let Some(tap) = self.taps.get_mut(stream.index())
                && (ready || abandoned)
            {
                tap.pump(stream, self.channel, abandoned);
            }
        }
        if stdin {
            self.stdin.pump();
        }
        self.answer_stdin();
        Ok(())
    }

    /// Tells the host what became of its standard input.
    fn answer_stdin(&mut self) {
        let credit = self.stdin.credit(CREDIT_STEP);
        if credit > 0 {
            self.channel.say(&ToHost::Credit(credit));
        }
        if self.stdin.closed_by_command() {
            self.channel.say(&ToHost::StdinClosed);
        }
    }

    fn hear(&mut self) -> Result<(), Trouble> {
        self.channel.hear()?;
        let (stdin, taps, pid, terminal) = (&mut self.stdin, &mut self.taps, self.pid, self.terminal);
        // A process id that was reaped may be somebody else's.
        let group = self.ended.is_none().then_some(pid);
        let mut closed = [false; 2];
        loop {
            let heard = self.channel.next(|frame| match frame {
                ToGuest::Stdin(data) => stdin.take(data),
                ToGuest::StdinEnd => stdin.end(),
                ToGuest::Resize { columns, rows } => {
                    if let Some(terminal) = taps[0].file().filter(|_| terminal) {
                        let _ = pty::resize(terminal, columns, rows);
                    }
                    Ok(())
                }
                ToGuest::Signal(number) => {
                    if let Some(group) = group {
                        process::kill_group(Some(group), i32::from(number));
                    }
                    Ok(())
                }
                ToGuest::Credit(stream, bytes) => taps[stream.index()].give(bytes),
                ToGuest::Close(stream) => {
                    closed[stream.index()] = true;
                    Ok(())
                }
                ToGuest::Job(_) | ToGuest::JobEnd => Err("a second job"),
            })?;
            match heard {
                Some(result) => result.map_err(|what| Trouble::Failed(format!("the host sent {what}")))?,
                None => break,
            }
        }
        for stream in Stream::ALL {
            if closed[stream.index()] {
                self.taps[stream.index()].end(stream, self.channel);
            }
        }
        if closed[Stream::Out.index()] && self.terminal {
            // A terminal whose user went away is hung up.
            self.stdin.drop_it();
        }
        // At once: the command may be waiting for it.
        self.stdin.pump();
        Ok(())
    }

    fn reap(&mut self) {
        let only = match &mut self.children {
            Children::All(signals) => {
                // One read may take several; what it says is not looked at.
                let mut siginfo = [0; 1024];
                let _ = signals.read(&mut siginfo);
                None
            }
            Children::One(_) => Some(self.pid),
        };
        while let Some((pid, ended)) = process::reap(only) {
            if pid == self.pid && self.ended.is_none() {
                self.ended = Some((ended, pid1::uptime_ns()));
                self.phase = Phase::Grace(Instant::now() + GRACE);
            }
            if only.is_some() {
                break;
            }
        }
    }

    fn advance(&mut self) {
        let now = Instant::now();
        match self.phase {
            Phase::Grace(until) if until <= now => {
                self.kill();
                self.phase = Phase::Killed(now + LINGER);
            }
            Phase::Killed(until) if until <= now => self.phase = Phase::Abandoned,
            _ => {}
        }
    }

    /// Ends every process that the command has left behind.
    fn kill(&self) {
        match self.children {
            Children::All(_) => process::kill_group(None, libc::SIGKILL),
            Children::One(_) => process::kill_group(Some(self.pid), libc::SIGKILL),
        }
    }
}
