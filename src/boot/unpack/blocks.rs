//! A reader over formats that come in blocks, each unpacked as a whole into one buffer.

use std::io::{self, BufRead, Read};

/// Unpacks the next block into the buffer and says how many bytes it has; 0 is the end.
pub trait Next {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<usize>;
}

pub struct Blocks<N> {
    source: N,
    block: Vec<u8>,
    /// What is not yet read of the block.
    left: std::ops::Range<usize>,
    done: bool,
}

impl<N: Next> Blocks<N> {
    pub fn new(source: N) -> Blocks<N> {
        Blocks { source, block: Vec::new(), left: 0..0, done: false }
    }
}

impl<N: Next> BufRead for Blocks<N> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left.is_empty() && !self.done {
            self.left = 0..self.source.next(&mut self.block)?;
            self.done = self.left.is_empty();
        }
        self.block.get(self.left.clone()).ok_or_else(|| invalid("a block ends after its buffer"))
    }

    fn consume(&mut self, n: usize) {
        self.left.start = self.left.start.saturating_add(n).min(self.left.end);
    }
}

impl<N: Next> Read for Blocks<N> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let n = ready.len().min(out.len());
        for (to, from) in out.iter_mut().zip(ready) {
            *to = *from;
        }
        self.consume(n);
        Ok(n)
    }
}

pub fn invalid(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The next big- or little-endian word, or `None` at the end of the input.
pub fn word(input: &mut impl Read) -> io::Result<Option<[u8; 4]>> {
    let mut word = [0; 4];
    let mut got = 0;
    while let Some(rest) = word.get_mut(got..).filter(|r| !r.is_empty()) {
        match input.read(rest) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Some(word))
}
