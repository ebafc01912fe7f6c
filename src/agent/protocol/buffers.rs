//! The bytes of the channel on their way in and out, in buffers that never grow.

use super::{HEADER, MAX_PAYLOAD, Malformed};
use std::io::{self, Read, Write};

/// Holds a whole frame and more, so that few bytes are moved.
const SIZE: usize = 2 * (HEADER + MAX_PAYLOAD);

/// Bytes that came, cut into frames.
pub struct Incoming {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub fn new() -> Incoming {
        Incoming { bytes: vec![0; SIZE].into(), start: 0, end: 0 }
    }

    /// Reads once; says how many bytes. There is room whenever [`Incoming::next`] has said `None`.
    pub fn fill(&mut self, mut from: impl Read) -> io::Result<usize> {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let n = from.read(self.bytes.get_mut(self.end..).unwrap_or_default())?;
        self.end += n;
        Ok(n)
    }

    /// The next frame, kind and payload; `None` until more bytes came.
    pub fn next(&mut self) -> Result<Option<(u8, &[u8])>, Malformed> {
        let bytes = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some((&[kind, a, b, c], rest)) = bytes.split_first_chunk() else { return Ok(None) };
        let len = u32::from_le_bytes([a, b, c, 0]) as usize;
        if len > MAX_PAYLOAD {
            return Err(Malformed("a frame that is too long"));
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        self.start += HEADER + len;
        Ok(Some((kind, payload)))
    }
}

/// Frames that go out as the channel takes them.
pub struct Outgoing {
    bytes: Vec<u8>,
    start: usize,
}

/// Room that data leaves to the frames that are not data: more than all of those that can wait at once.
const KEPT: usize = 24 << 10;

impl Outgoing {
    pub fn new() -> Outgoing {
        Outgoing { bytes: Vec::with_capacity(SIZE), start: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.start >= self.bytes.len()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Bytes of data that a frame may have now.
    pub fn room(&self) -> usize {
        SIZE.saturating_sub(self.bytes.len() - self.start + HEADER + KEPT).min(MAX_PAYLOAD)
    }

    /// Appends frames. Data is to fit in [`Outgoing::room`].
    pub fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.compact();
        write(&mut self.bytes);
    }

    /// Appends a frame of `kind` with what one read gives, at most `limit` and [`Outgoing::room`] bytes.
    /// Nothing is appended if that is nothing.
    pub fn put_from(&mut self, kind: u8, limit: usize, mut from: impl Read) -> io::Result<usize> {
        self.compact();
        let (at, limit) = (self.bytes.len(), limit.min(self.room()));
        self.bytes.resize(at + HEADER + limit, 0);
        let read = from.read(self.bytes.get_mut(at + HEADER..).unwrap_or_default());
        let n = *read.as_ref().unwrap_or(&0);
        self.bytes.truncate(if n > 0 { at + HEADER + n } else { at });
        let [a, b, c, _] = (n as u32).to_le_bytes();
        for (to, byte) in self.bytes.iter_mut().skip(at).zip([kind, a, b, c]) {
            *to = byte;
        }
        read
    }

    /// Writes what `to` takes without waiting.
    pub fn flush(&mut self, mut to: impl Write) -> io::Result<()> {
        while !self.is_empty() {
            match to.write(self.bytes.get(self.start..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.start += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn compact(&mut self) {
        self.bytes.drain(..self.start.min(self.bytes.len()));
        self.start = 0;
    }
}
