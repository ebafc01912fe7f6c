//! What client and server agree on with INIT.

use super::errno::{Errno, Res};
use super::wire::{self, Fields, Reply, init};
use super::{Cache, Server};

/// Pages of the largest request: 1 MiB.
const MAX_PAGES: u16 = 256;
const PAGE: u32 = 4096;
/// Requests that Linux has under way in the background (read-ahead, writing back).
const MAX_BACKGROUND: u16 = 64;

impl Server {
    pub(super) fn init(&mut self, body: &mut Fields) -> Res<()> {
        // struct fuse_init_in; what follows `flags` is there with INIT_EXT.
        let (major, minor, max_readahead, flags) = (body.u32()?, body.u32()?, body.u32()?, u64::from(body.u32()?));
        let high = if flags & init::INIT_EXT != 0 { u64::from(body.u32()?) } else { 0 };
        if major > wire::FUSE_KERNEL_VERSION {
            // The client is to say INIT again, with a version that both know.
            self.out.u32(wire::FUSE_KERNEL_VERSION);
            self.out.u32(wire::FUSE_KERNEL_MINOR_VERSION);
            self.out.resize(64, 0);
            return Ok(());
        }
        if major < wire::FUSE_KERNEL_VERSION || minor < wire::OLDEST_MINOR_VERSION {
            return Err(Errno(libc::EPROTO));
        }
        self.close_all();
        let flags = (flags | high << 32) & self.flags();
        self.initialised = true;
        self.init_out(minor.min(wire::FUSE_KERNEL_MINOR_VERSION), max_readahead, flags);
        Ok(())
    }

    /// struct fuse_init_out
    fn init_out(&mut self, minor: u32, max_readahead: u32, flags: u64) {
        let out = &mut self.out;
        out.u32(wire::FUSE_KERNEL_VERSION);
        out.u32(minor);
        out.u32(max_readahead);
        out.u32(flags as u32);
        out.u16(MAX_BACKGROUND);
        out.u16(MAX_BACKGROUND / 4 * 3); // congestion_threshold
        out.u32(u32::from(MAX_PAGES) * PAGE); // max_write
        out.u32(1); // time_gran
        out.u16(MAX_PAGES);
        out.u16(0); // map_alignment
        out.u32((flags >> 32) as u32); // flags2
        out.resize(64, 0);
    }

    fn flags(&self) -> u64 {
        let always = init::ASYNC_READ
            | init::ATOMIC_O_TRUNC
            | init::BIG_WRITES
            | init::DO_READDIRPLUS
            | init::READDIRPLUS_AUTO
            | init::ASYNC_DIO
            | init::PARALLEL_DIROPS
            | init::MAX_PAGES
            | init::HANDLE_KILLPRIV_V2
            | init::INIT_EXT;
        let locks = if self.locks.is_some() { init::POSIX_LOCKS | init::FLOCK_LOCKS } else { 0 };
        always
            | locks
            | match self.settings.cache {
                Cache::Auto => init::AUTO_INVAL_DATA | init::CACHE_SYMLINKS,
                Cache::Always => init::CACHE_SYMLINKS,
                Cache::Never => init::DIRECT_IO_ALLOW_MMAP,
            }
    }
}
