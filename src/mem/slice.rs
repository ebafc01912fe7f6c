//! A checked piece of guest memory. It keeps the memory alive, so it may be kept while an operation is in flight.

use super::Memory;
use crate::sys::uring::Parts;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

#[derive(Clone)]
pub struct Slice {
    host: *mut u8,
    len: usize,
    _memory: Memory,
}

// SAFETY: the bytes are only reached by copies that tolerate concurrent change (the guest changes them all the time).
unsafe impl Send for Slice {}
// SAFETY: as above.
unsafe impl Sync for Slice {}

impl Slice {
    /// # Safety
    /// `host..host+len` lies within a mapping that `memory` keeps alive.
    pub(super) unsafe fn new(host: *mut u8, len: usize, memory: Memory) -> Slice {
        Slice { host, len, _memory: memory }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it begins and ends at multiples of `unit`.
    pub fn is_aligned(&self, unit: usize) -> bool {
        (self.host as usize).is_multiple_of(unit) && self.len.is_multiple_of(unit)
    }

    /// Copies as much as both sides hold; says how much.
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        let n = out.len().min(self.len);
        // SAFETY: n bytes are inside both; they cannot overlap, as `out` is not guest memory.
        unsafe { std::ptr::copy_nonoverlapping(self.host, out.as_mut_ptr(), n) };
        n
    }

    /// Copies as much as both sides hold; says how much.
    pub fn copy_from(&self, data: &[u8]) -> usize {
        let n = data.len().min(self.len);
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.host, n) };
        n
    }

    /// As [`Slice::copy_from`], for pages that nobody has touched: the host allocates them as it writes them, where a copy
    /// through the mapping would take a fault for each, and have it zeroed first.
    pub fn store(&self, data: &[u8]) -> usize {
        let data = data.get(..self.len).unwrap_or(data);
        let written = self._memory.write_file(self.host as u64, data).unwrap_or(0);
        written + self.skip(written).copy_from(data.get(written..).unwrap_or_default())
    }

    /// Sets every byte to `value`.
    pub fn fill(&self, value: u8) {
        // SAFETY: the whole range is ours to write.
        unsafe { std::ptr::write_bytes(self.host, value, self.len) };
    }

    /// What is left from byte `n` on (empty when there is nothing).
    pub fn skip(&self, n: usize) -> Slice {
        let n = n.min(self.len);
        // SAFETY: n <= len, so the rest lies within the same mapping.
        unsafe { Slice::new(self.host.add(n), self.len - n, self._memory.clone()) }
    }

    /// The first `n` bytes (or all there are).
    pub fn take(&self, n: usize) -> Slice {
        Slice { len: n.min(self.len), ..self.clone() }
    }

    /// Reads from byte `offset` of `file` straight into guest memory. As pread does, it may give less than asked,
    /// and 0 at the end of the file.
    pub fn read_from(&self, file: &File, offset: u64) -> io::Result<usize> {
        let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        loop {
            // SAFETY: the kernel writes at most len bytes, and the whole range is ours to write.
            let n = unsafe { libc::pread(file.as_raw_fd(), self.host.cast(), self.len, offset) };
            match usize::try_from(n) {
                Ok(n) => return Ok(n),
                Err(_) => match io::Error::last_os_error() {
                    e if e.kind() == io::ErrorKind::Interrupted => continue,
                    e => return Err(e),
                },
            }
        }
    }

    /// For preadv, pwritev, readv, writev and io_uring.
    pub fn iovec(&self) -> libc::iovec {
        libc::iovec { iov_base: self.host.cast(), iov_len: self.len }
    }
}

// SAFETY: each slice lies in a mapping that it keeps alive, and may be read and written as the kernel likes.
unsafe impl Parts for Vec<Slice> {
    fn list(&self, to: &mut Vec<libc::iovec>) {
        to.extend(self.iter().filter(|part| !part.is_empty()).map(Slice::iovec));
    }
}
