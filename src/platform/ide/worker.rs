//! The thread of a channel, which carries out DMA transfers and flushes while the vCPU goes on. There is one from the first
//! such command on. It has one job at a time; whoever needs the channel to be at rest waits for its end.

use super::buffer::{Buffer, ROOM};
use crate::host::image::{Image, SECTOR};
use crate::mem::Slice;
use anyhow::{Context, Result};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::Builder;

/// Parts of one transfer that an image is given at once.
const PARTS: usize = 256;

pub struct Job {
    pub image: Arc<dyn Image>,
    pub work: Work,
}

pub enum Work {
    Read { at: u64, to: Vec<Slice> },
    Write { at: u64, from: Vec<Slice>, flush: bool },
    Flush,
}

/// The thread ends when this goes.
pub struct Worker(Sender<Job>);

impl Worker {
    /// `done` is called on the thread with what became of each job.
    pub fn start(name: &str, done: impl Fn(io::Result<()>) + Send + 'static) -> Result<Worker> {
        let (jobs, inbox) = channel::<Job>();
        let body = move || inbox.iter().for_each(|job| done(job.run()));
        Builder::new().name(name.to_string()).spawn(body).context("start a thread for IDE")?;
        Ok(Worker(jobs))
    }

    /// False: it is gone.
    pub fn give(&self, job: Job) -> bool {
        self.0.send(job).is_ok()
    }
}

impl Job {
    fn run(self) -> io::Result<()> {
        let image = &*self.image;
        match self.work {
            Work::Flush => image.flush(),
            Work::Read { at, to } => pieces(at, &to, |at, piece| image.read_at(at, piece), true),
            Work::Write { at, from, flush } => {
                pieces(at, &from, |at, piece| image.write_at(at, piece), false)?;
                if flush { image.flush() } else { Ok(()) }
            }
        }
    }
}

/// Calls `op` with pieces that are whole sectors, in order. A guest may cut its memory anywhere; then it goes through a buffer.
fn pieces(mut at: u64, parts: &[Slice], op: impl Fn(u64, &[Slice]) -> io::Result<()>, read: bool) -> io::Result<()> {
    let whole = |part: &Slice| (part.len() as u64).is_multiple_of(SECTOR);
    if !parts.iter().all(whole) {
        return through_buffer(at, parts, op, read);
    }
    for piece in parts.chunks(PARTS) {
        op(at, piece)?;
        at += piece.iter().map(|part| part.len() as u64).sum::<u64>();
    }
    Ok(())
}

fn through_buffer(
    mut at: u64,
    parts: &[Slice],
    op: impl Fn(u64, &[Slice]) -> io::Result<()>,
    read: bool,
) -> io::Result<()> {
    let mut buffer = Buffer::new().map_err(io::Error::other)?;
    let mut left: usize = parts.iter().map(Slice::len).sum();
    let mut parts = parts.iter().cloned();
    let mut part: Option<Slice> = None;
    while left > 0 {
        buffer.begin(left.min(ROOM));
        let all = buffer.all().ok_or(io::ErrorKind::OutOfMemory)?;
        if read {
            op(at, std::slice::from_ref(&all))?;
        }
        let mut done = 0;
        while done < all.len() {
            let Some(now) = part.take().or_else(|| parts.next()) else { break };
            let n = now.len().min(all.len() - done);
            let mut bytes = vec![0; n];
            if read {
                buffer.read(&mut bytes);
                now.copy_from(&bytes);
            } else {
                now.copy_to(&mut bytes);
                buffer.write(&bytes);
            }
            done += n;
            part = (n < now.len()).then(|| now.skip(n));
        }
        if !read {
            op(at, std::slice::from_ref(&all))?;
        }
        at += all.len() as u64;
        left -= all.len();
    }
    Ok(())
}
