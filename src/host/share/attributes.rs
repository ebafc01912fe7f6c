//! GETATTR, SETATTR, STATX and STATFS; and attributes as replies have them.

use super::Server;
use super::budget::Held;
use super::errno::{Errno, Res};
use super::tree::device_of;
use super::wire::{self, Fields, Header, Reply, fattr};
use crate::sys::inode;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Bytes of struct fuse_attr.
const ATTR: usize = 88;

/// struct fuse_setattr_in
struct SetattrIn {
    valid: u32,
    fh: u64,
    size: u64,
    atime: (u64, u32),
    mtime: (u64, u32),
    mode: u32,
    uid: u32,
    gid: u32,
}

impl SetattrIn {
    fn new(body: &mut Fields) -> Res<SetattrIn> {
        let valid = body.u32()?;
        body.skip(4)?;
        let (fh, size) = (body.u64()?, body.u64()?);
        body.skip(8)?; // lock_owner
        let (atime, mtime) = (body.u64()?, body.u64()?);
        body.skip(8)?; // ctime
        let (atimensec, mtimensec) = (body.u32()?, body.u32()?);
        body.skip(4)?; // ctimensec
        let mode = body.u32()?;
        body.skip(4)?;
        let (uid, gid) = (body.u32()?, body.u32()?);
        Ok(SetattrIn { valid, fh, size, atime: (atime, atimensec), mtime: (mtime, mtimensec), mode, uid, gid })
    }

    fn has(&self, bits: u32) -> bool {
        self.valid & bits != 0
    }

    /// As utimensat(2) has it.
    fn time(&self, (seconds, nanoseconds): (u64, u32), set: u32, now: u32) -> Res<libc::timespec> {
        if !self.has(set) {
            return Ok(libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT });
        }
        if self.has(now) {
            return Ok(libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW });
        }
        if nanoseconds >= 1_000_000_000 {
            return Err(Errno::INVAL);
        }
        Ok(libc::timespec { tv_sec: seconds.cast_signed(), tv_nsec: i64::from(nanoseconds) })
    }
}

impl Server {
    pub(super) fn getattr(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let flags = body.u32()?;
        body.skip(4)?;
        let fh = body.u64()?;
        let stat = self.stat_node(h.nodeid, (flags & wire::FUSE_GETATTR_FH != 0).then_some(fh))?;
        self.put_attr_out(&stat);
        Ok(())
    }

    pub(super) fn setattr(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let new = SetattrIn::new(body)?;
        self.may_write()?;
        let opened = if new.has(fattr::FH) { Some(self.handles.get(new.fh)?.fd()) } else { None };
        let fd = match &opened {
            Some(fd) => fd.clone(),
            None => self.node_fd(h.nodeid)?,
        };
        let times = [
            new.time(new.atime, fattr::ATIME, fattr::ATIME_NOW)?,
            new.time(new.mtime, fattr::MTIME, fattr::MTIME_NOW)?,
        ];
        if new.has(fattr::UID | fattr::GID) {
            let pick = |bit, id| if new.has(bit) { id } else { u32::MAX };
            inode::change_owner(fd.as_fd(), pick(fattr::UID, new.uid), pick(fattr::GID, new.gid))?;
        }
        // After the owner, because a change of that takes the set-user-ID bit away.
        if new.has(fattr::MODE) {
            inode::change_mode(fd.as_fd(), new.mode & 0o7777)?;
        }
        if new.has(fattr::SIZE) {
            let size = new.size.try_into().map_err(|_| Errno::INVAL)?;
            match opened.map(|opened| crate::sys::range::set_size(opened.as_fd(), size)) {
                Some(Ok(())) => {}
                // Not open for writing, or not at all.
                _ => inode::truncate(fd.as_fd(), size)?,
            }
            if new.has(fattr::KILL_SUIDGID) {
                kill_suidgid(fd.as_fd())?;
            }
        }
        if new.has(fattr::ATIME | fattr::MTIME) {
            inode::change_times(fd.as_fd(), times)?;
        }
        let stat = inode::stat(fd.as_fd())?;
        self.put_attr_out(&stat);
        Ok(())
    }

    pub(super) fn statx(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let flags = body.u32()?;
        body.skip(4)?;
        let fh = body.u64()?;
        let stat = self.stat_node(h.nodeid, (flags & wire::FUSE_GETATTR_FH != 0).then_some(fh))?;
        // struct fuse_statx_out
        let valid = self.settings.cache.period();
        self.out.u64(valid.as_secs());
        self.out.u32(valid.subsec_nanos());
        self.out.u32(0); // flags
        self.out.resize(self.out.len() + 16, 0);
        self.put_statx(&stat);
        Ok(())
    }

    pub(super) fn statfs(&mut self, h: &Header) -> Res<()> {
        let fd = self.node_fd(h.nodeid)?;
        let fs = inode::stat_fs(fd.as_fd())?;
        // struct fuse_kstatfs
        let out = &mut self.out;
        out.u64(fs.f_blocks);
        out.u64(fs.f_bfree);
        out.u64(fs.f_bavail);
        out.u64(fs.f_files);
        out.u64(fs.f_ffree);
        out.u32(u32::try_from(fs.f_bsize).unwrap_or(4096));
        out.u32(u32::try_from(fs.f_namelen).unwrap_or(255));
        out.u32(u32::try_from(fs.f_frsize).unwrap_or(0));
        out.resize(out.len() + 28, 0);
        Ok(())
    }

    /// A descriptor of a node: an open file's own when the host has no such name any more.
    pub(super) fn node_fd(&mut self, id: u64) -> Res<Arc<Held>> {
        match self.tree.fd(id) {
            Err(Errno::STALE) => self.handles.of_node(id).ok_or(Errno::STALE),
            other => other,
        }
    }

    fn stat_node(&mut self, id: u64, fh: Option<u64>) -> Res<libc::statx> {
        if let Some(fh) = fh {
            return Ok(inode::stat(self.handles.get(fh)?.fd().as_fd())?);
        }
        match self.tree.stat(id) {
            Err(Errno::STALE) => Ok(inode::stat(self.handles.of_node(id).ok_or(Errno::STALE)?.as_fd())?),
            other => other,
        }
    }

    /// struct fuse_entry_out
    pub(super) fn put_entry_out(&mut self, id: u64, stat: &libc::statx) {
        self.put_entry(id);
        self.put_attr(stat);
    }

    /// The same for a name that does not exist.
    pub(super) fn put_no_entry_out(&mut self) {
        self.put_entry(0);
        self.out.resize(self.out.len() + ATTR, 0);
    }

    fn put_entry(&mut self, id: u64) {
        let valid = self.settings.cache.period();
        let out = &mut self.out;
        out.u64(id);
        out.u64(0); // generation: numbers are never used again
        out.u64(valid.as_secs()); // entry_valid
        out.u64(valid.as_secs()); // attr_valid
        out.u32(valid.subsec_nanos());
        out.u32(valid.subsec_nanos());
    }

    /// struct fuse_attr_out
    fn put_attr_out(&mut self, stat: &libc::statx) {
        let valid = self.settings.cache.period();
        self.out.u64(valid.as_secs());
        self.out.u32(valid.subsec_nanos());
        self.out.u32(0);
        self.put_attr(stat);
    }

    /// struct fuse_attr
    fn put_attr(&mut self, s: &libc::statx) {
        let out = &mut self.out;
        out.u64(self.tree.devices.fold(device_of(s), s.stx_ino));
        out.u64(s.stx_size);
        out.u64(s.stx_blocks);
        for time in [&s.stx_atime, &s.stx_mtime, &s.stx_ctime] {
            out.u64(time.tv_sec.cast_unsigned());
        }
        for time in [&s.stx_atime, &s.stx_mtime, &s.stx_ctime] {
            out.u32(time.tv_nsec);
        }
        out.u32(u32::from(s.stx_mode));
        out.u32(s.stx_nlink);
        out.u32(s.stx_uid);
        out.u32(s.stx_gid);
        out.u32(rdev(s.stx_rdev_major, s.stx_rdev_minor));
        out.u32(s.stx_blksize);
        out.u32(0); // flags
    }

    /// struct fuse_statx
    fn put_statx(&mut self, s: &libc::statx) {
        let out = &mut self.out;
        out.u32(s.stx_mask & (libc::STATX_BASIC_STATS | libc::STATX_BTIME));
        out.u32(s.stx_blksize);
        out.u64(s.stx_attributes);
        out.u32(s.stx_nlink);
        out.u32(s.stx_uid);
        out.u32(s.stx_gid);
        out.u16(s.stx_mode);
        out.u16(0);
        out.u64(self.tree.devices.fold(device_of(s), s.stx_ino));
        out.u64(s.stx_size);
        out.u64(s.stx_blocks);
        out.u64(s.stx_attributes_mask);
        for time in [&s.stx_atime, &s.stx_btime, &s.stx_ctime, &s.stx_mtime] {
            out.u64(time.tv_sec.cast_unsigned());
            out.u32(time.tv_nsec);
            out.u32(0);
        }
        out.u32(s.stx_rdev_major);
        out.u32(s.stx_rdev_minor);
        out.u32(s.stx_dev_major);
        out.u32(s.stx_dev_minor);
        out.resize(out.len() + 112, 0);
    }
}

/// As Linux packs a device number into 32 bits (new_encode_dev).
fn rdev(major: u32, minor: u32) -> u32 {
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// Takes the set-user-ID bit away, and the set-group-ID bit where it has that meaning: somebody without the right to
/// keep them changed the file.
pub(super) fn kill_suidgid(fd: BorrowedFd<'_>) -> Res<()> {
    let mode = u32::from(inode::stat(fd)?.stx_mode);
    let mut new = mode & !libc::S_ISUID;
    if mode & libc::S_IXGRP != 0 {
        new &= !libc::S_ISGID;
    }
    if new != mode {
        inode::change_mode(fd, new & 0o7777)?;
    }
    Ok(())
}
