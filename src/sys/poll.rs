//! Waiting for several file descriptors at once (epoll, level triggered), each known by a token.

use super::EventFd;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

/// What [`Poll::wait`] says about a descriptor: the number it was added with.
pub type Token = u64;

pub struct Poll(Epoll);

impl Poll {
    pub fn new() -> io::Result<Poll> {
        Ok(Poll(Epoll::new()?))
    }

    /// Watch `fd` for input. The caller removes it before it is closed.
    pub fn add(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.0.ctl(ControlOperation::Add, fd.as_raw_fd(), EpollEvent::new(EventSet::IN, token))
    }

    /// The same for an eventfd: readable while its counter is not zero.
    pub fn add_event(&self, event: &EventFd, token: Token) -> io::Result<()> {
        self.0.ctl(ControlOperation::Add, event.as_raw_fd(), EpollEvent::new(EventSet::IN, token))
    }

    /// An eventfd whose every signal counts, and whose counter nobody looks at (edge triggered): so nobody has to read it.
    pub fn add_signal(&self, event: &EventFd, token: Token) -> io::Result<()> {
        let events = EventSet::IN | EventSet::EDGE_TRIGGERED;
        self.0.ctl(ControlOperation::Add, event.as_raw_fd(), EpollEvent::new(events, token))
    }

    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.ctl(ControlOperation::Delete, fd.as_raw_fd(), EpollEvent::default())
    }

    /// Fills `ready` with the tokens of readable descriptors (also those in error or hung up).
    /// Returns with none after `timeout`; without one it waits for ever.
    pub fn wait(&self, ready: &mut Vec<Token>, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = [EpollEvent::default(); 16];
        let ms = timeout.map_or(-1, |t| t.as_millis().min(i32::MAX as u128) as i32);
        let n = loop {
            match self.0.wait(ms, &mut events) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => break other?,
            }
        };
        ready.clear();
        ready.extend(events.iter().take(n).map(EpollEvent::data));
        Ok(())
    }
}
