//! The file systems below the shared directory, each known by its st_dev.

use crate::sys::inode;
use std::collections::HashMap;
use std::os::fd::BorrowedFd;

/// linux/magic.h
const OVERLAYFS_SUPER_MAGIC: i64 = 0x794c_7630;
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// More of them than this are not told apart.
const MOST: usize = 1 << 12;

#[derive(Debug, Clone, Copy)]
pub struct Device {
    /// 0 is the one that the shared directory itself is on.
    index: u16,
    /// The time of birth is that of the inode, for ever. Overlayfs gives another after a copy-up.
    pub births: bool,
    /// Its files are doors into processes of the host, kiln's among them.
    pub processes: bool,
}

#[derive(Default)]
pub struct Devices(HashMap<u64, Device>);

impl Devices {
    pub fn get(&self, device: u64) -> Option<Device> {
        self.0.get(&device).copied()
    }

    /// Looks at the file system of `fd`, whose st_dev is `device`.
    pub fn add(&mut self, device: u64, fd: BorrowedFd<'_>) -> Device {
        let index = self.0.len().min(MOST) as u16;
        let kind = inode::stat_fs(fd).map_or(0, |fs| fs.f_type);
        let births = kind != OVERLAYFS_SUPER_MAGIC;
        let new = Device { index, births, processes: kind == PROC_SUPER_MAGIC };
        if self.0.len() < MOST {
            self.0.insert(device, new);
        }
        new
    }

    /// One number for an inode among those of all file systems: the client sees a single one, in which they may not
    /// collide. Those of the shared directory's own stay as they are.
    pub fn fold(&self, device: u64, inode: u64) -> u64 {
        const BITS: u32 = 48;
        match self.get(device).map_or(MOST as u64, |d| u64::from(d.index)) {
            0 => inode,
            index if inode >> BITS == 0 => index << BITS | inode,
            // No room for both: an odd factor spreads them.
            index => 1 << 63 | (inode ^ index << BITS).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1,
        }
    }
}
