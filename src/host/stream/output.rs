//! Output that never keeps the guest waiting: straight to the sink while that takes it, else through a bounded queue
//! with a thread that lives only while something is queued.

use crate::sys::Lock;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, PoisonError, Weak};
use std::thread;

/// Where the bytes go in the end.
pub trait Sink: Send + Sync {
    /// Writes what is taken without waiting; `WouldBlock` when that is nothing.
    /// Any other error: nobody will read what is queued.
    fn write_now(&self, data: &[u8]) -> io::Result<usize>;

    /// Waits until `write_now` gets on, one way or the other.
    fn wait(&self) -> io::Result<()>;

    /// There will be no more.
    fn end(&self) {}
}

/// Bytes that may be queued; then the oldest piece is dropped.
pub const CAP: usize = 16 << 20;
/// Bytes in one piece of the queue.
const PIECE: usize = 64 << 10;

pub struct Output {
    sink: Box<dyn Sink>,
    queue: Lock<Queue>,
    drained: Condvar,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes in `pieces`.
    len: usize,
    /// Bytes that were dropped before the first of `pieces`.
    lost: u64,
    /// The sink is to be told that nothing comes after what is queued.
    ending: bool,
    /// The writer thread runs; until it has ended, all output goes through the queue.
    writing: bool,
}

impl Output {
    pub fn new(sink: impl Sink + 'static) -> Arc<Output> {
        let output = Arc::new(Output { sink: Box::new(sink), queue: Lock::default(), drained: Condvar::new() });
        let mut all = OPEN.lock();
        all.outputs.retain(|o| o.strong_count() > 0);
        all.outputs.push(Arc::downgrade(&output));
        output
    }

    pub fn write(self: &Arc<Output>, mut data: &[u8]) {
        let mut queue = self.queue.lock();
        while !queue.writing && !data.is_empty() {
            match self.sink.write_now(data) {
                Ok(n) => data = data.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => queue.writing = self.start_writer(),
                Err(_) => return,
            }
        }
        if !data.is_empty() {
            queue.push(data);
        }
    }

    /// Nothing more will be written.
    pub fn end(&self) {
        let mut queue = self.queue.lock();
        queue.ending = queue.writing;
        if !queue.writing {
            self.sink.end();
        }
    }

    fn start_writer(self: &Arc<Output>) -> bool {
        let this = self.clone();
        let started =
            thread::Builder::new().name("output".into()).stack_size(64 << 10).spawn(move || this.write_queued());
        if let Err(e) = &started {
            log::error!("start output thread: {e}");
            // Waiting for the reader is the lesser evil.
            let _ = self.sink.wait();
        }
        started.is_ok()
    }

    fn write_queued(&self) {
        loop {
            let mut queue = self.queue.lock();
            let Some(piece) = queue.next() else {
                queue.writing = false;
                if std::mem::take(&mut queue.ending) {
                    self.sink.end();
                }
                self.drained.notify_all();
                return;
            };
            drop(queue);
            if self.write_all(&piece).is_err() {
                self.queue.lock().clear();
            }
        }
    }

    fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.sink.write_now(data) {
                Ok(n) => data = data.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.sink.wait()?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Waits until the queue is empty: all was written, or the reader went away.
    pub fn drain(&self) {
        let mut queue = self.queue.lock();
        while queue.writing {
            queue = self.drained.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    fn push(&mut self, data: &[u8]) {
        for part in data.chunks(PIECE) {
            match self.pieces.back_mut().filter(|last| last.len() + part.len() <= PIECE) {
                Some(last) => last.extend_from_slice(part),
                None => self.pieces.push_back(part.to_vec()),
            }
            self.len += part.len();
        }
        while self.len > CAP {
            let Some(oldest) = self.pieces.pop_front() else { break };
            self.len -= oldest.len();
            self.lost += oldest.len() as u64;
        }
    }

    /// What to write next; a note where something is missing.
    fn next(&mut self) -> Option<Vec<u8>> {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            return Some(
                format!("\r\n[kiln: {lost} bytes of output were lost here, nobody read them]\r\n").into_bytes(),
            );
        }
        let piece = self.pieces.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    fn clear(&mut self) {
        *self = Queue { writing: self.writing, ending: self.ending, ..Queue::default() };
    }
}

/// Everything open in this process, for [`drain`].
struct Open {
    outputs: Vec<Weak<Output>>,
    sockets: Vec<PathBuf>,
}

static OPEN: Lock<Open> = Lock::new(Open { outputs: Vec::new(), sockets: Vec::new() });

/// [`drain`] removes `path`.
pub(super) fn remove_when_drained(path: PathBuf) {
    OPEN.lock().sockets.push(path);
}

/// The end of every stream in this process, called once before it exits: waits until all output has been read
/// (as long as there is a reader), and removes the sockets that were made.
pub fn drain() {
    let Open { outputs, sockets } =
        std::mem::replace(&mut *OPEN.lock(), Open { outputs: Vec::new(), sockets: Vec::new() });
    for output in outputs.iter().filter_map(Weak::upgrade) {
        output.drain();
    }
    for path in sockets {
        let _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests;
