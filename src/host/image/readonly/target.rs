//! Where what is read goes: guest memory, or kiln's own. Both are filled from their beginning to their end.

use super::Image;
use crate::host::image::source::Source;
use crate::mem::{Slice, vectored};
use std::io;
use std::os::fd::AsFd;

pub trait Target {
    fn len(&self) -> usize;
    fn zero(&mut self, n: usize);
    fn copy(&mut self, bytes: &[u8]);
    /// From the file; what is missing at its end is zero.
    fn read(&mut self, source: &Source, at: u64, n: usize) -> io::Result<()>;
    fn read_image(&mut self, image: &dyn Image, at: u64, n: usize) -> io::Result<()>;
}

pub struct Guest<'a> {
    parts: &'a [Slice],
    /// Bytes of the first part that are filled.
    filled: usize,
}

impl<'a> Guest<'a> {
    pub fn new(parts: &'a [Slice]) -> Guest<'a> {
        Guest { parts, filled: 0 }
    }

    /// The next `n` bytes.
    fn next(&mut self, mut n: usize) -> Vec<Slice> {
        let mut next = Vec::new();
        while let Some((first, rest)) = self.parts.split_first().filter(|_| n > 0) {
            let part = first.skip(self.filled).take(n);
            n -= part.len();
            self.filled += part.len();
            if self.filled == first.len() {
                (self.parts, self.filled) = (rest, 0);
            }
            next.push(part);
        }
        next
    }
}

impl Target for Guest<'_> {
    fn len(&self) -> usize {
        self.parts.iter().map(Slice::len).sum::<usize>().saturating_sub(self.filled)
    }

    fn zero(&mut self, n: usize) {
        self.next(n).iter().for_each(|part| part.fill(0));
    }

    fn copy(&mut self, bytes: &[u8]) {
        let parts = self.next(bytes.len());
        vectored::copy_from(&parts, 0, bytes);
    }

    fn read(&mut self, source: &Source, at: u64, n: usize) -> io::Result<()> {
        let parts = self.next(n);
        let done = vectored::read_at(source.file.as_fd(), at, &parts)?;
        vectored::zero_from(&parts, done);
        Ok(())
    }

    fn read_image(&mut self, image: &dyn Image, at: u64, n: usize) -> io::Result<()> {
        image.read_at(at, &self.next(n))
    }
}

pub struct Ours<'a>(&'a mut [u8]);

impl<'a> Ours<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Ours<'a> {
        Ours(bytes)
    }

    fn next(&mut self, n: usize) -> &'a mut [u8] {
        let all = std::mem::take(&mut self.0);
        let n = n.min(all.len());
        let (next, rest) = all.split_at_mut(n);
        self.0 = rest;
        next
    }
}

impl Target for Ours<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn zero(&mut self, n: usize) {
        self.next(n).fill(0);
    }

    fn copy(&mut self, bytes: &[u8]) {
        for (to, from) in self.next(bytes.len()).iter_mut().zip(bytes) {
            *to = *from;
        }
    }

    fn read(&mut self, source: &Source, at: u64, n: usize) -> io::Result<()> {
        let to = self.next(n);
        let done = source.some(at, to)?;
        to.get_mut(done..).unwrap_or_default().fill(0);
        Ok(())
    }

    fn read_image(&mut self, image: &dyn Image, at: u64, n: usize) -> io::Result<()> {
        image.read_bytes(at, self.next(n))
    }
}
