//! What only the first process of a system does: mounts, modules, the host name, the loopback, the end.

use super::fd::check;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Mounts a file system of type `kind` on `at`; `read_only` besides what `data` says.
pub fn mount(source: &CStr, at: &CStr, kind: &CStr, read_only: bool, data: &CStr) -> io::Result<()> {
    let flags = if read_only { libc::MS_RDONLY } else { 0 };
    // SAFETY: C strings; the kernel copies the data up to its zero.
    check(unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) }).map(drop)
}

/// Moves the mount at `from` to `to`.
pub fn move_mount(from: &CStr, to: &CStr) -> io::Result<()> {
    let none = std::ptr::null();
    // SAFETY: C strings; type and data are not looked at.
    check(unsafe { libc::mount(from.as_ptr(), to.as_ptr(), none, libc::MS_MOVE, none.cast()) }).map(drop)
}

/// Makes the mount at `root` the root of this process, as switch_root(8) does from an initramfs.
pub fn switch_root(root: &CStr) -> io::Result<()> {
    // SAFETY: a C string.
    check(unsafe { libc::chdir(root.as_ptr()) })?;
    move_mount(c".", c"/")?;
    // SAFETY: C strings.
    check(unsafe { libc::chroot(c".".as_ptr()) })?;
    // SAFETY: as above.
    check(unsafe { libc::chdir(c"/".as_ptr()) }).map(drop)
}

/// Makes the character device `major`:`minor` at `path`.
pub fn make_device(path: &CStr, major: u32, minor: u32) -> io::Result<()> {
    // SAFETY: a C string.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o600, libc::makedev(major, minor)) }).map(drop)
}

/// Loads a kernel module from its file (finit_module(2)).
pub fn load_module(module: &File, parameters: &CStr) -> io::Result<()> {
    // SAFETY: a C string; the descriptor is open.
    let rc = unsafe { libc::syscall(libc::SYS_finit_module, module.as_raw_fd(), parameters.as_ptr(), 0) };
    check(libc::c_int::try_from(rc).unwrap_or(-1)).map(drop)
}

pub fn set_hostname(name: &OsStr) -> io::Result<()> {
    let name = name.as_bytes();
    // SAFETY: the bytes and their number.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }).map(drop)
}

/// Makes the network interface `lo` work (netdevice(7)).
pub fn loopback_up() -> io::Result<()> {
    // SAFETY: no pointers; the result is checked.
    let socket = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: a complete ifreq with a name that ends in zeroes.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) }).map(drop)
}

/// Writes everything back to where it is kept.
pub fn sync() {
    // SAFETY: no arguments.
    unsafe { libc::sync() };
}

/// The same for the file system that `file` is on; errors of earlier writes are told here.
pub fn sync_file_system(file: &File) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::syncfs(file.as_raw_fd()) }).map(drop)
}

/// Ends the machine. Returns only if the kernel refuses.
pub fn power_off() {
    // SAFETY: no pointers.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
}

/// Nobody may trace this process or read its memory through /proc, save who may do anything.
pub fn not_dumpable() {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Pages of this process stay in memory once they are there, and it is served before others.
pub fn be_important() {
    // SAFETY: no pointers; without the rights it stays as it is.
    unsafe {
        libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT);
        libc::setpriority(libc::PRIO_PROCESS, 0, -20);
    }
}

/// Nanoseconds since the system started, sleep included (CLOCK_BOOTTIME).
pub fn uptime_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let (s, ns) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    s.saturating_mul(1_000_000_000).saturating_add(ns)
}
