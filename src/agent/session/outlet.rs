//! One output of the command on its way to a descriptor of the host, which may be slow, shared or gone: a buffer of at
//! most one window, and a thread from the first byte on.

use crate::sys::{EventFd, Lock, fd};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread;

pub struct Outlet {
    state: Lock<State>,
    news: Condvar,
    bell: Arc<EventFd>,
    name: &'static str,
}

#[derive(Default)]
struct State {
    /// Where it goes, until the thread has it.
    to: Option<File>,
    waiting: Vec<u8>,
    /// The thread writes something it took out of `waiting`.
    writing: bool,
    /// Bytes written (or thrown away) that were not credited yet.
    done: u32,
    /// Why nothing is written any more, and how many bytes were not.
    broken: Option<io::Error>,
    lost: u64,
    stopped: bool,
}

impl Outlet {
    /// `bell` rings when something was written, or cannot be.
    pub fn new(to: OwnedFd, name: &'static str, bell: Arc<EventFd>) -> Arc<Outlet> {
        let state = State { to: Some(to.into()), ..State::default() };
        Arc::new(Outlet { state: Lock::new(state), news: Condvar::new(), bell, name })
    }

    /// Takes data of one window at most; what was taken and not credited counts.
    pub fn put(self: &Arc<Outlet>, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.broken.is_some() {
            state.throw_away(data.len());
            let _ = self.bell.write(1);
            return Ok(());
        }
        state.waiting.extend_from_slice(data);
        if let Some(to) = state.to.take() {
            let this = self.clone();
            thread::Builder::new()
                .name("exec output".into())
                .stack_size(64 << 10)
                .spawn(move || this.write_all(&to))?;
        }
        self.news.notify_one();
        Ok(())
    }

    fn write_all(&self, to: &File) {
        let mut piece = Vec::new();
        loop {
            let mut state = self.state.lock();
            while state.waiting.is_empty() && !state.stopped {
                state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stopped {
                return;
            }
            std::mem::swap(&mut piece, &mut state.waiting);
            state.writing = true;
            drop(state);
            self.write(to, &piece);
            piece.clear();
            self.state.lock().writing = false;
            let _ = self.bell.write(1);
        }
    }

    /// Credits each part: the command goes on while a slow reader takes the rest.
    fn write(&self, to: &File, mut data: &[u8]) {
        /// No reader that waits for a full buffer is kept waiting, and credits are few.
        const PART: usize = 64 << 10;
        while !data.is_empty() {
            match (&*to).write(data.get(..PART).unwrap_or(data)) {
                Ok(n) if n > 0 => {
                    data = data.get(n..).unwrap_or_default();
                    let mut state = self.state.lock();
                    state.done = state.done.saturating_add(n as u32);
                    if state.stopped {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares the descriptor made it non-blocking.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && fd::wait_writable(to.as_fd()).is_ok() => {}
                other => {
                    let mut state = self.state.lock();
                    state.broken = Some(other.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                    state.throw_away(data.len());
                    let rest = std::mem::take(&mut state.waiting);
                    return state.throw_away(rest.len());
                }
            }
            let _ = self.bell.write(1);
        }
    }

    /// Bytes to credit: all of what was written if it is at least `step`.
    pub fn credit(&self, step: u32) -> Option<u32> {
        let mut state = self.state.lock();
        (state.done >= step).then(|| std::mem::take(&mut state.done))
    }

    pub fn is_broken(&self) -> bool {
        self.state.lock().broken.is_some()
    }

    /// All that was put is written, or never will be.
    pub fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.waiting.is_empty() && !state.writing
    }

    /// After [`Outlet::is_idle`]: the error that kept bytes from being written.
    pub fn verdict(&self) -> Result<(), Broken> {
        let mut state = self.state.lock();
        let lost = state.lost > 0;
        match state.broken.take() {
            Some(e) if lost && e.kind() == io::ErrorKind::BrokenPipe => Err(Broken::NoReader),
            Some(e) if lost => Err(Broken::Failed(format!("write {}: {e}", self.name))),
            _ => Ok(()),
        }
    }

    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.news.notify_one();
    }
}

/// Why output was not written.
pub enum Broken {
    NoReader,
    Failed(String),
}

impl State {
    fn throw_away(&mut self, bytes: usize) {
        self.lost = self.lost.saturating_add(bytes as u64);
        self.done = self.done.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}
