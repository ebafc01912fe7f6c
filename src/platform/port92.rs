//! System control port A at 0x92 (PS/2): the gate of address line 20, and a reset.

use crate::bus::Mmio;
use crate::event::{Notify, Request};

/// A20 passes. It always does here: no guest of today wants addresses to wrap at 1 MiB.
const A20: u8 = 1 << 1;
/// A change to 1 resets.
const RESET: u8 = 1 << 0;

pub struct Port92 {
    notify: Notify,
}

impl Port92 {
    pub fn new(notify: Notify) -> Port92 {
        Port92 { notify }
    }
}

impl Mmio for Port92 {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        data.iter_mut().take(1).for_each(|byte| *byte = A20);
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        if data.first().is_some_and(|value| value & RESET != 0) {
            (self.notify)(Request::Reset);
        }
    }
}

#[cfg(test)]
mod tests;
