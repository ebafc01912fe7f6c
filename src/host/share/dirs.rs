//! Directories, opened and listed.

use super::call::Call;
use super::errno::{Errno, Res};
use super::handles::{Handle, OpenDir};
use super::tree::device_of;
use super::wire::{self, Fields, Header, Reply};
use super::{Cache, Server};
use crate::sys::{dir, inode, range};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// Bytes of the host's entries that are read at once.
const BUFFER: usize = 32 << 10;
/// Bytes of one reply at most.
const MOST: usize = 64 << 10;
/// Bytes of struct linux_dirent64, struct fuse_dirent and struct fuse_entry_out, without the name.
const HOST_ENTRY: usize = 19;
const DIRENT: usize = 24;
const ENTRY_OUT: usize = 128;

/// A struct linux_dirent64.
struct Entry {
    inode: u64,
    /// The cookie that leads behind it.
    next: u64,
    /// Bytes in the buffer.
    size: usize,
    kind: u8,
    name: Vec<u8>,
}

impl Server {
    pub(super) fn opendir(&mut self, h: &Header) -> Res<()> {
        let place = self.tree.dir(h.nodeid)?;
        self.tree.budget.check()?;
        let fd = Arc::new(self.reopen(place.as_fd(), libc::O_RDONLY | libc::O_DIRECTORY)?);
        let dir = OpenDir { node: h.nodeid, fd, entries: Vec::new(), at: 0, position: 0 };
        let fh = self.handles.add(Handle::Dir(dir));
        self.out.u64(fh);
        self.out.u32(match self.settings.cache {
            Cache::Always => wire::FOPEN_CACHE_DIR | wire::FOPEN_KEEP_CACHE,
            _ => 0,
        });
        self.out.u32(0);
        Ok(())
    }

    /// `plus`: each entry with its attributes, as if it had been looked up.
    pub(super) fn readdir(&mut self, call: &Call, body: &mut Fields, plus: bool) -> Res<()> {
        let (fh, offset, size) = (body.u64()?, body.u64()?, body.u32()? as usize);
        let room = size.min(call.room_size()).min(MOST);
        let dir = self.handles.dir(fh)?;
        let (node, fd) = (dir.node, dir.fd.clone());
        if offset != dir.position {
            range::seek(fd.as_fd(), offset.cast_signed(), libc::SEEK_SET)?;
            dir.entries.clear();
            (dir.at, dir.position) = (0, offset);
        }
        let device = device_of(&inode::stat(fd.as_fd())?);
        loop {
            let dir = self.handles.dir(fh)?;
            let Some(entry) = dir.next()? else { return Ok(()) };
            let header = if plus { ENTRY_OUT } else { 0 } + DIRENT;
            let bytes = (header + entry.name.len()).next_multiple_of(8);
            if self.out.len() + bytes > room {
                return match self.out.is_empty() {
                    true => Err(Errno::INVAL),
                    false => Ok(()),
                };
            }
            dir.at += entry.size;
            dir.position = entry.next;
            self.put_dirent(node, fd.as_fd(), device, &entry, plus);
        }
    }

    fn put_dirent(&mut self, node: u64, fd: BorrowedFd<'_>, device: u64, entry: &Entry, plus: bool) {
        let dots = matches!(entry.name.as_slice(), b"." | b"..");
        let mut inode = self.tree.devices.fold(device, entry.inode);
        if dots && node == wire::FUSE_ROOT_ID {
            // What is above is not part of this.
            inode = self.tree.nodes.get(node).map_or(inode, |root| root.identity.inode);
        }
        if plus {
            let known = if dots { None } else { self.look_up_entry(node, fd, &entry.name) };
            match known {
                Some((id, stat)) => {
                    inode = self.tree.devices.fold(device_of(&stat), stat.stx_ino);
                    self.put_entry_out(id, &stat);
                }
                // Number 0: the client learns the name alone.
                None => self.out.resize(self.out.len() + ENTRY_OUT, 0),
            }
        }
        let out = &mut self.out;
        out.u64(inode);
        out.u64(entry.next);
        out.u32(entry.name.len() as u32);
        out.u32(u32::from(entry.kind));
        out.extend(&entry.name);
        out.resize(out.len().next_multiple_of(8), 0);
    }

    fn look_up_entry(&mut self, node: u64, fd: BorrowedFd<'_>, name: &[u8]) -> Option<(u64, libc::statx)> {
        let mut text = name.to_vec();
        text.push(0);
        self.tree.look_up_in(node, fd, CStr::from_bytes_with_nul(&text).ok()?).ok()
    }
}

impl OpenDir {
    /// The entry at the position, which stays where it is.
    fn next(&mut self) -> Res<Option<Entry>> {
        if self.at >= self.entries.len() {
            self.entries.resize(BUFFER, 0);
            self.at = 0;
            let n = dir::read_entries(self.fd.as_fd(), &mut self.entries).inspect_err(|_| self.entries.clear())?;
            self.entries.truncate(n);
            if n == 0 {
                return Ok(None);
            }
        }
        let rest = self.entries.get(self.at..).unwrap_or_default();
        parse(rest).map(Some).ok_or(Errno::IO)
    }
}

/// The first of some struct linux_dirent64.
fn parse(raw: &[u8]) -> Option<Entry> {
    let inode = u64::from_le_bytes(*raw.first_chunk()?);
    let next = u64::from_le_bytes(*raw.get(8..)?.first_chunk()?);
    let size = usize::from(u16::from_le_bytes(*raw.get(16..)?.first_chunk()?));
    let kind = *raw.get(18)?;
    let name = CStr::from_bytes_until_nul(raw.get(HOST_ENTRY..size)?).ok()?;
    Some(Entry { inode, next, size, kind, name: name.to_bytes().to_vec() })
}
