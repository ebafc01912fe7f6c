//! For tests: a mount namespace, and users, of a thread's own; mounts of FUSE.

use super::fd::check;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// From now on what this thread, and what it starts, mounts is seen by nobody else, and goes with it.
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: no pointers; concerns this thread only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let none = std::ptr::null();
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the only text is a C string; the others are not looked at.
    check(unsafe { libc::mount(none, c"/".as_ptr(), none, flags, std::ptr::null()) }).map(drop)
}

pub fn mount(kind: &str, source: &Path, at: &Path, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let (kind, data) = (CString::new(kind)?, CString::new(data)?);
    let (source, at) = (CString::new(source.as_os_str().as_bytes())?, CString::new(at.as_os_str().as_bytes())?);
    // SAFETY: four C strings.
    check(unsafe { libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast()) }).map(drop)
}

/// Connects `device`, an open /dev/fuse, to the directory `at`.
pub fn mount_fuse(device: &File, at: &Path) -> io::Result<()> {
    let fd = device.as_raw_fd();
    let data = format!("fd={fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other");
    mount("fuse.kiln", Path::new("kiln"), at, libc::MS_NOSUID | libc::MS_NODEV, &data)
}

pub fn unmount(at: &Path) -> io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes())?;
    // SAFETY: a C string.
    check(unsafe { libc::umount2(at.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// This thread alone acts as another user, in one group. There is no way back.
pub fn become_user(user: u32, group: u32) -> io::Result<()> {
    let none = u32::MAX;
    // SAFETY: no pointers but to no groups at all. Straight to the kernel, so that it concerns this thread only.
    check(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) } as i32)?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresgid, group, group, none) } as i32)?;
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_setresuid, user, user, none) } as i32).map(drop)
}
