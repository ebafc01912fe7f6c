//! Regular files: opened, made, read, written. Their data goes between the file and guest memory without a stop.

use super::attributes::kill_suidgid;
use super::budget::Held;
use super::call::Call;
use super::errno::{Errno, Res};
use super::handles::{Handle, OpenFile};
use super::nodes::Stamp;
use super::wire::{self, Fields, Header, Reply};
use super::{Cache, Server};
use crate::mem::vectored;
use crate::sys::{dir, inode, range};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Added to every opening: nothing may keep the server waiting.
const ALWAYS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;
/// The flags of the caller that an opening here has too. Not O_APPEND: each write says where it goes; not O_DIRECT:
/// the guest's buffers are not aligned for the host.
const PASSED: u32 = (libc::O_ACCMODE | libc::O_TRUNC | libc::O_SYNC | libc::O_DSYNC) as u32;
/// Bytes that one COPY_FILE_RANGE copies at most: others wait meanwhile.
const COPY: u64 = 64 << 20;

/// struct fuse_create_in
struct CreateIn {
    flags: u32,
    mode: u32,
}

impl CreateIn {
    fn new(body: &mut Fields) -> Res<CreateIn> {
        let new = CreateIn { flags: body.u32()?, mode: body.u32()? };
        body.skip(8)?; // umask, which the client has applied, and open_flags
        Ok(new)
    }

    fn flags(&self) -> i32 {
        ((self.flags & PASSED).cast_signed() & !libc::O_TRUNC) | ALWAYS
    }

    /// With the type.
    fn mode(&self) -> u32 {
        libc::S_IFREG | self.mode & 0o7777
    }
}

impl Server {
    pub(super) fn open_file(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let (flags, open_flags) = (body.u32()?, body.u32()?);
        let writes = flags & (libc::O_ACCMODE | libc::O_TRUNC) as u32 != libc::O_RDONLY as u32;
        if writes {
            self.may_write()?;
        }
        let kill = open_flags & wire::FUSE_OPEN_KILL_SUIDGID != 0 && flags & libc::O_TRUNC as u32 != 0;
        self.open_node(h.nodeid, flags, kill)
    }

    fn open_node(&mut self, id: u64, flags: u32, kill: bool) -> Res<()> {
        match self.tree.nodes.get(id)?.kind {
            libc::S_IFREG => {}
            libc::S_IFDIR => return Err(Errno(libc::EISDIR)),
            libc::S_IFLNK => return Err(Errno(libc::ELOOP)),
            // The client opens its own; those of the host are none of its business.
            _ => return Err(Errno::NXIO),
        }
        let place = self.node_fd(id)?;
        let device = self.tree.nodes.get(id)?.identity.device;
        let known = self.tree.devices.get(device);
        if known.unwrap_or_else(|| self.tree.devices.add(device, place.as_fd())).processes {
            return Err(Errno::ACCES);
        }
        self.tree.budget.check()?;
        let fd = self.reopen(place.as_fd(), (flags & PASSED).cast_signed() | ALWAYS)?;
        if kill {
            kill_suidgid(fd.as_fd())?;
        }
        let stat = inode::stat(fd.as_fd())?;
        let keep = self.unchanged(id, &stat);
        let fh = self.handles.add(Handle::File(OpenFile { node: id, fd: Arc::new(fd) }));
        self.put_open_out(fh, keep);
        Ok(())
    }

    /// Opens what `place` names. Where nothing may change, not even the time of the last access does.
    pub(super) fn reopen(&self, place: BorrowedFd<'_>, flags: i32) -> Res<Held> {
        let quiet = self.settings.readonly
            && (self.user == 0 || inode::stat(place).is_ok_and(|stat| stat.stx_uid == self.user));
        if quiet && let Ok(file) = inode::reopen(place, flags | libc::O_NOATIME) {
            return Ok(self.tree.budget.hold(file));
        }
        Ok(self.tree.budget.hold(inode::reopen(place, flags)?))
    }

    /// Whether the file is as it was when it was last opened: then the client's copy of its content is good.
    fn unchanged(&mut self, id: u64, stat: &libc::statx) -> bool {
        let time = |t: &libc::statx_timestamp| (t.tv_sec, t.tv_nsec);
        let stamp: Stamp = (time(&stat.stx_mtime), time(&stat.stx_ctime), stat.stx_size);
        let before = self.tree.nodes.get_mut(id).and_then(|node| node.stamp.replace(stamp));
        before == Some(stamp)
    }

    /// struct fuse_open_out
    fn put_open_out(&mut self, fh: u64, keep: bool) {
        let flags = match self.settings.cache {
            Cache::Never => wire::FOPEN_DIRECT_IO,
            Cache::Always => wire::FOPEN_KEEP_CACHE,
            Cache::Auto if keep => wire::FOPEN_KEEP_CACHE,
            Cache::Auto => 0,
        };
        self.out.u64(fh);
        self.out.u32(flags);
        self.out.u32(0);
    }

    pub(super) fn create(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let new = CreateIn::new(body)?;
        let name = body.name()?;
        self.may_write()?;
        self.tree.budget.check()?;
        let dir = self.tree.dir(h.nodeid)?;
        // O_EXCL, whatever the caller said: what is there already could be a device.
        let flags = new.flags() | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        match dir::open_beneath(dir.as_fd(), name, flags, new.mode & 0o7777) {
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) && new.flags & libc::O_EXCL as u32 == 0 => {
                self.open_existing(h, dir.as_fd(), name, new.flags)
            }
            other => {
                let fd = self.tree.budget.hold(other?);
                self.give(h, dir.as_fd(), fd.as_fd(), Some(new.mode()))?;
                let (id, stat) = self.tree.opened(h.nodeid, name, fd.as_fd())?;
                self.put_created(id, &stat, fd);
                Ok(())
            }
        }
    }

    /// Somebody on the host made it first.
    fn open_existing(&mut self, h: &Header, dir: BorrowedFd<'_>, name: &CStr, flags: u32) -> Res<()> {
        let (id, stat) = self.tree.look_up_in(h.nodeid, dir, name)?;
        self.put_entry_out(id, &stat);
        let opened = self.open_node(id, flags, false);
        if opened.is_err() {
            self.tree.forget(id, 1);
        }
        opened
    }

    pub(super) fn tmpfile(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let new = CreateIn::new(body)?;
        self.may_write()?;
        self.tree.budget.check()?;
        let dir = self.tree.dir(h.nodeid)?;
        let exclusive = (new.flags & libc::O_EXCL as u32).cast_signed();
        let flags = new.flags() | libc::O_TMPFILE | exclusive;
        let fd = self.tree.budget.hold(dir::open_beneath(dir.as_fd(), c".", flags, new.mode & 0o7777)?);
        self.give(h, dir.as_fd(), fd.as_fd(), Some(new.mode()))?;
        let place = self.tree.budget.hold(fd.as_fd().try_clone_to_owned()?);
        let (id, stat) = self.tree.opened_nameless(place)?;
        self.put_created(id, &stat, fd);
        Ok(())
    }

    fn put_created(&mut self, id: u64, stat: &libc::statx, fd: Held) {
        let fh = self.handles.add(Handle::File(OpenFile { node: id, fd: Arc::new(fd) }));
        self.put_entry_out(id, stat);
        self.put_open_out(fh, false);
    }

    pub(super) fn read(&mut self, call: &Call, body: &mut Fields) -> Res<usize> {
        let (fh, offset, size) = (body.u64()?, body.u64()?, body.u32()?);
        let file = self.handles.file(fh)?;
        let to = call.room(size as usize);
        Ok(vectored::read_at(file.fd.as_fd(), offset, &to)?)
    }

    pub(super) fn write(&mut self, call: &Call, body: &mut Fields) -> Res<()> {
        let (fh, offset, size, write_flags) = (body.u64()?, body.u64()?, body.u32()?, body.u32()?);
        body.skip(8)?; // lock_owner
        let flags = body.u32()?;
        self.may_write()?;
        let file = self.handles.file(fh)?;
        let data = call.data(size as usize)?;
        // What the client wrote to its cache has its place; a write of its own goes to where the end is now.
        let append = flags & libc::O_APPEND as u32 != 0 && write_flags & wire::FUSE_WRITE_CACHE == 0;
        match append {
            true => vectored::append(file.fd.as_fd(), &data)?,
            false => vectored::write_at(file.fd.as_fd(), offset, &data)?,
        }
        if write_flags & wire::FUSE_WRITE_KILL_SUIDGID != 0 {
            kill_suidgid(file.fd.as_fd())?;
        }
        self.out.u32(size);
        self.out.u32(0);
        Ok(())
    }

    pub(super) fn flush(&mut self, body: &mut Fields) -> Res<()> {
        let fh = body.u64()?;
        body.skip(8)?;
        let owner = body.u64()?;
        let file = self.handles.file(fh)?;
        match &mut self.locks {
            Some(locks) => locks.close(file.node, owner),
            // The client asks no more.
            None if self.settings.readonly => return Err(Errno::NOSYS),
            None => {}
        }
        Ok(range::close_error(file.fd.as_fd())?)
    }

    pub(super) fn release(&mut self, body: &mut Fields) -> Res<()> {
        let fh = body.u64()?;
        if let Some(locks) = &mut self.locks {
            locks.release(fh);
        }
        self.handles.remove(fh).map(drop)
    }

    pub(super) fn fsync(&mut self, body: &mut Fields) -> Res<()> {
        let (fh, flags) = (body.u64()?, body.u32()?);
        let fd = self.handles.get(fh)?.fd();
        if self.settings.readonly {
            return Ok(());
        }
        Ok(range::sync(fd.as_fd(), flags & wire::FUSE_FSYNC_FDATASYNC != 0)?)
    }

    pub(super) fn syncfs(&mut self) -> Res<()> {
        if self.settings.readonly {
            return Ok(());
        }
        let root = self.tree.fd(wire::FUSE_ROOT_ID)?;
        let open = inode::reopen(root.as_fd(), libc::O_RDONLY | libc::O_DIRECTORY)?;
        Ok(range::sync_all(open.as_fd())?)
    }

    pub(super) fn fallocate(&mut self, body: &mut Fields) -> Res<()> {
        let (fh, offset, length, mode) = (body.u64()?, body.u64()?, body.u64()?, body.u32()?);
        self.may_write()?;
        let file = self.handles.file(fh)?;
        let known = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE;
        if mode & !known.cast_unsigned() != 0 {
            return Err(Errno::NOTSUP);
        }
        let (at, len) = (signed(offset)?, signed(length)?);
        Ok(range::allocate(file.fd.as_fd(), mode.cast_signed(), at, len)?)
    }

    pub(super) fn lseek(&mut self, body: &mut Fields) -> Res<()> {
        let (fh, offset, whence) = (body.u64()?, body.u64()?, body.u32()?.cast_signed());
        if !matches!(whence, libc::SEEK_DATA | libc::SEEK_HOLE) {
            return Err(Errno::INVAL);
        }
        let at = range::seek(self.handles.file(fh)?.fd.as_fd(), signed(offset)?, whence)?;
        self.out.u64(at);
        Ok(())
    }

    pub(super) fn copy_file_range(&mut self, body: &mut Fields) -> Res<()> {
        let (from, at) = (body.u64()?, body.u64()?);
        body.skip(8)?; // nodeid_out
        let (to, to_at, len, flags) = (body.u64()?, body.u64()?, body.u64()?, body.u64()?);
        self.may_write()?;
        if flags != 0 {
            return Err(Errno::INVAL);
        }
        let (from, to) = (self.handles.file(from)?, self.handles.file(to)?);
        let n = range::copy(from.fd.as_fd(), signed(at)?, to.fd.as_fd(), signed(to_at)?, len.min(COPY) as usize)?;
        self.out.u32(u32::try_from(n).map_err(|_| Errno::IO)?);
        self.out.u32(0);
        Ok(())
    }
}

fn signed(value: u64) -> Res<i64> {
    i64::try_from(value).map_err(|_| Errno::INVAL)
}
