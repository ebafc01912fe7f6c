//! The FUSE protocol as linux/fuse.h has it (version 7): its numbers, requests taken apart and replies put together.

use super::errno::{Errno, Res};
use std::ffi::CStr;

pub const FUSE_KERNEL_VERSION: u32 = 7;
/// What is spoken here: 7.39 brought STATX.
pub const FUSE_KERNEL_MINOR_VERSION: u32 = 39;
/// The oldest client that is served; Linux 5.4 says this.
pub const OLDEST_MINOR_VERSION: u32 = 31;

pub const FUSE_ROOT_ID: u64 = 1;
/// Bytes of struct fuse_in_header and fuse_out_header.
pub const IN_HEADER: usize = 40;
pub const OUT_HEADER: usize = 16;

macro_rules! opcodes {
    ($($name:ident = $value:literal),* $(,)?) => {
        /// enum fuse_opcode
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Opcode { $($name = $value),* }
        impl Opcode {
            /// Those that there are; the property tests go by it.
            #[cfg(test)]
            pub const ALL: &'static [u32] = &[$($value),*];
            pub fn new(value: u32) -> Option<Opcode> {
                match value { $($value => Some(Opcode::$name),)* _ => None }
            }
        }
    };
}
opcodes! {
    Lookup = 1, Forget = 2, Getattr = 3, Setattr = 4, Readlink = 5, Symlink = 6, Mknod = 8, Mkdir = 9, Unlink = 10,
    Rmdir = 11, Rename = 12, Link = 13, Open = 14, Read = 15, Write = 16, Statfs = 17, Release = 18, Fsync = 20,
    Setxattr = 21, Getxattr = 22, Listxattr = 23, Removexattr = 24, Flush = 25, Init = 26, Opendir = 27, Readdir = 28,
    Releasedir = 29, Fsyncdir = 30, Getlk = 31, Setlk = 32, Setlkw = 33, Create = 35, Interrupt = 36, Destroy = 38,
    BatchForget = 42, Fallocate = 43, Readdirplus = 44, Rename2 = 45, Lseek = 46, CopyFileRange = 47, Syncfs = 50,
    Tmpfile = 51, Statx = 52,
}

/// Flags of INIT; those from bit 32 on travel in `flags2`.
pub mod init {
    pub const ASYNC_READ: u64 = 1 << 0;
    pub const POSIX_LOCKS: u64 = 1 << 1;
    pub const ATOMIC_O_TRUNC: u64 = 1 << 3;
    pub const BIG_WRITES: u64 = 1 << 5;
    pub const FLOCK_LOCKS: u64 = 1 << 10;
    pub const AUTO_INVAL_DATA: u64 = 1 << 12;
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    pub const ASYNC_DIO: u64 = 1 << 15;
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    pub const MAX_PAGES: u64 = 1 << 22;
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    pub const INIT_EXT: u64 = 1 << 30;
    pub const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
}

/// `valid` of SETATTR.
pub mod fattr {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

pub const FUSE_GETATTR_FH: u32 = 1 << 0;
pub const FUSE_OPEN_KILL_SUIDGID: u32 = 1 << 0;
pub const FUSE_WRITE_CACHE: u32 = 1 << 0;
pub const FUSE_WRITE_KILL_SUIDGID: u32 = 1 << 2;
pub const FUSE_FSYNC_FDATASYNC: u32 = 1 << 0;
pub const FUSE_LK_FLOCK: u32 = 1 << 0;
pub const FOPEN_DIRECT_IO: u32 = 1 << 0;
pub const FOPEN_KEEP_CACHE: u32 = 1 << 1;
pub const FOPEN_CACHE_DIR: u32 = 1 << 3;

/// struct fuse_in_header
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub len: u32,
    pub opcode: u32,
    pub unique: u64,
    pub nodeid: u64,
    pub uid: u32,
    pub gid: u32,
}

impl Header {
    pub fn new(raw: &[u8; IN_HEADER]) -> Res<Header> {
        let mut f = Fields(raw);
        Ok(Header { len: f.u32()?, opcode: f.u32()?, unique: f.u64()?, nodeid: f.u64()?, uid: f.u32()?, gid: f.u32()? })
    }
}

/// What is left of a request; taking more than there is, is EINVAL.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Res<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn u32(&mut self) -> Res<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Res<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub fn skip(&mut self, bytes: usize) -> Res<()> {
        self.bytes(bytes).map(drop)
    }

    pub fn bytes(&mut self, bytes: usize) -> Res<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(bytes).ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(first)
    }

    /// A text with a NUL at its end.
    pub fn text(&mut self) -> Res<&'a CStr> {
        let text = CStr::from_bytes_until_nul(self.0).map_err(|_| Errno::INVAL)?;
        self.skip(text.count_bytes() + 1)?;
        Ok(text)
    }

    /// The name of something in a directory: one component that leads nowhere else.
    pub fn name(&mut self) -> Res<&'a CStr> {
        let name = self.text()?;
        match name.to_bytes() {
            b"" | b"." | b".." => Err(Errno::INVAL),
            bytes if bytes.contains(&b'/') => Err(Errno::INVAL),
            _ => Ok(name),
        }
    }
}

/// A reply as it grows, without its header.
pub trait Reply {
    fn u16(&mut self, value: u16);
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
}

impl Reply for Vec<u8> {
    fn u16(&mut self, value: u16) {
        self.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.extend(value.to_le_bytes());
    }
}
