//! Routes a load or store (or a port access) by address to whatever answers there.

use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Answers loads and stores at an offset from its base. The guest chooses offset, width and value freely.
/// Takes `&self`: several vCPUs may call it at the same time.
pub trait Mmio: Send + Sync {
    /// Fills all of `data` (1, 2, 4 or 8 bytes).
    fn read(&self, offset: u64, data: &mut [u8]);
    fn write(&self, offset: u64, data: &[u8]);
}

struct Window {
    len: u64,
    target: Arc<dyn Mmio>,
}

/// One address space: guest physical addresses, or I/O ports.
/// Lock order: the map's lock is released before a target runs, so a target may change the bus (a moved BAR).
#[derive(Default)]
pub struct Bus(RwLock<BTreeMap<u64, Window>>);

impl Bus {
    /// Errors when the window is empty, wraps around or overlaps another one.
    pub fn insert(&self, base: u64, len: u64, target: Arc<dyn Mmio>) -> Result<()> {
        let end = base.checked_add(len).filter(|_| len > 0);
        let Some(end) = end else { anyhow::bail!("{base:#x}+{len:#x} is not a window") };
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = map.range(..end).next_back().map_or(0, |(b, w)| b.saturating_add(w.len));
        ensure!(before <= base, "{base:#x}+{len:#x} overlaps another device");
        map.insert(base, Window { len, target });
        Ok(())
    }

    /// Takes away the window that starts at `base`, if there is one.
    pub fn remove(&self, base: u64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&base);
    }

    /// Reads of nothing give all ones, as on a PC.
    pub fn read(&self, addr: u64, data: &mut [u8]) {
        match self.find(addr) {
            Some((offset, target)) => target.read(offset, data),
            None => data.fill(0xff),
        }
    }

    pub fn write(&self, addr: u64, data: &[u8]) {
        if let Some((offset, target)) = self.find(addr) {
            target.write(offset, data);
        }
    }

    fn find(&self, addr: u64) -> Option<(u64, Arc<dyn Mmio>)> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (base, window) = map.range(..=addr).next_back()?;
        let offset = addr.checked_sub(*base)?;
        (offset < window.len).then(|| (offset, window.target.clone()))
    }
}

/// A store that rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// At this guest physical address, 1, 2 or 4 bytes of any value.
    Memory(u64),
    /// The same, 4 bytes of this value.
    Word(u64, u32),
    /// To this port, 2 bytes of this value.
    Port(u64, u16),
}

/// Lets a store ring an eventfd without leaving the kernel (KVM: ioeventfd).
pub trait Doorbells: Send + Sync {
    fn attach(&self, door: Door, bell: &crate::sys::EventFd) -> Result<()>;
    fn detach(&self, door: Door, bell: &crate::sys::EventFd) -> Result<()>;
}
