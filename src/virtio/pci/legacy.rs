//! The legacy interface of disks and network cards (virtio 1.2, 4.1.4.10; virtio 0.9.5, 2.1): a block of I/O ports that
//! is all a driver from before virtio 1.0 knows.
//!
//! ```text
//! 0  device features   4       14  queue select   2      20  configuration vector  2 ) only while
//! 4  driver features   4       16  queue notify   2      22  queue vector          2 ) MSI-X is enabled
//! 8  queue's page      4       18  device status  1
//! 12 queue's size      2       19  ISR status     1      then the device's configuration
//! ```

use super::interrupts::Interrupts;
use crate::bus::Mmio;
use crate::sys::Lock;
use crate::virtio::handshake::Handshake;
use std::sync::Arc;

pub(super) const BAR: u16 = 0;
pub(super) const QUEUE_NOTIFY: u64 = 16;
const ISR: u64 = 19;
const VECTORS: u64 = 20;
/// Where the configuration is with MSI-X.
const LONGEST: u64 = 24;

/// The PCI device ID of a device that has this interface (4.1.2.1).
pub(super) fn device(id: u32) -> Option<u16> {
    match id {
        1 => Some(0x1000),
        2 => Some(0x1001),
        _ => None,
    }
}

pub(super) struct Ports {
    registers: Arc<Lock<Handshake>>,
    interrupts: Arc<Interrupts>,
}

impl Ports {
    pub fn new(registers: Arc<Lock<Handshake>>, interrupts: Arc<Interrupts>) -> Ports {
        Ports { registers, interrupts }
    }

    /// How many ports.
    pub fn len(&self) -> u64 {
        (LONGEST + self.registers.lock().config().len() as u64).next_power_of_two()
    }

    /// Where the device's configuration starts now (4.1.4.10).
    fn config_at(&self) -> u64 {
        if self.interrupts.msix.enabled() { LONGEST } else { VECTORS }
    }

    /// The registers before the configuration. Reading the ISR status has a consequence, so it is not among them.
    fn image(&self, r: &Handshake) -> Vec<u8> {
        let mut out = Vec::with_capacity(LONGEST as usize);
        for word in [r.legacy_features(), r.legacy_accepted(), r.legacy_page()] {
            out.extend(word.to_le_bytes());
        }
        for half in [r.queue().map_or(0, |q| q.size), r.selected, 0] {
            out.extend(half.to_le_bytes());
        }
        out.extend([r.status(), 0]);
        for vector in [self.interrupts.config_vector(), self.interrupts.vector(r.selected)] {
            out.extend(vector.to_le_bytes());
        }
        out
    }

    fn half_word(&self, r: &mut Handshake, offset: u64, value: u16) {
        match offset {
            14 => r.selected = value,
            QUEUE_NOTIFY => r.legacy_kick(value),
            20 => self.interrupts.set_config_vector(value),
            22 => self.interrupts.set_vector(r.selected, value),
            _ => {}
        }
    }
}

/// Registers are read at any width, and written each at its own; another write does nothing.
impl Mmio for Ports {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let config = self.config_at();
        let registers = self.registers.lock();
        if let Some(at) = offset.checked_sub(config) {
            return registers.config().read(at, data);
        }
        let image = self.image(&registers);
        let registers = image.get(..config as usize).unwrap_or_default();
        let from = registers.get(offset as usize..).unwrap_or_default();
        data.fill(0);
        data.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        let isr = ISR.checked_sub(offset).and_then(|at| data.get_mut(at as usize));
        if let Some(isr) = isr {
            *isr = self.interrupts.take_isr();
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let config = self.config_at();
        let mut r = self.registers.lock();
        if let Some(at) = offset.checked_sub(config) {
            return r.config_write(at, data);
        }
        match (offset, data) {
            (4, &[a, b, c, d]) => r.legacy_accept(u32::from_le_bytes([a, b, c, d])),
            (8, &[a, b, c, d]) => r.set_legacy_page(u32::from_le_bytes([a, b, c, d])),
            (18, &[status]) => r.legacy_set_status(status),
            (_, &[a, b]) => self.half_word(&mut r, offset, u16::from_le_bytes([a, b])),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
