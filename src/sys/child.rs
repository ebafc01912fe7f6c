//! Children that end with us, and waiting for their end among other things.

use super::fd::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts `command` in a process group of its own. The child is killed when the calling thread ends, however that comes about, and has `kept`
/// under the same numbers as we do (everything else is closed on exec, as always in kiln).
pub fn spawn_tied(command: &mut Command, kept: BorrowedFd<'_>) -> io::Result<Child> {
    let kept: RawFd = kept.as_raw_fd();
    // SAFETY: no pointers, cannot fail.
    let us = unsafe { libc::getpid() };
    let tie = move || {
        // SAFETY: no pointers.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // SAFETY: no pointers, cannot fail. We may have ended before the line above: then nobody is told.
        if unsafe { libc::getppid() } != us {
            return Err(io::ErrorKind::NotFound.into());
        }
        // SAFETY: no pointers; the descriptor is the child's own copy.
        check(unsafe { libc::fcntl(kept, libc::F_SETFD, 0) })?;
        Ok(())
    };
    // SAFETY: `tie` runs between fork and exec: it makes system calls only, and its errors allocate nothing.
    unsafe { command.pre_exec(tie) };
    command.process_group(0).spawn()
}

/// A descriptor that is readable once `child` has ended. It is still to be waited for.
pub fn ending(child: &Child) -> io::Result<OwnedFd> {
    // SAFETY: no pointers. The process is not reaped before `child` is waited for, so the number is its own.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id() as libc::pid_t, 0) };
    let fd = check(libc::c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: a new descriptor that nobody else owns; Linux makes it close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Asks `child`, and what it started, to end (SIGTERM). It leads a process group of its own, and has not been waited for.
pub fn terminate(child: &Child) {
    signal(child, libc::SIGTERM);
}

/// The same, and they are not asked (SIGKILL).
pub fn kill(child: &Child) {
    signal(child, libc::SIGKILL);
}

fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: no pointers. Not reaped yet, as above, so the group is the child's.
    unsafe { libc::kill(-(child.id() as libc::pid_t), signal) };
}

#[cfg(test)]
mod tests;
