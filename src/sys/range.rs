//! Ranges of an open file: room for them, where data is, copies between files; and when they are safe.

use super::fd::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd};

/// fallocate(2)
pub fn allocate(fd: BorrowedFd<'_>, mode: libc::c_int, at: i64, len: i64) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::fallocate(fd.as_raw_fd(), mode, at, len) }).map(drop)
}

pub fn set_size(fd: BorrowedFd<'_>, size: i64) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::ftruncate(fd.as_raw_fd(), size) }).map(drop)
}

/// lseek(2); says the new position.
pub fn seek(fd: BorrowedFd<'_>, at: i64, whence: libc::c_int) -> io::Result<u64> {
    // SAFETY: no pointers.
    let position = unsafe { libc::lseek(fd.as_raw_fd(), at, whence) };
    u64::try_from(position).map_err(|_| io::Error::last_os_error())
}

/// copy_file_range(2); says how many bytes were copied.
pub fn copy(from: BorrowedFd<'_>, mut at: i64, to: BorrowedFd<'_>, mut to_at: i64, len: usize) -> io::Result<usize> {
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: the kernel reads and writes the two offsets.
    let n = unsafe { libc::copy_file_range(from, &raw mut at, to, &raw mut to_at, len, 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// fsync(2), or fdatasync(2).
pub fn sync(fd: BorrowedFd<'_>, data_only: bool) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    // SAFETY: no pointers.
    check(if data_only { unsafe { libc::fdatasync(fd) } } else { unsafe { libc::fsync(fd) } }).map(drop)
}

/// Everything on the file system of `fd`.
pub fn sync_all(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syncfs(fd.as_raw_fd()) }).map(drop)
}

/// What close(2) has to say about earlier writes. `fd` stays open.
pub fn close_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    let duplicate = fd.try_clone_to_owned()?.into_raw_fd();
    // SAFETY: nobody else has the duplicate.
    check(unsafe { libc::close(duplicate) }).map(drop)
}
