//! The log kept in memory for later: its beginning and its end, whatever the guest writes.

use std::collections::VecDeque;
use std::io::{self, Write};

/// Bytes kept of the beginning: the whole boot of most kernels.
const HEAD: usize = 256 << 10;
/// Bytes kept of the end.
const TAIL: usize = 4 << 20;

/// The first 256 KiB and the last 4 MiB of a log.
#[derive(Debug)]
pub struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// Bytes dropped between the two.
    dropped: u64,
    limits: (usize, usize),
}

impl Default for Kept {
    fn default() -> Kept {
        Kept::new()
    }
}

impl Kept {
    pub fn new() -> Kept {
        Kept::with_limits(HEAD, TAIL)
    }

    /// `head` and `tail` in bytes.
    pub fn with_limits(head: usize, tail: usize) -> Kept {
        Kept { head: Vec::new(), tail: VecDeque::new(), dropped: 0, limits: (head, tail) }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        let room = self.limits.0 - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        let skipped = rest.len().saturating_sub(self.limits.1);
        let rest = &rest[skipped..];
        let over = (self.tail.len() + rest.len()).saturating_sub(self.limits.1);
        self.tail.drain(..over);
        self.tail.extend(rest);
        self.dropped = self.dropped.saturating_add((skipped + over) as u64);
    }

    /// All of it, or beginning and end cut at line ends with a line between them that says how much is left out.
    pub fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        let (a, b) = self.tail.as_slices();
        if self.dropped == 0 {
            out.write_all(&self.head)?;
            out.write_all(a)?;
            return out.write_all(b);
        }
        let head = self.head.iter().rposition(|b| *b == b'\n').map_or(self.head.len(), |at| at + 1);
        let tail = self.tail.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
        let left_out = self.dropped.saturating_add((self.head.len() - head + tail) as u64);
        out.write_all(&self.head[..head])?;
        let line_end = if self.head[..head].ends_with(b"\n") || head == 0 { "" } else { "\n" };
        writeln!(out, "{line_end}[{left_out} bytes of the log are left out here]")?;
        out.write_all(&a[tail.min(a.len())..])?;
        out.write_all(&b[tail.saturating_sub(a.len())..])
    }
}

#[cfg(test)]
mod tests;
