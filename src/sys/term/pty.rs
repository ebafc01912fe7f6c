//! Pseudo terminals.

use super::{attributes, made_raw, set_attributes};
use crate::sys::fd::check;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// A new pseudo terminal: our end, non-blocking, and the path of the other, which is raw.
pub fn open_pty() -> io::Result<(File, PathBuf)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::posix_openpt(flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let ours = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: no pointers.
    check(unsafe { libc::grantpt(fd) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::unlockpt(fd) })?;
    let mut name = [0; 64];
    // SAFETY: a buffer of ours and its size.
    let rc = unsafe { libc::ptsname_r(fd, name.as_mut_ptr(), name.len()) };
    if rc != 0 {
        return Err(io::Error::from_raw_os_error(rc));
    }
    // SAFETY: ptsname_r ended the name with a zero.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    // Both ends have one set of settings, that of the other end; it lasts while ours is open.
    set_attributes(ours.as_raw_fd(), &made_raw(attributes(ours.as_raw_fd())?))?;
    let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
    // From its first close on, poll says "hung up" while nobody has the other end open.
    drop(File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&path)?);
    Ok((ours, path))
}
