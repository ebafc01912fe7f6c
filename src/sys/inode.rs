//! What a descriptor names, also one that was opened with O_PATH: attributes, extended attributes, another opening of it.

use super::fd::check;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The fields asked of statx(2).
const MASK: libc::c_uint = libc::STATX_BASIC_STATS | libc::STATX_BTIME | libc::STATX_MNT_ID;

pub fn stat(fd: BorrowedFd<'_>) -> io::Result<libc::statx> {
    statx(fd, c"", libc::AT_EMPTY_PATH)
}

/// What `name` in `dir` is, itself when it is a symbolic link.
pub fn stat_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<libc::statx> {
    statx(dir, name, 0)
}

fn statx(fd: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> io::Result<libc::statx> {
    // SAFETY: all-zero is a valid struct statx to be filled.
    let mut out: libc::statx = unsafe { std::mem::zeroed() };
    let flags = flags | libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT;
    // SAFETY: the name is a C string, `out` a struct statx.
    check(unsafe { libc::statx(fd.as_raw_fd(), name.as_ptr(), flags, MASK, &raw mut out) })?;
    Ok(out)
}

/// About the file system that `fd` is on.
pub fn stat_fs(fd: BorrowedFd<'_>) -> io::Result<libc::statfs64> {
    // SAFETY: all-zero is a valid struct statfs to be filled.
    let mut out: libc::statfs64 = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one struct statfs.
    check(unsafe { libc::fstatfs64(fd.as_raw_fd(), &raw mut out) })?;
    Ok(out)
}

/// The text of the symbolic link that `fd` was opened on.
pub fn read_link(fd: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut text = vec![0; libc::PATH_MAX as usize];
    // SAFETY: the kernel writes at most the length of the buffer.
    let n = unsafe { libc::readlinkat(fd.as_raw_fd(), c"".as_ptr(), text.as_mut_ptr().cast(), text.len()) };
    text.truncate(usize::try_from(n).map_err(|_| io::Error::last_os_error())?);
    Ok(text)
}

/// A path to exactly what `fd` is open on, for calls that take no O_PATH descriptor.
fn path(fd: BorrowedFd<'_>) -> io::Result<CString> {
    Ok(CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?)
}

/// Opens what `fd` is open on once more, with other flags (O_CLOEXEC is added).
pub fn reopen(fd: BorrowedFd<'_>, flags: libc::c_int) -> io::Result<File> {
    let path = path(fd)?;
    loop {
        // SAFETY: the path is a C string.
        match check(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) }) {
            // SAFETY: a new descriptor that nobody else owns.
            Ok(fd) => return Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) })),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// One more name for what `fd` is open on.
pub fn link(fd: BorrowedFd<'_>, dir: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let (path, flags) = (path(fd)?, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: both are C strings. What is followed is the link of procfs, to the file itself.
    check(unsafe { libc::linkat(libc::AT_FDCWD, path.as_ptr(), dir.as_raw_fd(), name.as_ptr(), flags) }).map(drop)
}

pub fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    let path = path(fd)?;
    // SAFETY: the path is a C string.
    check(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
}

/// `u32::MAX` leaves one as it is.
pub fn change_owner(fd: BorrowedFd<'_>, user: u32, group: u32) -> io::Result<()> {
    // SAFETY: the empty name is a C string.
    check(unsafe { libc::fchownat(fd.as_raw_fd(), c"".as_ptr(), user, group, libc::AT_EMPTY_PATH) }).map(drop)
}

/// Sets the times of last access and change; UTIME_NOW and UTIME_OMIT are nanoseconds with a meaning.
pub fn change_times(fd: BorrowedFd<'_>, times: [libc::timespec; 2]) -> io::Result<()> {
    let path = path(fd)?;
    // SAFETY: the path is a C string, and there are two times.
    check(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) }).map(drop)
}

pub fn truncate(fd: BorrowedFd<'_>, size: libc::off_t) -> io::Result<()> {
    let path = path(fd)?;
    // SAFETY: the path is a C string.
    check(unsafe { libc::truncate(path.as_ptr(), size) }).map(drop)
}

/// Fills `value` with an extended attribute; says how long it is, also when `value` is empty.
pub fn attribute(fd: BorrowedFd<'_>, name: &CStr, value: &mut [u8]) -> io::Result<usize> {
    let path = path(fd)?;
    // SAFETY: both are C strings; the kernel writes at most the length of the buffer.
    let n = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Fills `names` with the names of the extended attributes, each with a NUL at its end.
pub fn attributes(fd: BorrowedFd<'_>, names: &mut [u8]) -> io::Result<usize> {
    let path = path(fd)?;
    // SAFETY: the path is a C string; the kernel writes at most the length of the buffer.
    let n = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// `flags` are those of setxattr(2).
pub fn set_attribute(fd: BorrowedFd<'_>, name: &CStr, value: &[u8], flags: libc::c_int) -> io::Result<()> {
    let path = path(fd)?;
    let (value, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: both are C strings, the value has its length.
    check(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value, len, flags) }).map(drop)
}

pub fn remove_attribute(fd: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let path = path(fd)?;
    // SAFETY: both are C strings.
    check(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}
