//! Names in a directory: opened beneath it, made, removed, renamed and listed. A name is one component, never a path
//! with `..`; nothing here follows a symbolic link.

use super::fd::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens `path` below `dir` with `flags` (O_CLOEXEC is added) and, for a new file, `mode`. No component may be a symbolic
/// link, lead above `dir`, or be a magic link of procfs; only with O_PATH and O_NOFOLLOW may the last one be a
/// symbolic link, which is then opened itself. (openat2(2), Linux 5.6)
pub fn open_beneath(dir: BorrowedFd<'_>, path: &CStr, flags: libc::c_int, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid open_how, as openat2(2) has it.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = u64::from((flags | libc::O_CLOEXEC).cast_unsigned());
    how.mode = u64::from(mode);
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS | libc::RESOLVE_NO_SYMLINKS;
    let size = size_of::<libc::open_how>();
    loop {
        // SAFETY: the path is a C string, `how` a struct open_how of `size` bytes.
        let fd =
            unsafe { libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), &raw const how, size) } as i32;
        match check(fd) {
            // SAFETY: a new descriptor that nobody else owns.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

pub fn make_dir(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> io::Result<()> {
    // SAFETY: the name is a C string.
    check(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// `mode` has the type of the node; `device` counts for device nodes only.
pub fn make_node(dir: BorrowedFd<'_>, name: &CStr, mode: u32, device: libc::dev_t) -> io::Result<()> {
    // SAFETY: the name is a C string.
    check(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, device) }).map(drop)
}

pub fn make_symlink(dir: BorrowedFd<'_>, name: &CStr, text: &CStr) -> io::Result<()> {
    // SAFETY: both are C strings.
    check(unsafe { libc::symlinkat(text.as_ptr(), dir.as_raw_fd(), name.as_ptr()) }).map(drop)
}

/// Removes a name; `is_dir` says what it must be.
pub fn remove(dir: BorrowedFd<'_>, name: &CStr, is_dir: bool) -> io::Result<()> {
    let flags = if is_dir { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the name is a C string.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) }).map(drop)
}

/// `flags` are those of renameat2(2).
pub fn rename(
    from: BorrowedFd<'_>,
    name: &CStr,
    to: BorrowedFd<'_>,
    new_name: &CStr,
    flags: libc::c_uint,
) -> io::Result<()> {
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: both names are C strings.
    check(unsafe { libc::renameat2(from, name.as_ptr(), to, new_name.as_ptr(), flags) }).map(drop)
}

/// Fills `buffer` with struct linux_dirent64 from the directory's position on; says how many bytes (0: the end).
pub fn read_entries(dir: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let at = buffer.as_mut_ptr();
    // SAFETY: the kernel writes at most the length of the buffer.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), at, buffer.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Gives the calling thread a umask (and working directory) of its own, and makes the umask 0.
pub fn own_umask() -> io::Result<()> {
    // SAFETY: no pointers; concerns the calling thread only.
    check(unsafe { libc::unshare(libc::CLONE_FS) })?;
    // SAFETY: cannot fail.
    unsafe { libc::umask(0) };
    Ok(())
}

/// Raises the soft limit of open files to the hard one; says what it is then.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one struct rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one struct rlimit.
    match check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }) {
        Ok(_) => Ok(limit.rlim_max),
        Err(_) => Ok(before),
    }
}

/// The effective user.
pub fn effective_user() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() }
}

/// A write beyond RLIMIT_FSIZE is an error from now on, and no signal that ends the process.
pub fn ignore_file_size_signal() {
    super::signal::ignore(libc::SIGXFSZ);
}
