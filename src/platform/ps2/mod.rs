//! What is plugged into the keyboard controller (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary
//! Device Controller"): a keyboard and a mouse. Each takes commands byte by byte and has bytes to give.

mod codes;
pub mod keyboard;
pub mod mouse;

pub use codes::translate;

use std::collections::VecDeque;

/// What both answer.
const ACK: u8 = 0xfa;
const RESEND: u8 = 0xfe;
const PASSED: u8 = 0xaa;

/// As many bytes as a real device keeps. Drivers that look for a device empty it first, and give up when there are more.
const FIFO: usize = 16;

/// The bytes that a device has to give: answers before what people do.
#[derive(Debug, Default)]
struct Out {
    answers: VecDeque<u8>,
    data: VecDeque<u8>,
    /// For a host that asks for it once more.
    last: u8,
}

impl Out {
    /// Bounded by what a command is answered: a new command takes the place of an answer that nobody has read.
    fn answer(&mut self, bytes: &[u8]) {
        self.answers.clear();
        self.answers.extend(bytes);
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.answers.pop_front().or_else(|| self.data.pop_front())?;
        self.last = byte;
        Some(byte)
    }

    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.data.is_empty()
    }
}

#[cfg(test)]
mod tests;
