//! The panic port (QEMU docs/specs/pvpanic): the guest's kernel says that it panicked.

use crate::bus::Mmio;
use crate::event::{Notify, Request};
use crate::part::Part;
use anyhow::Result;

/// The guest panicked and will do nothing more.
const PANICKED: u8 = 1 << 0;
/// The guest panicked and a crash kernel takes over; it goes on.
const CRASH_LOADED: u8 = 1 << 1;

/// One byte wide: a read tells which events are understood, a store reports some of them.
pub struct PvPanic {
    notify: Notify,
}

impl PvPanic {
    pub fn new(notify: Notify) -> PvPanic {
        PvPanic { notify }
    }
}

impl Mmio for PvPanic {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some(events) = data.first_mut() {
            *events = PANICKED | CRASH_LOADED;
        }
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        let events = data.first().copied().unwrap_or(0);
        if events & PANICKED != 0 {
            (self.notify)(Request::Panicked);
        } else if events & CRASH_LOADED != 0 {
            log::info!("the guest panicked; its crash kernel takes over");
        }
    }
}

impl Part for PvPanic {
    fn name(&self) -> &str {
        "pvpanic"
    }

    fn reset(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
