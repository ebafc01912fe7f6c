//! Extended attributes.

use super::Server;
use super::errno::{Errno, Res};
use super::wire::{Fields, Header, Reply};
use crate::sys::inode;
use std::os::fd::AsFd;

/// The largest value, and the largest list of names (XATTR_SIZE_MAX, XATTR_LIST_MAX).
const MOST: usize = 64 << 10;

impl Server {
    pub(super) fn setxattr(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let (size, flags) = (body.u32()?, body.u32()?);
        let name = body.text()?;
        let value = body.bytes(size as usize)?;
        self.may_write()?;
        let fd = self.node_fd(h.nodeid)?;
        Ok(inode::set_attribute(fd.as_fd(), name, value, flags.cast_signed())?)
    }

    pub(super) fn getxattr(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let size = body.u32()?;
        body.skip(4)?;
        let name = body.text()?;
        let fd = self.node_fd(h.nodeid)?;
        self.sized(size, |buffer| inode::attribute(fd.as_fd(), name, buffer))
    }

    pub(super) fn listxattr(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let size = body.u32()?;
        let fd = self.node_fd(h.nodeid)?;
        self.sized(size, |buffer| inode::attributes(fd.as_fd(), buffer))
    }

    pub(super) fn removexattr(&mut self, h: &Header, body: &mut Fields) -> Res<()> {
        let name = body.text()?;
        self.may_write()?;
        let fd = self.node_fd(h.nodeid)?;
        Ok(inode::remove_attribute(fd.as_fd(), name)?)
    }

    /// What `read` gives, or for `size` 0 how long it is.
    fn sized(&mut self, size: u32, read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> Res<()> {
        if size == 0 {
            let size = read(&mut [])?;
            self.out.u32(u32::try_from(size).map_err(|_| Errno::RANGE)?);
            self.out.u32(0);
            return Ok(());
        }
        self.out.resize((size as usize).min(MOST), 0);
        let n = read(&mut self.out)?;
        self.out.truncate(n);
        Ok(())
    }
}
