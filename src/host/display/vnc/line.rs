//! The bytes of one client: what it sent and was not understood yet, and what it has not taken yet.

use super::Wire;
use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, fd};
use anyhow::{Context, Result, bail, ensure};
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// Bytes read before they are looked at.
const PIECE: usize = 16 << 10;
const PIECES: usize = 4;

pub struct Line {
    wire: Box<dyn Wire>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Of the outbox.
    sent: usize,
    /// The wire keeps something that it could not send.
    kept: bool,
}

/// What woke one who waited.
#[derive(Debug, Default, Clone, Copy)]
pub struct Woken {
    pub stop: bool,
    pub input: bool,
    /// The second bell.
    pub cut: bool,
}

impl Line {
    pub fn new(wire: Box<dyn Wire>) -> Line {
        Line { wire, inbox: Vec::new(), outbox: Vec::new(), sent: 0, kept: false }
    }

    /// Reads what there is, up to 64 KiB. False: that was all. An error: the peer has gone.
    pub fn receive(&mut self) -> io::Result<bool> {
        let mut buf = [0; PIECE];
        for _ in 0..PIECES {
            match self.wire.read(&mut buf) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.inbox.extend_from_slice(buf.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    pub fn unread(&self) -> &[u8] {
        &self.inbox
    }

    pub fn took(&mut self, bytes: usize) {
        self.inbox.drain(..bytes.min(self.inbox.len()));
        if self.inbox.is_empty() && self.inbox.capacity() > PIECE * PIECES {
            self.inbox = Vec::new();
        }
    }

    /// What is put here goes to the peer with the next [`Line::push`].
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// Bytes that the peer has not taken.
    pub fn backlog(&self) -> usize {
        self.outbox.len() - self.sent + usize::from(self.kept)
    }

    /// Sends what the peer takes now.
    pub fn push(&mut self) -> io::Result<()> {
        loop {
            let rest = self.outbox.get(self.sent..).unwrap_or_default();
            let done = if rest.is_empty() { self.wire.flush().map(|()| 0) } else { self.wire.write(rest) };
            match done {
                Ok(n) if n > 0 => {
                    self.sent += n;
                    if self.sent >= self.outbox.len() {
                        self.outbox.clear();
                        self.sent = 0;
                    }
                }
                Ok(_) => {
                    self.kept = false;
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.kept = true;
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Sleeps until there is something to do: input if that is wanted, room for output if there is any, a bell if
    /// some are given.
    pub fn wait(&self, stop: &EventFd, input: bool, bells: [Option<Watch<'_>>; 2], limit: Option<Duration>) -> Result<Woken> {
        let output = self.backlog() > 0;
        let wire = Watch::new(self.wire.fd(), input, output);
        let [one, two] = bells;
        let mut watches = [Watch::new(fd::of(stop), true, false), wire, one.unwrap_or(Watch::NONE), two.unwrap_or(Watch::NONE)];
        readiness::wait(&mut watches, limit).context("wait for a viewer")?;
        let [stop, wire, _, cut] = &watches;
        // Who hangs up while nothing is read from it would be waited for in a circle.
        ensure!(input || !wire.gone(), "it hung up");
        Ok(Woken { stop: stop.ready(), input: wire.readable() || wire.gone(), cut: cut.ready() })
    }

    /// The next `len` bytes of a greeting, at `until` the latest. What is in the outbox is sent first.
    pub fn need(&mut self, len: usize, until: Instant, stop: &EventFd) -> Result<Vec<u8>> {
        while self.inbox.len() < len {
            self.push()?;
            let more = self.receive()?;
            // Under TLS what is read may have to be answered at once.
            self.push()?;
            if more || self.inbox.len() >= len {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "it did not finish its greeting in time");
            if self.wait(stop, true, [None, None], Some(left))?.stop {
                bail!("the guest has ended");
            }
        }
        let bytes = self.inbox.get(..len).unwrap_or_default().to_vec();
        self.took(len);
        Ok(bytes)
    }

    /// Sends all that is in the outbox, at `until` the latest.
    pub fn send_all(&mut self, until: Instant, stop: &EventFd) -> Result<()> {
        self.push()?;
        while self.backlog() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "it did not take its greeting in time");
            if self.wait(stop, false, [None, None], Some(left))?.stop {
                bail!("the guest has ended");
            }
            self.push()?;
        }
        Ok(())
    }

    /// Puts another wire around the wire. What came before it must have been understood: nobody may slip in words
    /// ahead of an encrypted session.
    pub fn wrap(self, wrap: impl FnOnce(Box<dyn Wire>) -> Result<Box<dyn Wire>>) -> Result<Line> {
        ensure!(self.inbox.is_empty() && self.backlog() == 0, "it spoke out of turn");
        Ok(Line::new(wrap(self.wire)?))
    }

    pub fn near(&self) -> bool {
        self.wire.near()
    }
}
