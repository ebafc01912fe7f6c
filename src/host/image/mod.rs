//! Disk images: bytes that a guest reads and writes by offset, whatever holds them. Raw files and block devices so far.

mod file;
mod format;
mod lock;

use crate::mem::Slice;
use anyhow::Result;
use std::io;
use std::path::Path;

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

    /// What was written before survives a crash of the host.
    fn flush(&self) -> io::Result<()>;

    /// Nobody needs these bytes any more. A hint: they may read as before, as zero or (block devices) as anything.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()>;

    /// These bytes read as zero. `may_unmap`: the host may take their storage back.
    fn write_zeroes(&self, offset: u64, len: u64, may_unmap: bool) -> io::Result<()>;
}

/// Opens and locks an image. The error says what is wrong with which path, and what to do.
pub fn open(path: &Path, format: Format, readonly: bool) -> Result<Box<dyn Image>> {
    Ok(Box::new(file::File::open(path, format, readonly)?))
}

#[cfg(test)]
mod tests;
