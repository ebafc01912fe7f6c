//! What passes through a drive's data port: bytes between `at` and `stop`, of which more may follow up to `end` without the
//! image being asked. They are memory of the kind that images read into and write from.

use crate::mem::{Memory, Slice};
use anyhow::Result;

/// Bytes; also the most that a CD-ROM reads ahead.
pub const ROOM: usize = 64 << 10;

pub struct Buffer {
    memory: Memory,
    at: usize,
    stop: usize,
    end: usize,
}

impl Buffer {
    pub fn new() -> Result<Buffer> {
        Ok(Buffer { memory: Memory::new(&[(0, ROOM as u64)], None)?, at: 0, stop: 0, end: 0 })
    }

    /// `len` bytes come next, and nothing else.
    pub fn begin(&mut self, len: usize) {
        let len = len.min(ROOM);
        (self.at, self.stop, self.end) = (0, len, len);
    }

    pub fn fill(&mut self, data: &[u8]) {
        self.begin(data.len());
        if let Some(all) = self.all() {
            all.copy_from(data);
        }
    }

    /// All that there is, for an image.
    pub fn all(&self) -> Option<Slice> {
        self.memory.slice(0, self.end).ok()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; self.end];
        if let Some(all) = self.all() {
            all.copy_to(&mut out);
        }
        out
    }

    /// Bytes between here and the end.
    pub fn left(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// Not more than `len` bytes before the next stop. Says how many.
    pub fn stop_after(&mut self, len: usize) -> usize {
        self.stop = self.at.saturating_add(len).min(self.end);
        self.stop - self.at
    }

    pub fn stopped(&self) -> bool {
        self.at >= self.stop
    }

    /// The data port: as many bytes as there are before the stop. What is beyond reads as zero, and is not written.
    pub fn read(&mut self, data: &mut [u8]) {
        data.fill(0);
        let n = data.len().min(self.stop.saturating_sub(self.at));
        if let (Ok(from), Some(to)) = (self.memory.slice(self.at as u64, n), data.get_mut(..n)) {
            from.copy_to(to);
        }
        self.at += n;
    }

    pub fn write(&mut self, data: &[u8]) {
        let n = data.len().min(self.stop.saturating_sub(self.at));
        if let (Ok(to), Some(from)) = (self.memory.slice(self.at as u64, n), data.get(..n)) {
            to.copy_from(from);
        }
        self.at += n;
    }
}
