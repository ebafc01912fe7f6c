//! Locks on files and their ranges that belong to an opening (open file description locks, flock(2)), waited for by a
//! thread that can be called out.

use super::fd::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use vmm_sys_util::signal::SIGRTMIN;

/// F_RDLCK, F_WRLCK or F_UNLCK on the bytes from `start` on; length 0 is to the end, wherever that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub kind: i32,
    pub start: i64,
    pub len: i64,
}

impl Range {
    fn raw(self) -> libc::flock {
        libc::flock {
            l_type: self.kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: self.start,
            l_len: self.len,
            l_pid: 0,
        }
    }
}

/// `WouldBlock` when another has a lock in the way; with `wait` it waits instead, until a signal.
pub fn lock_range(fd: BorrowedFd<'_>, range: Range, wait: bool) -> io::Result<()> {
    let command = if wait { libc::F_OFD_SETLKW } else { libc::F_OFD_SETLK };
    // SAFETY: the kernel reads a struct flock.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, &range.raw()) }).map(drop)
}

/// The lock of another that is in the way of `range`, or one of kind F_UNLCK.
pub fn lock_in_the_way(fd: BorrowedFd<'_>, range: Range) -> io::Result<Range> {
    let mut raw = range.raw();
    // SAFETY: the kernel reads and writes a struct flock.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &mut raw) })?;
    Ok(Range { kind: i32::from(raw.l_type), start: raw.l_start, len: raw.l_len })
}

/// flock(2) with LOCK_SH, LOCK_EX or LOCK_UN; `wait` as above.
pub fn lock_whole(fd: BorrowedFd<'_>, kind: i32, wait: bool) -> io::Result<()> {
    let kind = if wait { kind } else { kind | libc::LOCK_NB };
    // SAFETY: no pointers.
    check(unsafe { libc::flock(fd.as_raw_fd(), kind) }).map(drop)
}

/// Lets [`super::call_out`] reach the calling thread, whatever its parent blocked.
pub fn hear_calls() {
    super::signal::unblock(SIGRTMIN());
}
