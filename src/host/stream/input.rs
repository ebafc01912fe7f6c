//! Input on its way to the guest: a bounded buffer between a reader thread and whoever takes it.

use super::Ready;
use crate::sys::Lock;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread;

/// Bytes that wait for the guest; more stays in the pipe or socket.
const CAP: usize = 64 << 10;
/// Bytes read at once.
const PIECE: usize = 16 << 10;
/// The same for a terminal, which is read on for the sake of Ctrl-A x: more than anybody types or pastes.
const CAP_TYPED: usize = 1 << 20;

#[derive(Default)]
pub struct Inbox {
    state: Lock<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    ready: Option<Ready>,
}

impl Inbox {
    /// Replaces who is told that there is input.
    pub fn listen(&self, ready: Ready) {
        self.state.lock().ready = Some(ready);
    }

    pub fn read(&self, buf: &mut [u8]) -> usize {
        let mut state = self.state.lock();
        let full = state.bytes.len() >= CAP;
        let n = state.bytes.read(buf).unwrap_or(0);
        if full && n > 0 {
            self.room.notify_one();
        }
        n
    }

    /// Puts all of `data`, waiting for room as long as it takes.
    pub fn put(&self, mut data: &[u8]) {
        while !data.is_empty() {
            let mut state = self.state.lock();
            while state.bytes.len() >= CAP {
                state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let (now, later) = data.split_at(data.len().min(CAP - state.bytes.len()));
            state.bytes.extend(now);
            drop(state);
            self.ring();
            data = later;
        }
    }

    /// Puts what there is room for, without waiting.
    pub fn put_typed(&self, data: &[u8]) {
        let mut state = self.state.lock();
        let n = data.len().min(CAP_TYPED.saturating_sub(state.bytes.len()));
        if n < data.len() {
            log::warn!("{} typed bytes dropped: the guest reads none", data.len() - n);
        }
        state.bytes.extend(data.iter().take(n));
        drop(state);
        self.ring();
    }

    pub fn ring(&self) {
        let ready = self.state.lock().ready.clone();
        if let Some(ready) = ready {
            ready();
        }
    }
}

/// Starts a thread that puts into `inbox` all that `file` gives, until its end.
pub fn read_file(file: File, inbox: Arc<Inbox>) {
    spawn("input", move || {
        let mut buf = vec![0; PIECE];
        loop {
            match (&file).read(&mut buf) {
                Ok(0) => return,
                Ok(n) => inbox.put(buf.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Shared descriptors may have been made non-blocking by someone else.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    use std::os::fd::AsFd;
                    if crate::sys::fd::wait_readable([file.as_fd()]).is_err() {
                        return;
                    }
                }
                Err(e) => return log::debug!("input ended: {e}"),
            }
        }
    });
}

pub fn spawn(name: &str, job: impl FnOnce() + Send + 'static) {
    if let Err(e) = thread::Builder::new().name(name.into()).stack_size(64 << 10).spawn(job) {
        log::error!("start {name} thread: {e}; there will be no input");
    }
}
