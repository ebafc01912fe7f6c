//! Images that are read and never written: the formats of other hypervisors, and what of qcow2 is not written here.
//!
//! A format is a [`Layout`]: it says where a byte of the disk is. All else (ranges, unpacked blocks, what is beneath)
//! is done once, by [`ReadOnly`]. Tables are never loaded whole; see [`Source`].

pub mod qcow2;

mod target;
mod unpack;
pub mod vdi;
pub mod vhd;
pub mod vmdk;

use super::source::{Fields, Source};
use super::{Image, SECTOR};
use crate::mem::Slice;
use crate::sys::Lock;
use anyhow::{Context, Result, ensure};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use target::{Guest, Ours, Target};

/// Where bytes of the disk are.
enum Place {
    Zeroes,
    /// In the image beneath.
    Below,
    /// At this offset of the file.
    At(u64),
    Packed(Packed),
}

/// A compressed block of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packed {
    at: u64,
    len: usize,
    /// How far into the unpacked block the wanted byte is.
    skip: usize,
}

trait Layout: Send + Sync {
    /// Where byte `at` of the disk is, and for how many bytes from there on that goes on (at least one).
    fn find(&self, source: &Source, at: u64) -> io::Result<(Place, u64)>;

    /// The bytes of a compressed block.
    fn unpack(&self, source: &Source, packed: Packed) -> io::Result<Vec<u8>> {
        Err(source.bad(format_args!("compressed block at {:#x}: this kind of image has none", packed.at)))
    }
}

/// Unpacked blocks that are kept. The largest is 2 MiB.
const KEPT: usize = 8;

struct ReadOnly<L> {
    source: Source,
    layout: L,
    size: u64,
    below: Option<Box<dyn Image>>,
    /// By offset in the file, the last used first.
    unpacked: Lock<Vec<(u64, Arc<Vec<u8>>)>>,
}

impl<L: Layout> ReadOnly<L> {
    /// `size` is what the header says, in bytes.
    fn new(source: Source, layout: L, size: u64, below: Option<Box<dyn Image>>) -> Result<ReadOnly<L>> {
        let name = source.name();
        ensure!(size > 0, "open {name}: size: the disk has no bytes");
        let size = size.checked_next_multiple_of(SECTOR).filter(|size| i64::try_from(*size).is_ok());
        let size = size.with_context(|| format!("open {name}: size: too many bytes"))?;
        Ok(ReadOnly { source, layout, size, below, unpacked: Lock::default() })
    }

    fn read(&self, offset: u64, to: &mut impl Target) -> io::Result<()> {
        let end = offset.checked_add(to.len() as u64).filter(|end| *end <= self.size);
        let end = end.ok_or(ErrorKind::InvalidInput)?;
        let mut at = offset;
        while at < end {
            let (place, len) = self.layout.find(&self.source, at)?;
            let n = usize::try_from(len.clamp(1, end - at)).map_err(|_| ErrorKind::InvalidInput)?;
            match place {
                Place::Zeroes => to.zero(n),
                Place::Below => self.read_below(at, n, to)?,
                Place::At(from) => to.read(&self.source, from, n)?,
                Place::Packed(packed) => {
                    let block = self.unpack(packed)?;
                    let short = || self.source.bad(format_args!("compressed block at {:#x}: too short", packed.at));
                    let end = packed.skip.checked_add(n);
                    to.copy(end.and_then(|end| block.get(packed.skip..end)).ok_or_else(short)?);
                }
            }
            at += n as u64;
        }
        Ok(())
    }

    /// The image beneath may be smaller; after its end there are zeroes.
    fn read_below(&self, at: u64, n: usize, to: &mut impl Target) -> io::Result<()> {
        let Some(below) = &self.below else {
            to.zero(n);
            return Ok(());
        };
        let there = below.size().saturating_sub(at).min(n as u64) as usize;
        if there > 0 {
            to.read_image(below.as_ref(), at, there)?;
        }
        to.zero(n - there);
        Ok(())
    }

    fn unpack(&self, packed: Packed) -> io::Result<Arc<Vec<u8>>> {
        let mut kept = self.unpacked.lock();
        if let Some(i) = kept.iter().position(|(at, _)| *at == packed.at) {
            let found = kept.remove(i);
            let block = found.1.clone();
            kept.insert(0, found);
            return Ok(block);
        }
        drop(kept);
        let block = Arc::new(self.layout.unpack(&self.source, packed)?);
        let mut kept = self.unpacked.lock();
        kept.truncate(KEPT - 1);
        kept.insert(0, (packed.at, block.clone()));
        Ok(block)
    }

    /// Whether these bytes are known to be zeroes, and how far that goes.
    fn zeroes(&self, at: u64) -> io::Result<(bool, u64)> {
        let (place, len) = self.layout.find(&self.source, at)?;
        let len = len.clamp(1, self.size - at);
        match (place, &self.below) {
            (Place::Zeroes, _) | (Place::Below, None) => Ok((true, len)),
            (Place::Below, Some(below)) if at >= below.size() => Ok((true, len)),
            (Place::Below, Some(below)) => Ok(match below.next_data(at)? {
                None => (true, len),
                Some(data) if data.start > at => (true, len.min(data.start - at)),
                Some(data) => (false, len.min(data.end.saturating_sub(at)).max(1)),
            }),
            _ => Ok((false, len)),
        }
    }
}

impl<L: Layout> Image for ReadOnly<L> {
    fn size(&self) -> u64 {
        self.size
    }

    fn physical_block(&self) -> u32 {
        4096
    }

    fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()> {
        self.read(offset, &mut Guest::new(to))
    }

    fn read_bytes(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.read(offset, &mut Ours::new(to))
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let mut at = from;
        while at < self.size {
            match self.zeroes(at)? {
                (true, len) => at += len,
                (false, len) => return Ok(Some(at..at + len)),
            }
        }
        Ok(None)
    }

    fn write_at(&self, _offset: u64, _from: &[Slice]) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write_zeroes(&self, _offset: u64, _len: u64, _may_unmap: bool) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests;
