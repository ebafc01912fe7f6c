//! Video memory: memory of the guest that is not RAM (no device reaches it), and whose next store can be waited for.
//!
//! Its mapping here is what KVM resolves the guest's stores through. While that is read-only ([`Video::protect`]) a store
//! stops the vCPU: KVM_RUN fails with EFAULT, or, where KVM itself interprets the instruction, it leaves as a store to a
//! device does. Our own stores go through the file and not through the mapping, so they are always possible.

use super::{Memory, Region};
use anyhow::{Result, ensure};
use std::io;

/// A shared handle on one piece of video memory. It reads as zero at first.
#[derive(Clone)]
pub struct Video {
    memory: Memory,
    host: u64,
    len: u64,
}

impl Video {
    /// `len`: bytes, a multiple of the page size.
    pub fn new(len: u64) -> Result<Video> {
        let memory = Memory::new(&[(0, len)], None)?;
        let host = memory.regions().first().map_or(0, |r| r.host);
        Ok(Video { memory, host, len })
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// As the guest sees it at guest physical `base`.
    pub fn region(&self, base: u64) -> Region {
        Region { base, len: self.len, host: self.host }
    }

    /// Copies from byte `at` on as much as there is; says how much.
    pub fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let n = usize::try_from(self.len.saturating_sub(at)).map_or(out.len(), |left| left.min(out.len()));
        let Some(out) = out.get_mut(..n) else { return 0 };
        self.memory.slice(at, n).map_or(0, |slice| slice.copy_to(out))
    }

    /// Stores as much as fits, protected or not.
    pub fn write(&self, at: u64, data: &[u8]) {
        let n = usize::try_from(self.len.saturating_sub(at)).map_or(data.len(), |left| left.min(data.len()));
        let data = data.get(..n).unwrap_or_default();
        let stored = self.host.checked_add(at).and_then(|host| self.memory.write_file(host, data));
        if stored != Some(n) {
            log::debug!("video memory: {n} bytes at {at:#x} were not stored");
        }
    }

    /// From when this returns with `on` the guest's next store stops its vCPU; from when it returns without, none does.
    pub fn protect(&self, on: bool) -> Result<()> {
        let access = if on { libc::PROT_READ } else { libc::PROT_READ | libc::PROT_WRITE };
        // SAFETY: exactly the mapping that `memory` keeps; nothing in this process stores through it.
        let rc = unsafe { libc::mprotect(self.host as *mut libc::c_void, self.len as usize, access) };
        ensure!(rc == 0, "protect video memory: {}", io::Error::last_os_error());
        Ok(())
    }

    /// All reads as zero again.
    pub fn clear(&self) -> Result<()> {
        self.memory.clear()
    }
}

#[cfg(test)]
mod tests;
