//! `direct`: a plain image past the host's page cache (O_DIRECT). What the kernel wants aligned and is not goes through a buffer.

use super::Image;
use crate::mem::{Slice, vectored};
use crate::sys::file as sys;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Alignments of offsets, lengths and memory that there are.
const ALIGNMENTS: [usize; 4] = [512, 1024, 2048, 4096];
/// Bytes that go through the buffer at a time.
const CHUNK: usize = 1 << 20;

pub struct Direct {
    image: Box<dyn Image>,
    align: usize,
    /// One at a time changes a part of a block.
    patching: Mutex<()>,
}

impl Direct {
    pub fn new(image: Box<dyn Image>, path: &Path) -> Result<Direct> {
        let name = path.display();
        let Some(file) = image.plain() else {
            bail!("`direct`: only a raw image that is written itself can be had past the page cache, not {name}")
        };
        sys::set_direct(file)
            .with_context(|| format!("`direct`: the file system of {name} cannot do without its cache"))?;
        let align = alignment(file).with_context(|| format!("`direct`: read {name}"))?;
        let len = file.metadata().with_context(|| format!("look at {name}"))?.len();
        ensure!(
            len.is_multiple_of(align as u64),
            "`direct`: {name} has {len} bytes, and its host wants blocks of {align}; `truncate -s %{align} {name}` makes it fit"
        );
        Ok(Direct { image, align, patching: Mutex::new(()) })
    }

    fn fits(&self, offset: u64, parts: &[Slice]) -> bool {
        offset.is_multiple_of(self.align as u64) && parts.iter().all(|part| part.is_aligned(self.align))
    }

    fn file(&self) -> io::Result<&fs::File> {
        self.image.plain().ok_or_else(|| ErrorKind::Unsupported.into())
    }

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.image.size() => Ok(()),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// Calls `each` with aligned pieces of the file around `offset..offset + len`: where a piece begins, the piece, and how many
    /// bytes of the range lie before it. `change`: what it makes of the piece is written back.
    fn through(&self, offset: u64, len: u64, change: bool, mut each: impl FnMut(&mut [u8], usize)) -> io::Result<()> {
        self.check(offset, len)?;
        let file = self.file()?;
        let align = self.align as u64;
        let mut memory = vec![0; CHUNK + self.align];
        let pad = memory.as_ptr().align_offset(self.align);
        let memory = memory.get_mut(pad..).unwrap_or_default();
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let from = at / align * align;
            let before = (at - from) as usize;
            let to = (offset + len).next_multiple_of(align).min(from + CHUNK as u64);
            let piece = memory.get_mut(..(to - from) as usize).unwrap_or_default();
            let end = piece.len().min(before + (len - done) as usize);
            let whole = before == 0 && end == piece.len();
            if !(change && whole) {
                file.read_exact_at(piece, from)?;
            }
            each(piece.get_mut(before..end).unwrap_or_default(), done as usize);
            if change {
                file.write_all_at(piece, from)?;
            }
            done += (end - before) as u64;
        }
        Ok(())
    }
}

/// The least that the file's host takes.
fn alignment(file: &fs::File) -> io::Result<usize> {
    let mut memory = vec![0; 3 * 4096];
    let pad = memory.as_ptr().align_offset(4096);
    for align in ALIGNMENTS {
        // At an address that is a multiple of nothing larger.
        let buffer = memory.get_mut(pad + align..pad + 2 * align).unwrap_or_default();
        match file.read_at(buffer, 0) {
            Err(e) if e.kind() == ErrorKind::InvalidInput => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(align),
        }
    }
    Err(ErrorKind::InvalidInput.into())
}

impl Image for Direct {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn physical_block(&self) -> u32 {
        self.image.physical_block().max(self.align as u32)
    }

    fn alignment(&self) -> usize {
        self.align
    }

    fn guarded(&self) -> u64 {
        self.image.guarded()
    }

    fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()> {
        if self.fits(offset, to) {
            return self.image.read_at(offset, to);
        }
        let len = to.iter().map(|part| part.len() as u64).sum();
        self.through(offset, len, false, |piece, at| {
            vectored::copy_from(to, at, piece);
        })
    }

    fn write_at(&self, offset: u64, from: &[Slice]) -> io::Result<()> {
        if self.fits(offset, from) {
            return self.image.write_at(offset, from);
        }
        let _one = self.patching.lock().unwrap_or_else(PoisonError::into_inner);
        let len = from.iter().map(|part| part.len() as u64).sum();
        self.through(offset, len, true, |piece, at| {
            vectored::copy_to(from, at, piece);
        })
    }

    fn read_bytes(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.through(offset, to.len() as u64, false, |piece, at| {
            to.get_mut(at..at + piece.len()).unwrap_or_default().copy_from_slice(piece);
        })
    }

    fn plain(&self) -> Option<&fs::File> {
        self.image.plain()
    }

    fn flush(&self) -> io::Result<()> {
        self.image.flush()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.image.discard(offset, len)
    }

    fn write_zeroes(&self, offset: u64, len: u64, may_unmap: bool) -> io::Result<()> {
        let align = self.align as u64;
        if offset.is_multiple_of(align) && len.is_multiple_of(align) {
            return self.image.write_zeroes(offset, len, may_unmap);
        }
        let _one = self.patching.lock().unwrap_or_else(PoisonError::into_inner);
        self.through(offset, len, true, |piece, _| piece.fill(0))
    }
}

#[cfg(test)]
mod tests;
