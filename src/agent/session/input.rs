//! The host's standard input on its way to the command: a thread that reads only what may be sent, and nothing once the
//! command does not want it any more. What it does not read stays for whoever reads the descriptor next.

use crate::sys::{EventFd, Lock, eventfd, fd};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread;

pub struct Input {
    state: Lock<State>,
    room: Condvar,
    /// Rings when there is something to take.
    bell: Arc<EventFd>,
    /// Rings when nobody wants more.
    enough: EventFd,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Nothing comes after `waiting`.
    ended: bool,
    closed: bool,
}

/// Bytes read at once, and at most ahead.
const PIECE: usize = 32 << 10;

impl Input {
    /// `from`: `None` is the end of file.
    pub fn start(from: Option<OwnedFd>, bell: Arc<EventFd>) -> io::Result<Arc<Input>> {
        let state = State { ended: from.is_none(), ..State::default() };
        let input = Arc::new(Input { state: Lock::new(state), room: Condvar::new(), bell, enough: eventfd()? });
        if let Some(from) = from {
            let this = input.clone();
            let body = move || this.read_all(&File::from(from));
            thread::Builder::new().name("exec input".into()).stack_size(96 << 10).spawn(body)?;
        }
        let _ = input.bell.write(1);
        Ok(input)
    }

    fn read_all(&self, from: &File) {
        let mut buf = [0; PIECE];
        loop {
            match self.read(from, &mut buf) {
                Ok(n) if n > 0 => {
                    let mut state = self.state.lock();
                    state.waiting.extend(buf.iter().take(n));
                    let _ = self.bell.write(1);
                    while !state.waiting.is_empty() && !state.closed {
                        state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                    if state.closed {
                        return;
                    }
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                end => {
                    if let Err(e) = end {
                        log::debug!("read standard input: {e}");
                    }
                    self.state.lock().ended = true;
                    let _ = self.bell.write(1);
                    return;
                }
            }
        }
    }

    /// 0 bytes: the end, or nobody wants more.
    fn read(&self, mut from: &File, buf: &mut [u8]) -> io::Result<usize> {
        match fd::wait_readable([from.as_fd(), fd::of(&self.enough)])? {
            [_, true] => Ok(0),
            _ => from.read(buf),
        }
    }

    /// Moves at most `limit` bytes of what was read into `frame`, if there is something and a limit.
    pub fn take(&self, limit: usize, frame: impl FnOnce(&[u8])) -> usize {
        let mut state = self.state.lock();
        let n = limit.min(state.waiting.len());
        if n > 0 {
            frame(state.waiting.get(..n).unwrap_or_default());
            state.waiting.drain(..n);
            self.room.notify_one();
        }
        n
    }

    /// All was taken, and no more will come.
    pub fn is_at_end(&self) -> bool {
        let state = self.state.lock();
        state.ended && state.waiting.is_empty()
    }

    /// Reads no more.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.room.notify_one();
        let _ = self.enough.write(1);
    }
}
