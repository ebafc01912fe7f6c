//! Virtio over PCI (virtio 1.2, 4.1), by the modern interface only; one MSI-X vector for each queue.

use super::Transport;
use crate::pci::{self, Function, Msix};
use crate::port::*;
use crate::{Result, cpu, ensure};
use alloc::boxed::Box;
use alloc::vec::Vec;

const VENDOR: u16 = 0x1af4;
/// Device IDs below are of transitional devices, which the subsystem tells apart (4.1.2.1).
const FIRST_MODERN: u16 = 0x1040;

/// Structures that the vendor capabilities lead to (4.1.4); 3 is the ISR status.
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;
const PCI_ACCESS: u8 = 5;

/// Fields of the common configuration (4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: u64 = 0;
    pub const DEVICE_FEATURE: u64 = 4;
    pub const DRIVER_FEATURE_SELECT: u64 = 8;
    pub const DRIVER_FEATURE: u64 = 12;
    pub const CONFIG_MSIX_VECTOR: u64 = 16;
    pub const DEVICE_STATUS: u64 = 20;
    pub const CONFIG_GENERATION: u64 = 21;
    pub const QUEUE_SELECT: u64 = 22;
    pub const QUEUE_SIZE: u64 = 24;
    pub const QUEUE_MSIX_VECTOR: u64 = 26;
    pub const QUEUE_ENABLE: u64 = 28;
    pub const QUEUE_NOTIFY_OFF: u64 = 30;
    pub const QUEUE_DESC: u64 = 32;
}

pub struct Device {
    pub function: Function,
    pub msix: Msix,
    common: u64,
    notify: u64,
    multiplier: u32,
    isr: u64,
    device: u64,
    /// Offset of the capability for access through configuration space (4.1.4.9).
    access: Option<u8>,
    next_entry: u16,
    /// Use INTx, so program no vector.
    pub intx: Option<u8>,
}

/// All virtio devices on the buses with this ID.
pub fn scan(id: u32) -> Result<Vec<Box<dyn Transport>>> {
    functions(id).into_iter().map(|f| Ok(Box::new(Device::new(f)?) as Box<dyn Transport>)).collect()
}

pub fn functions(id: u32) -> Vec<Function> {
    let device = |f: &Function| match f.read16(2) {
        modern if modern >= FIRST_MODERN => u32::from(modern - FIRST_MODERN),
        _ => u32::from(f.read16(0x2e)),
    };
    let is_it = |f: &Function| f.vendor() == VENDOR && device(f) == id;
    pci::scan().into_iter().filter(is_it).collect()
}

impl Device {
    pub fn new(function: Function) -> Result<Device> {
        function.enable();
        let msix = Msix::new(function)?;
        let (mut found, mut multiplier, mut access) = ([0; 6], 0, None);
        for cap in function.capabilities(9) {
            let kind = function.read8(cap + 3);
            if kind == PCI_ACCESS {
                access = Some(cap);
            }
            if !(COMMON..=DEVICE).contains(&kind) || found[usize::from(kind)] != 0 {
                continue;
            }
            let (bar, len) = function.bar(function.read8(cap + 4))?;
            let offset = u64::from(function.read32(cap + 8));
            let size = u64::from(function.read32(cap + 12));
            ensure!(offset + size <= len, "structure {kind} is at {offset:#x}+{size:#x} of a BAR of {len:#x}");
            found[usize::from(kind)] = bar + offset;
            if kind == NOTIFY {
                multiplier = function.read32(cap + 16);
            }
        }
        let [_, common, notify, isr, device, _] = found;
        ensure!(common != 0 && notify != 0 && isr != 0, "a structure is missing among the capabilities");
        msix.enable(true);
        Ok(Device { function, msix, common, notify, multiplier, isr, device, access, next_entry: 0, intx: None })
    }

    fn new_vector(&mut self) -> Result<(u16, u8)> {
        if let Some(vector) = self.intx {
            return Ok((0xffff, vector));
        }
        let entry = self.next_entry;
        ensure!(entry < self.msix.len, "there are only {} MSI-X vectors", self.msix.len);
        self.next_entry += 1;
        let vector = cpu::vector();
        self.msix.program(entry, vector);
        Ok((entry, vector))
    }

    /// The byte at `offset` of the structure `kind`'s BAR, read through configuration space; `None` without that way.
    pub fn status_by_config(&self) -> Option<u8> {
        let access = self.access?;
        let common = self.function.capabilities(9).into_iter().find(|cap| self.function.read8(cap + 3) == COMMON)?;
        let bar = u32::from(self.function.read8(common + 4));
        let offset = self.function.read32(common + 8) + common::DEVICE_STATUS as u32;
        self.function.write32(access + 4, bar);
        self.function.write32(access + 8, offset);
        self.function.write32(access + 12, 1);
        Some(self.function.read8(access + 16))
    }

    /// The ISR status: reading it clears it (4.1.4.5).
    pub fn isr_address(&self) -> u64 {
        self.isr
    }
}

impl Transport for Device {
    fn features(&self) -> u64 {
        let half = |n| {
            write32(self.common + common::DEVICE_FEATURE_SELECT, n);
            u64::from(read32(self.common + common::DEVICE_FEATURE))
        };
        half(0) | half(1) << 32
    }

    fn accept(&self, features: u64) {
        for n in 0..2 {
            write32(self.common + common::DRIVER_FEATURE_SELECT, n);
            write32(self.common + common::DRIVER_FEATURE, (features >> (32 * n)) as u32);
        }
    }

    fn status(&self) -> u8 {
        read8(self.common + common::DEVICE_STATUS)
    }

    fn set_status(&self, status: u8) {
        write8(self.common + common::DEVICE_STATUS, status);
    }

    fn queue_max(&self, queue: u16) -> u16 {
        write16(self.common + common::QUEUE_SELECT, queue);
        read16(self.common + common::QUEUE_SIZE)
    }

    fn set_queue(&mut self, queue: u16, size: u16, rings: [u64; 3]) -> Result<u8> {
        let (entry, vector) = self.new_vector()?;
        write16(self.common + common::QUEUE_SELECT, queue);
        write16(self.common + common::QUEUE_SIZE, size);
        write16(self.common + common::QUEUE_MSIX_VECTOR, entry);
        let got = read16(self.common + common::QUEUE_MSIX_VECTOR);
        ensure!(got == entry, "queue {queue} has MSI-X entry {got}, not {entry}");
        for (ring, n) in rings.into_iter().zip(0..) {
            write32(self.common + common::QUEUE_DESC + n * 8, ring as u32);
            write32(self.common + common::QUEUE_DESC + n * 8 + 4, (ring >> 32) as u32);
        }
        write16(self.common + common::QUEUE_ENABLE, 1);
        ensure!(read16(self.common + common::QUEUE_ENABLE) == 1, "queue {queue} does not say that it is enabled");
        Ok(vector)
    }

    fn doorbell(&self, queue: u16) -> (u64, bool) {
        write16(self.common + common::QUEUE_SELECT, queue);
        let off = read16(self.common + common::QUEUE_NOTIFY_OFF);
        (self.notify + u64::from(off) * u64::from(self.multiplier), false)
    }

    fn config(&self, at: u64) -> u8 {
        read8(self.device + at)
    }

    fn config32(&self, at: u64) -> u32 {
        read32(self.device + at)
    }

    fn set_config(&self, at: u64, value: u8) {
        write8(self.device + at, value);
    }

    fn set_config32(&self, at: u64, value: u32) {
        write32(self.device + at, value);
    }

    fn generation(&self) -> u32 {
        read8(self.common + common::CONFIG_GENERATION).into()
    }

    fn config_vector(&mut self) -> Result<u8> {
        let (entry, vector) = self.new_vector()?;
        write16(self.common + common::CONFIG_MSIX_VECTOR, entry);
        ensure!(read16(self.common + common::CONFIG_MSIX_VECTOR) == entry, "the device refuses a configuration vector");
        Ok(vector)
    }
}
