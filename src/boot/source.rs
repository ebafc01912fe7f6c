//! Where a kernel's bytes come from: a file, read straight into guest memory, or a stream that is being unpacked and
//! can only go forward. Nothing is ever held as a whole.

use super::unpack::LIMIT;
use crate::mem::Slice;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{self, BufRead, Cursor, Read};
use std::os::unix::fs::FileExt;

const PAGE: usize = 4096;
static ZEROES: [u8; PAGE] = [0; PAGE];

pub enum Source<'a> {
    File { file: &'a File, len: u64 },
    Stream(Stream<'a>),
}

impl Source<'_> {
    /// Bytes there are; of a stream, the most there can be.
    pub fn len(&self) -> u64 {
        match self {
            Source::File { len, .. } => *len,
            Source::Stream(stream) => stream.len,
        }
    }

    /// Fills `into`, which reads as zero, from byte `offset`. Offsets never go backwards.
    pub fn read(&mut self, offset: u64, into: &Slice) -> Result<()> {
        match self {
            Source::File { file, .. } => fill(file, offset, into),
            Source::Stream(stream) => stream.read(offset, into),
        }
    }
}

/// Reads all of `into` from byte `offset` of `file`.
pub fn fill(file: &File, mut offset: u64, into: &Slice) -> Result<()> {
    let mut rest = into.clone();
    while !rest.is_empty() {
        let n = rest.read_from(file, offset).with_context(|| format!("read byte {offset}"))?;
        ensure!(n > 0, "ends at byte {offset}: shorter than before, or truncated");
        offset = offset.saturating_add(n as u64);
        rest = rest.skip(n);
    }
    Ok(())
}

/// Up to `max` bytes from byte `offset` of `file`; fewer only at its end.
pub fn bytes(file: &File, offset: u64, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(max);
    Section { file, at: offset, end: offset.saturating_add(max as u64) }.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes `at..end` of a file, in order.
pub struct Section<'a> {
    pub file: &'a File,
    pub at: u64,
    pub end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(0);
        }
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let n = self.file.read_at(out.get_mut(..max).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(n as u64);
        Ok(n)
    }
}

pub struct Stream<'a> {
    reader: Box<dyn BufRead + 'a>,
    at: u64,
    len: u64,
    exact: bool,
}

impl<'a> Stream<'a> {
    /// `len` is what the stream should come to, where that is known. Also gives its first bytes, up to `head`.
    pub fn new(mut reader: Box<dyn BufRead + 'a>, len: Option<u64>, head: usize) -> Result<(Stream<'a>, Vec<u8>)> {
        let bound = len.unwrap_or(LIMIT);
        ensure!(bound <= LIMIT, "would unpack to {bound} bytes, more than any kernel");
        let mut first = Vec::with_capacity(head);
        (&mut reader).take(head as u64).read_to_end(&mut first)?;
        let reader = Box::new(Cursor::new(first.clone()).chain(reader));
        Ok((Stream { reader, at: 0, len: bound, exact: len.is_some() }, first))
    }

    fn read(&mut self, offset: u64, into: &Slice) -> Result<()> {
        let gap = offset.checked_sub(self.at).context("two segments share bytes of a packed file")?;
        self.take(gap, |_| ())?;
        let mut rest = into.clone();
        self.take(into.len() as u64, |mut bytes| {
            // Much of an unpacked Linux is zeros, and so is the memory: pages that nobody touches cost nothing.
            let zero = |page: &[u8]| ZEROES.get(..page.len()) == Some(page);
            for run in bytes.chunks(PAGE).collect::<Vec<_>>().chunk_by(|a, b| zero(a) == zero(b)) {
                let len = run.iter().map(|page| page.len()).sum();
                let (now, later) = bytes.split_at(len);
                bytes = later;
                if run.first().is_some_and(|page| !zero(page)) {
                    rest.store(now);
                }
                rest = rest.skip(len);
            }
        })
    }

    fn take(&mut self, mut n: u64, mut each: impl FnMut(&[u8])) -> Result<()> {
        while n > 0 {
            let ready = self.ready()?;
            let step = usize::try_from(n).unwrap_or(usize::MAX).min(ready.len());
            let Some(bytes) = ready.get(..step).filter(|b| !b.is_empty()) else {
                bail!("ends after {} bytes unpacked, {n} before its last segment does", self.at)
            };
            each(bytes);
            self.reader.consume(step);
            self.at = self.at.saturating_add(step as u64);
            n -= step as u64;
        }
        Ok(())
    }

    fn ready(&mut self) -> Result<&[u8]> {
        // Asked twice, as the first answer would stay borrowed while the loop goes on.
        while let Err(e) = self.reader.fill_buf() {
            ensure!(e.kind() == io::ErrorKind::Interrupted, "{e} ({} bytes unpacked)", self.at);
        }
        Ok(self.reader.fill_buf()?)
    }

    /// Reads what is left, so that the format's own checksums are seen, and checks the length.
    pub fn finish(mut self) -> Result<()> {
        while let n @ 1.. = self.ready()?.len() {
            self.reader.consume(n);
            self.at = self.at.saturating_add(n as u64);
            ensure!(self.at <= self.len, "unpacks to more than {} bytes", self.len);
        }
        let (at, len) = (self.at, self.len);
        ensure!(!self.exact || at == len, "unpacks to {at} bytes, its header says {len}");
        Ok(())
    }
}
