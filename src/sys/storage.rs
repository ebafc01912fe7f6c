//! What imago (the crate that knows qcow2) wants of the thing that holds an image, from what we have: reads and writes of
//! plain bytes. imago asks for `unsafe fn`s, because it checks alignment and overlapping writes before it calls them;
//! nothing here depends on either.

use imago::io_buffers::{IoVector, IoVectorMut};
use imago::storage::PreallocateMode;
use imago::storage::drivers::CommonStorageHelper;
use std::fmt;
use std::io;

/// Something that holds bytes. What is beyond its end reads as zero.
pub trait Bytes: Send + Sync + 'static {
    fn size(&self) -> io::Result<u64>;
    fn read(&self, offset: u64, to: &mut [u8]) -> io::Result<()>;
    fn write(&self, offset: u64, from: &[u8]) -> io::Result<()>;
}

/// [`Bytes`] as imago takes them.
pub struct Storage<B> {
    bytes: B,
    helper: CommonStorageHelper,
}

impl<B> Storage<B> {
    pub fn new(bytes: B) -> Storage<B> {
        Storage { bytes, helper: CommonStorageHelper::default() }
    }

    pub fn bytes(&self) -> &B {
        &self.bytes
    }
}

impl<B> fmt::Debug for Storage<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("storage")
    }
}

impl<B> fmt::Display for Storage<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("storage")
    }
}

impl<B: Bytes> imago::Storage for Storage<B> {
    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }

    // SAFETY: safe for every caller, as said above.
    unsafe fn pure_readv(&self, parts: IoVectorMut<'_>, mut offset: u64) -> io::Result<()> {
        for mut part in parts.into_inner() {
            self.bytes.read(offset, &mut part)?;
            offset = after(offset, part.len())?;
        }
        Ok(())
    }

    // SAFETY: safe for every caller.
    unsafe fn pure_writev(&self, parts: IoVector<'_>, mut offset: u64) -> io::Result<()> {
        for part in parts.into_inner() {
            self.bytes.write(offset, &part)?;
            offset = after(offset, part.len())?;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    // SAFETY: there is no cache.
    unsafe fn invalidate_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn get_storage_helper(&self) -> &CommonStorageHelper {
        &self.helper
    }

    /// A file grows as it is written.
    fn resize(&self, _size: u64, _mode: PreallocateMode) -> io::Result<()> {
        Ok(())
    }
}

fn after(offset: u64, len: usize) -> io::Result<u64> {
    offset.checked_add(len as u64).ok_or(io::ErrorKind::InvalidInput.into())
}
