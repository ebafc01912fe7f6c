//! Disk images: bytes that a guest reads and writes by offset, whatever holds them. Raw files and block devices so far.

#![allow(dead_code)] // the formats that use it come next

mod file;
mod format;
mod lock;
mod qcow2_meta;
mod readonly;
mod source;

use crate::mem::Slice;
use anyhow::Result;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use format::Format;

/// The unit of a disk's size; every image is a whole number of them.
pub const SECTOR: u64 = 512;

/// An open disk image. Takes `&self`: several threads may use it at once.
/// Ranges that reach beyond [`Image::size`] are an error (`InvalidInput`) and change nothing.
pub trait Image: Send + Sync {
    /// Bytes, a multiple of [`SECTOR`].
    fn size(&self) -> u64;

    /// Bytes that the host writes without having to read first; a power of two, 512 at least.
    fn physical_block(&self) -> u32;

    /// Fills `to` in order.
    fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()>;

    fn write_at(&self, offset: u64, from: &[Slice]) -> io::Result<()>;

    /// Fills memory of kiln's own, for who looks into an image before a guest runs.
    fn read_bytes(&self, offset: u64, to: &mut [u8]) -> io::Result<()>;

    /// The first bytes at or after `from` that may be something else than zeroes; not more than there are in one piece.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        Ok((from < self.size()).then(|| from..self.size()))
    }

    /// The file whose bytes are the disk's, offset by offset, when the image is one: an engine may go to it directly.
    fn plain(&self) -> Option<&fs::File> {
        None
    }

    /// What was written before survives a crash of the host.
    fn flush(&self) -> io::Result<()>;

    /// Nobody needs these bytes any more. A hint: they may read as before, as zero or (block devices) as anything.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()>;

    /// These bytes read as zero. `may_unmap`: the host may take their storage back.
    fn write_zeroes(&self, offset: u64, len: u64, may_unmap: bool) -> io::Result<()>;
}

/// How an image is to be opened.
#[derive(Debug, Clone)]
pub struct How {
    pub format: Format,
    pub readonly: bool,
    /// Past the host's page cache (O_DIRECT).
    pub direct: bool,
    pub writes: Writes,
}

/// Where what the guest writes goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writes {
    /// Into the image.
    Image,
    /// Into a temporary file without a name; nothing is left of it in the end.
    Throwaway,
    /// Into a new qcow2 image on top of this one.
    Overlay(PathBuf),
}

/// Opens and locks an image. The error says what is wrong with which path, and what to do.
pub fn open(path: &Path, how: &How) -> Result<Box<dyn Image>> {
    Ok(Box::new(file::File::open(path, how.format, how.readonly)?))
}

#[cfg(test)]
mod tests;
