//! Which guest memory the host has given pages for: the rest was never touched and reads as zero.

use super::Memory;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

impl Memory {
    /// The first stretch at or after guest physical address `from` that may hold something else than zeroes.
    /// It lies within one region. Looking for it touches no page, so none is given for it.
    pub fn populated(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        for region in self.0.map.iter() {
            let base = region.start_addr().0;
            let offset = from.saturating_sub(base);
            let Some(file) = region.file_offset().filter(|_| offset < region.len()) else { continue };
            let end = file.start().saturating_add(region.len());
            let Some(data) = seek(&self.0.file, file.start().saturating_add(offset), libc::SEEK_DATA)? else {
                continue;
            };
            if data >= end {
                continue;
            }
            // There is a hole at the end of every file.
            let hole = seek(&self.0.file, data, libc::SEEK_HOLE)?.unwrap_or(end).min(end);
            let at = |offset: u64| base.saturating_add(offset - file.start());
            return Ok(Some(at(data)..at(hole)));
        }
        Ok(None)
    }
}

/// `None`: there is none from `offset` to the end of the file. The file's position, which nobody uses, changes.
fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<Option<u64>> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: a system call on our own file, without pointers.
    let at = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    match u64::try_from(at) {
        Ok(at) => Ok(Some(at)),
        Err(_) => match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            e => Err(e),
        },
    }
}
