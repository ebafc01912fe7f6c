//! The debug-exit port: a store ends the guest with a status of its choice (QEMU's isa-debug-exit).

use crate::bus::Mmio;
use crate::event::{Notify, Request};
use crate::part::Part;
use anyhow::Result;

/// A port of any width up to 4 bytes; it has no state.
pub struct DebugExit {
    notify: Notify,
}

impl DebugExit {
    pub fn new(notify: Notify) -> DebugExit {
        DebugExit { notify }
    }
}

impl Mmio for DebugExit {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }

    /// Wherever in the window it goes, the stored value is the one reported, as in QEMU.
    fn write(&self, _offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let mut value = [0; 4];
        value.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        (self.notify)(Request::DebugExit(u32::from_le_bytes(value)));
    }
}

impl Part for DebugExit {
    fn name(&self) -> &str {
        "debug-exit"
    }

    fn reset(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
