//! The MMIO transport, version 2 (virtio 1.2, 4.2): one window of registers and one interrupt line.

use super::Device;
use super::handshake::{Area, Handshake, Setup, Signals};
use crate::bus::{Door, Doorbells, Mmio};
use crate::irq::Line;
use crate::mem::Memory;
use crate::part::Part;
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;

/// Bytes that a window answers: the registers, and the configuration space from 0x100 on.
pub const LEN: u64 = 0x200;

/// "virt".
const MAGIC: u32 = 0x7472_6976;
/// Whoever made the device; the specification leaves it open. "kiln".
const VENDOR: u32 = 0x6e6c_696b;
const CONFIG: u64 = 0x100;
const QUEUE_NOTIFY: u64 = 0x50;

const USED_BUFFER: u32 = 1;
const CONFIG_CHANGE: u32 = 2;

/// A device behind the transport. Its lock is taken before those of [`Interrupts`].
pub struct Window {
    name: String,
    registers: Lock<Handshake>,
    interrupts: Arc<Interrupts>,
}

impl Window {
    /// `base` is where the guest sees the window, which is [`LEN`] bytes; `line` is edge-triggered, and may be shared.
    pub fn new(
        id: &str,
        device: Box<dyn Device>,
        mem: &Memory,
        line: Arc<dyn Line>,
        doorbells: Arc<dyn Doorbells>,
        base: u64,
    ) -> Arc<Window> {
        let interrupts = Arc::new(Interrupts { line, status: Lock::new(0) });
        let place = move |queue: u16, _| Some(Door::Word(base.checked_add(QUEUE_NOTIFY)?, u32::from(queue)));
        let handshake = Handshake::new(id, device, mem, interrupts.clone(), doorbells, place);
        Arc::new(Window { name: id.to_string(), registers: Lock::new(handshake), interrupts })
    }
}

impl Part for Window {
    fn name(&self) -> &str {
        &self.name
    }

    fn reset(&self) -> Result<()> {
        self.registers.lock().reset();
        Ok(())
    }
}

impl Mmio for Window {
    /// A register is 4 bytes wide and aligned (virtio 1.2, 4.2.2.2); other reads of it give zero.
    fn read(&self, offset: u64, data: &mut [u8]) {
        if let Some(at) = offset.checked_sub(CONFIG) {
            return self.registers.lock().config().read(at, data);
        }
        match <&mut [u8; 4]>::try_from(&mut *data) {
            Ok(word) => *word = self.register(offset).to_le_bytes(),
            Err(_) => data.fill(0),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let Some(at) = offset.checked_sub(CONFIG) {
            self.registers.lock().config_write(at, data);
        } else if let Ok(word) = <[u8; 4]>::try_from(data) {
            self.set_register(offset, u32::from_le_bytes(word));
        }
    }
}

impl Window {
    /// Table 4.1. What cannot be read gives zero.
    fn register(&self, offset: u64) -> u32 {
        if offset == 0x60 {
            return *self.interrupts.status.lock();
        }
        let r = self.registers.lock();
        let queue = |get: fn(&Setup) -> u32| r.queue().map_or(0, get);
        match offset {
            0x00 => MAGIC,
            0x04 => 2,
            0x08 => r.id(),
            0x0c => VENDOR,
            0x10 => r.device_features(),
            0x34 => queue(|q| u32::from(q.max)),
            0x44 => queue(|q| u32::from(q.ready)),
            0x70 => u32::from(r.status()),
            // SHMLenLow to SHMBaseHigh: there is no shared memory region (4.2.2.1).
            0xb0 | 0xb4 | 0xb8 | 0xbc => u32::MAX,
            0xfc => r.config().generation(),
            _ => 0,
        }
    }

    fn set_register(&self, offset: u64, value: u32) {
        if offset == 0x64 {
            return self.interrupts.acknowledge(value);
        }
        let mut r = self.registers.lock();
        match offset {
            0x14 => r.device_page = value,
            0x20 => r.set_driver_features(value),
            0x24 => r.driver_page = value,
            0x30 => r.selected = u16::try_from(value).unwrap_or(u16::MAX),
            0x38 => r.set_size(value),
            0x44 => r.set_ready(value & 1 == 1),
            QUEUE_NOTIFY => r.kick(value),
            // The upper bits are reserved; only all of it zero is a reset.
            0x70 if value == 0 => r.set_status(0),
            0x70 if value as u8 != 0 => r.set_status(value as u8),
            0x80 => r.set_address(Area::Desc, 0, value),
            0x84 => r.set_address(Area::Desc, 1, value),
            0x90 => r.set_address(Area::Driver, 0, value),
            0x94 => r.set_address(Area::Driver, 1, value),
            0xa0 => r.set_address(Area::Device, 0, value),
            0xa4 => r.set_address(Area::Device, 1, value),
            _ => {}
        }
    }
}

/// InterruptStatus and the line. The line is up while any bit is set, for guests that take it for a level;
/// going down first makes an edge of every notification, also when another device holds a shared line up.
struct Interrupts {
    line: Arc<dyn Line>,
    status: Lock<u32>,
}

impl Interrupts {
    fn raise(&self, bit: u32) {
        let mut status = self.status.lock();
        *status |= bit;
        self.line.set(false);
        self.line.set(true);
    }

    fn acknowledge(&self, bits: u32) {
        let mut status = self.status.lock();
        if *status & bits == 0 {
            return;
        }
        *status &= !bits;
        self.line.set(false);
        if *status != 0 {
            self.line.set(true);
        }
    }
}

impl Signals for Interrupts {
    fn used(&self, _queue: u16) {
        self.raise(USED_BUFFER);
    }

    fn config_changed(&self) {
        self.raise(CONFIG_CHANGE);
    }

    fn reset(&self) {
        self.acknowledge(u32::MAX);
    }
}

#[cfg(test)]
mod tests;
