//! The receiving half of the port: a FIFO of 16 bytes, or a single byte while FIFOs are off.

use std::collections::VecDeque;

const FIFO: usize = 16;
/// Bytes at which "received data available" is raised, by the two trigger bits of the FIFO control register.
const TRIGGER: [usize; 4] = [1, 4, 8, 14];

#[derive(Default)]
pub struct Receiver {
    bytes: VecDeque<u8>,
    fifo: bool,
    trigger: usize,
    /// What the buffer register shows when it is read while empty.
    last: u8,
}

impl Receiver {
    pub fn fifo(&self) -> bool {
        self.fifo
    }

    /// The data sheet clears the FIFO when this changes; we keep it, for nothing is gained by losing typed input.
    pub fn set_fifo(&mut self, on: bool, trigger: u8) {
        self.fifo = on;
        self.trigger = TRIGGER.get(usize::from(trigger)).copied().unwrap_or(1);
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub fn has_data(&self) -> bool {
        !self.bytes.is_empty()
    }

    pub fn triggered(&self) -> bool {
        let level = if self.fifo { self.trigger } else { 1 };
        self.bytes.len() >= level
    }

    pub fn take(&mut self) -> u8 {
        self.last = self.bytes.pop_front().unwrap_or(self.last);
        self.last
    }

    /// False when there was no room: an overrun. Without FIFOs the old byte is lost, else the new one.
    pub fn put(&mut self, byte: u8) -> bool {
        let fits = self.room() > 0;
        if !fits && !self.fifo {
            self.bytes.clear();
        }
        if fits || !self.fifo {
            self.bytes.push_back(byte);
        }
        fits
    }

    /// Takes what `read` gives for the room there is.
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> usize) {
        let mut buf = [0; FIFO];
        if let Some(room) = buf.get_mut(..self.room()).filter(|room| !room.is_empty()) {
            let n = read(room);
            self.bytes.extend(room.iter().take(n));
        }
    }

    fn room(&self) -> usize {
        let size = if self.fifo { FIFO } else { 1 };
        size.saturating_sub(self.bytes.len())
    }
}
