//! What std does not offer for files and block devices: holes, zeroes, sizes, and locks on byte ranges.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// _IOR(0x12, 114, size_t): bytes of a block device (linux/fs.h).
const BLKGETSIZE64: libc::Ioctl = 0x8008_1272;
/// _IO(0x12, 119): discard a range of bytes.
const BLKDISCARD: libc::Ioctl = 0x1277;
/// _IO(0x12, 123): physical block size.
const BLKPBSZGET: libc::Ioctl = 0x127b;

/// Gives the blocks of `at..at+len` back to the file system; they read as zero. The file's size stays.
pub fn punch_hole(file: &File, at: u64, len: u64) -> io::Result<()> {
    fallocate(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, at, len)
}

/// Makes `at..at+len` read as zero and keeps its blocks. The file's size stays.
pub fn zero_range(file: &File, at: u64, len: u64) -> io::Result<()> {
    fallocate(file, libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE, at, len)
}

fn fallocate(file: &File, mode: libc::c_int, at: u64, len: u64) -> io::Result<()> {
    let wrap = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let (at, len) = (libc::off_t::try_from(at).map_err(wrap)?, libc::off_t::try_from(len).map_err(wrap)?);
    loop {
        // SAFETY: no pointers.
        match check(unsafe { libc::fallocate(file.as_raw_fd(), mode, at, len) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Takes O_NONBLOCK back, with which io_uring would answer EAGAIN instead of waiting.
pub fn wait_for_data(file: &File) -> io::Result<()> {
    change_flags(file, |flags| flags & !libc::O_NONBLOCK)
}

/// From now on transfers pass the host's page cache by (O_DIRECT).
pub fn set_direct(file: &File) -> io::Result<()> {
    change_flags(file, |flags| flags | libc::O_DIRECT)
}

/// Whether the file's host can say that a read would have to wait (RWF_NOWAIT), so that io_uring need not give every one to a thread.
pub fn knows_when_to_wait(file: &File) -> bool {
    let mut byte = 0u8;
    let part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: the kernel writes one byte at most, to `byte`.
    match check(unsafe { libc::preadv2(file.as_raw_fd(), &part, 1, 0, libc::RWF_NOWAIT) } as libc::c_int) {
        Ok(_) => true,
        Err(e) => e.kind() == io::ErrorKind::WouldBlock,
    }
}

fn change_flags(file: &File, change: impl Fn(libc::c_int) -> libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, change(flags)) }).map(drop)
}

/// A new file in `dir` that has no name, and is gone when it is closed.
pub fn nameless(dir: &Path) -> io::Result<File> {
    File::options().read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(dir)
}

/// A new file in `dir` that gets a name later, by [`link`].
pub fn unnamed(dir: &Path) -> io::Result<File> {
    File::options().read(true).write(true).mode(0o666).custom_flags(libc::O_TMPFILE).open(dir)
}

/// Gives such a file a name, which nobody may have yet.
pub fn link(file: &File, path: &Path) -> io::Result<()> {
    let wrap = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let from = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(wrap)?;
    let to = CString::new(path.as_os_str().as_bytes()).map_err(wrap)?;
    let (here, flags) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: two C strings.
    check(unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), flags) }).map(drop)
}

/// Tells a block device that nobody needs `at..at+len` any more; it may read as anything.
pub fn discard_blocks(device: &File, at: u64, len: u64) -> io::Result<()> {
    let range = [at, len];
    // SAFETY: the kernel reads two u64 from `range`.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKDISCARD, range.as_ptr()) }).map(drop)
}

/// Bytes of a block device.
pub fn block_device_size(device: &File) -> io::Result<u64> {
    let mut size = 0u64;
    // SAFETY: the kernel writes one u64.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64, &mut size) })?;
    Ok(size)
}

/// The unit, in bytes, that a block device writes without reading first.
pub fn physical_block(device: &File) -> io::Result<u32> {
    let mut size: libc::c_uint = 0;
    // SAFETY: the kernel writes one unsigned int.
    check(unsafe { libc::ioctl(device.as_raw_fd(), BLKPBSZGET, &mut size) })?;
    Ok(size)
}

/// The first stretch at or after `from` that is not a hole. The file's position changes.
pub fn next_data(file: &File, from: u64) -> io::Result<Option<Range<u64>>> {
    let Some(start) = seek(file, from, libc::SEEK_DATA)? else { return Ok(None) };
    // There is a hole at the end of every file.
    let end = seek(file, start, libc::SEEK_HOLE)?.unwrap_or(start);
    Ok(Some(start..end))
}

/// `None`: there is none from `offset` to the end of the file.
fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<Option<u64>> {
    let offset = libc::off_t::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: no pointers.
    let at = unsafe { libc::lseek(file.as_raw_fd(), offset, whence) };
    match u64::try_from(at) {
        Ok(at) => Ok(Some(at)),
        Err(_) => match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            e => Err(e),
        },
    }
}

/// Takes a shared lock on bytes that belongs to this opening of the file (fcntl(2), open file description locks).
/// `WouldBlock`: somebody holds an exclusive one.
pub fn lock_shared(file: &File, bytes: Range<i64>) -> io::Result<()> {
    let mut lock = flock(libc::F_RDLCK, bytes);
    // SAFETY: `lock` is a struct flock.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &mut lock) }).map(drop)
}

/// Whether another opening of the file has any lock on these bytes.
pub fn locked_by_another(file: &File, bytes: Range<i64>) -> io::Result<bool> {
    let mut lock = flock(libc::F_WRLCK, bytes);
    // SAFETY: the kernel reads and writes a struct flock.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) })?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

fn flock(kind: libc::c_int, bytes: Range<i64>) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start,
        l_len: bytes.end - bytes.start,
        l_pid: 0,
    }
}

fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}
