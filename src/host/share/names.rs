//! Names: looked up, forgotten, made, linked, removed and renamed.

use super::errno::{Errno, Res};
use super::wire::{Fields, Header};
use super::{Cache, Server};
use crate::sys::{dir, inode};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

impl Server {
    pub(super) fn lookup(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        match self.tree.look_up(h.nodeid, body.name()?) {
            Ok((id, stat)) => self.put_entry_out(id, &stat),
            // Number 0: there is none, which the client may remember.
            Err(Errno::NOENT) if self.settings.cache == Cache::Always => self.put_no_entry_out(),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        self.tree.forget(h.nodeid, body.u64()?);
        Ok(())
    }

    pub(super) fn batch_forget(&mut self, body: &mut Fields) -> Res<()> {
        let count = body.u32()?;
        body.skip(4)?;
        for _ in 0..count {
            let (id, lookups) = (body.u64()?, body.u64()?);
            self.tree.forget(id, lookups);
        }
        Ok(())
    }

    pub(super) fn readlink(&mut self, h: &Header) -> Res<()> {
        if self.tree.nodes.get(h.nodeid)?.kind != libc::S_IFLNK {
            return Err(Errno::INVAL);
        }
        let fd = self.tree.fd(h.nodeid)?;
        self.out.extend(inode::read_link(fd.as_fd())?);
        Ok(())
    }

    pub(super) fn symlink(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let (name, text) = (body.name()?, body.text()?);
        self.make(h, name, None, |dir| dir::make_symlink(dir, name, text))
    }

    pub(super) fn mknod(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let (mode, rdev) = (body.u32()?, body.u32()?);
        body.skip(8)?;
        let name = body.name()?;
        // As Linux packs it (new_decode_dev).
        let device = libc::makedev((rdev & 0xf_ff00) >> 8, rdev & 0xff | (rdev >> 12) & 0xf_ff00);
        self.make(h, name, Some(mode), |dir| dir::make_node(dir, name, mode, device))
    }

    pub(super) fn mkdir(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let mode = body.u32()?;
        body.skip(4)?;
        let name = body.name()?;
        self.make(h, name, Some(libc::S_IFDIR | mode & 0o7777), |dir| dir::make_dir(dir, name, mode & 0o7777))
    }

    /// Makes something with `op`, gives it to the caller and says what it is.
    fn make(
        &mut self,
        h: &Header,
        name: &CStr,
        mode: Option<u32>,
        op: impl FnOnce(BorrowedFd<'_>) -> std::io::Result<()>,
    ) -> Res<()> {
        self.may_write()?;
        let dir = self.tree.dir(h.nodeid)?;
        op(dir.as_fd())?;
        if self.user == 0 {
            let new = self.tree.open(dir.as_fd(), name)?;
            self.give(h, dir.as_fd(), new.as_fd(), mode)?;
        }
        let (id, stat) = self.tree.look_up_in(h.nodeid, dir.as_fd(), name)?;
        self.put_entry_out(id, &stat);
        Ok(())
    }

    /// Makes the caller the owner of the new file `fd` in `dir`, as the host's kernel would have done for it.
    /// `mode` is what it asked for, with the type; none for a symbolic link.
    pub(super) fn give(&self, h: &Header, dir: BorrowedFd<'_>, fd: BorrowedFd<'_>, mode: Option<u32>) -> Res<()> {
        if self.user != 0 {
            return Ok(());
        }
        let (above, new) = (inode::stat(dir)?, inode::stat(fd)?);
        // In a set-group-ID directory, files have its group.
        let inherits = u32::from(above.stx_mode) & libc::S_ISGID != 0;
        let group = if inherits { new.stx_gid } else { h.gid };
        if (new.stx_uid, new.stx_gid) == (h.uid, group) {
            return Ok(());
        }
        match inode::change_owner(fd, h.uid, group) {
            // A file system without owners, or a user namespace that does not have this one: the file is ours.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EPERM | libc::EINVAL)) => return Ok(()),
            other => other?,
        }
        // The change took these bits away.
        let Some(mode) = mode.filter(|m| m & libc::S_IFMT != libc::S_IFDIR && m & (libc::S_ISUID | libc::S_ISGID) != 0)
        else {
            return Ok(());
        };
        let executable = libc::S_ISGID | libc::S_IXGRP;
        let foreign = inherits && h.uid != 0 && h.gid != group && mode & executable == executable;
        let mode = if foreign { mode & !libc::S_ISGID } else { mode };
        Ok(inode::change_mode(fd, mode & 0o7777)?)
    }

    pub(super) fn link(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let (id, name) = (body.u64()?, body.name()?);
        self.may_write()?;
        let dir = self.tree.dir(h.nodeid)?;
        let fd = self.node_fd(id)?;
        inode::link(fd.as_fd(), dir.as_fd(), name)?;
        let (id, stat) = self.tree.look_up_in(h.nodeid, dir.as_fd(), name)?;
        self.put_entry_out(id, &stat);
        Ok(())
    }

    pub(super) fn remove(&mut self, h: &Header, body: &mut Fields, is_dir: bool) -> Res<()> {
        let name = body.name()?;
        self.may_write()?;
        let dir = self.tree.dir(h.nodeid)?;
        let known = self.tree.about_to_go(dir.as_fd(), name);
        dir::remove(dir.as_fd(), name, is_dir)?;
        if let Some((id, fd)) = known {
            self.tree.nodes.lost_name(id, h.nodeid, name, fd);
        }
        Ok(())
    }

    /// `flagged`: RENAME2.
    pub(super) fn rename(&mut self, h: &Header, body: &mut Fields, flagged: bool) -> Res<()> {
        let to_id = body.u64()?;
        let mut flags = 0;
        if flagged {
            flags = body.u32()?;
            body.skip(4)?;
        }
        let (name, new_name) = (body.name()?, body.name()?);
        self.may_write()?;
        let exchange = flags & libc::RENAME_EXCHANGE != 0;
        if flags & !(libc::RENAME_NOREPLACE | libc::RENAME_EXCHANGE) != 0 {
            return Err(Errno::INVAL);
        }
        let (from, to) = (self.tree.dir(h.nodeid)?, self.tree.dir(to_id)?);
        let moved = self.tree.about_to_go(from.as_fd(), name);
        let target = self.tree.about_to_go(to.as_fd(), new_name);
        dir::rename(from.as_fd(), name, to.as_fd(), new_name, flags)?;
        if let (Some((a, _)), Some((b, _))) = (&moved, &target)
            && a == b
        {
            // Two names of one file: rename(2) leaves both.
            return Ok(());
        }
        if let Some((id, fd)) = target {
            match exchange {
                true => self.moved(id, h.nodeid, name, fd),
                false => self.tree.nodes.lost_name(id, to_id, new_name, fd),
            }
        }
        if let Some((id, fd)) = moved {
            self.moved(id, to_id, new_name, fd);
        }
        Ok(())
    }

    /// Node `id` has a new name. Where it cannot be found by that, its descriptor does.
    fn moved(&mut self, id: u64, parent: u64, name: &CStr, fd: Option<std::sync::Arc<super::Held>>) {
        if self.tree.nodes.place(id, parent, name).is_err()
            && let Some(node) = self.tree.nodes.get_mut(id)
        {
            node.nameless = fd;
        }
    }
}
