//! The memory slot of video memory: it moves as the guest moves the BAR, and KVM logs which of its pages are written.

use super::vm::set_slot;
use crate::mem::{Region, Video};
use crate::sys::Lock;
use anyhow::{Context, Result};
use kvm_bindings::KVM_MEM_LOG_DIRTY_PAGES;
use kvm_ioctls::VmFd;
use std::sync::Arc;

pub struct VideoSlot {
    vm: Arc<VmFd>,
    slot: u32,
    memory: Video,
    /// Guest physical; `None`: the guest does not see it.
    at: Lock<Option<u64>>,
}

impl VideoSlot {
    pub(super) fn new(vm: Arc<VmFd>, slot: u32, memory: Video) -> VideoSlot {
        VideoSlot { vm, slot, memory, at: Lock::new(None) }
    }

    /// Shows it to the guest at this guest physical address, or nowhere. Errors when other memory is there: then it is
    /// nowhere. What was written before and not yet taken is forgotten, so all of it is to be looked at.
    pub fn place(&self, at: Option<u64>) -> Result<()> {
        let mut placed = self.at.lock();
        if *placed == at {
            return Ok(());
        }
        if let Some(old) = placed.take() {
            // A slot of no length is taken away.
            let region = Region { len: 0, ..self.memory.region(old) };
            set_slot(&self.vm, self.slot, &region, 0).context("take video memory away")?;
        }
        if let Some(new) = at {
            set_slot(&self.vm, self.slot, &self.memory.region(new), KVM_MEM_LOG_DIRTY_PAGES)
                .with_context(|| format!("put video memory at {new:#x}"))?;
        }
        *placed = at;
        Ok(())
    }

    /// Which pages the guest has written since this was last asked, one bit each, the first page in the lowest bit.
    pub fn take_dirty(&self) -> Result<Vec<u64>> {
        match *self.at.lock() {
            None => Ok(Vec::new()),
            Some(_) => {
                let len = usize::try_from(self.memory.len())?;
                self.vm.get_dirty_log(self.slot, len).context("ask KVM which video memory was written")
            }
        }
    }
}

impl Drop for VideoSlot {
    fn drop(&mut self) {
        if let Err(e) = self.place(None) {
            log::error!("{e:#}");
        }
    }
}

#[cfg(test)]
mod tests;
