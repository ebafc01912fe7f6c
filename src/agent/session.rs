//! The host's end of the channel: gives the guest its job, carries the command's streams, and says how it ended. A
//! channel that closes, stalls the rules or lies never reads as success.
//!
//! ```text
//! standard input ──▶ Input (thread) ──┐                    ┌──▶ Outlet (thread) ──▶ standard output
//!                                     ├──▶ conversation ───┤
//! signals, resizes ───────────────────┘   (thread) ◀──▶    └──▶ Outlet (thread) ──▶ standard error
//!                                          channel
//! ```

mod conversation;
mod input;
mod order;
mod outlet;

use super::job::{self, Job};
use super::protocol::Key;
use crate::sys::{EventFd, Lock, eventfd, random, signal, term};
use anyhow::{Context, Result, ensure};
use conversation::Conversation;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The host's side of the command's streams. Their O_NONBLOCK flags are left alone.
pub struct Streams {
    /// `None`: end of file at once.
    pub stdin: Option<OwnedFd>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// How a session ended, and kiln's exit status for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The command's own. 0 only if it said so, and all it wrote was written here.
    Exited(u8),
    /// 128 and the number of the signal that killed it. Also what it would have been killed by here: SIGPIPE, if the
    /// reader of its output went away before all was written.
    Signalled(u8),
    /// 127.
    NotFound(String),
    /// 126.
    NotRunnable(String),
    /// 125: the agent, or writing here, failed.
    Failed(String),
    /// 125: the channel closed, or what came through it cannot be.
    Lost(String),
}

/// What the agent said of its kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// `uname -r`, fit for a terminal.
    pub release: String,
    /// /sys/kernel/vmcoreinfo: address and size of the VMCOREINFO note; may be empty.
    pub vmcoreinfo: Vec<u8>,
}

/// When the session got where: by kiln's clock, and as the guest says, since its boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    pub hello: Option<Instant>,
    pub started: Option<Instant>,
    pub ended: Option<Instant>,
    pub guest_hello: Option<Duration>,
    pub guest_started: Option<Duration>,
    pub guest_ended: Option<Duration>,
}

/// A running session. Dropped, it is stopped.
pub struct Session(Arc<Shared>);

struct Shared {
    /// Rings when there is something to say or to do.
    bell: Arc<EventFd>,
    stopped: AtomicBool,
    /// Bit n-1: signal n is to be sent.
    signals: AtomicU64,
    /// The command is to hear of the terminal's size.
    resized: AtomicBool,
    seen: Lock<(Times, Option<Hello>)>,
}

impl Session {
    /// Starts talking to the agent at the other end of `channel`, which may not be there yet. `on_end` is called once, from
    /// another thread, when all is over and written, or never if the session is stopped first.
    pub fn start(
        channel: UnixStream,
        job: &Job,
        streams: Streams,
        on_end: Box<dyn FnOnce(End) + Send>,
    ) -> Result<Session> {
        let mut key = Key::default();
        random(&mut key).context("make a key for the guest's agent")?;
        let encoded = job.encode(&key);
        ensure!(encoded.len() <= job::MAX, "arguments and environment are too long: more than {} MiB", job::MAX >> 20);
        channel.set_nonblocking(true).context("set up the channel to the guest's agent")?;
        let bell = Arc::new(eventfd()?);
        let shared = Arc::new(Shared {
            bell,
            stopped: AtomicBool::new(false),
            signals: AtomicU64::new(0),
            // In case it changed before anybody watched.
            resized: AtomicBool::new(true),
            seen: Lock::default(),
        });
        let resized = match &job.terminal {
            Some(_) => Some((terminal_of(&streams)?, signal::on_resize().context("watch the terminal's size")?)),
            None => None,
        };
        let conversation = Conversation::new(shared.clone(), channel, (key, encoded), streams, resized);
        let body = move || conversation.run(on_end);
        thread::Builder::new()
            .name("exec".into())
            .stack_size(128 << 10)
            .spawn(body)
            .context("start the thread that talks to the guest's agent")?;
        Ok(Session(shared))
    }

    /// Sends signal `number` (1 to 64) to the command's process group, once it runs.
    pub fn signal(&self, number: u8) {
        if let Some(bit) = number.checked_sub(1).filter(|bit| *bit < 64) {
            self.0.signals.fetch_or(1 << bit, Ordering::SeqCst);
            let _ = self.0.bell.write(1);
        }
    }

    /// As SIGWINCH does, which a test cannot send to itself alone.
    #[cfg(test)]
    pub fn resized(&self) {
        self.0.resized.store(true, Ordering::SeqCst);
        let _ = self.0.bell.write(1);
    }

    pub fn times(&self) -> Times {
        self.0.seen.lock().0
    }

    /// `None` before the agent has spoken.
    pub fn hello(&self) -> Option<Hello> {
        self.0.seen.lock().1.clone()
    }

    /// Ends it: no more input is read, no output written, `on_end` not called if it was not yet. Threads that are in the
    /// middle of a write that does not get on end when it does.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        let _ = self.0.bell.write(1);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The stream that knows the size of the terminal.
fn terminal_of(streams: &Streams) -> Result<Option<OwnedFd>> {
    let all = [streams.stdin.as_ref(), Some(&streams.stdout), Some(&streams.stderr)];
    let sized = all.into_iter().flatten().find(|fd| term::size(fd.as_fd()).is_some());
    sized.map(|fd| fd.try_clone()).transpose().context("copy the terminal's descriptor")
}

#[cfg(test)]
mod tests;
