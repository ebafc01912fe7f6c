//! Virtio over MMIO (virtio 1.2, 4.2), version 2 only. The command line says where the windows are, and which GSIs
//! they have: `mmio=0xf0000000:5,0xf0001000:10`.

use super::Transport;
use crate::port::*;
use crate::{Context, Result, apic, cpu, ensure};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Registers (4.2.2).
const MAGIC: u64 = 0;
const VERSION: u64 = 4;
const DEVICE_ID: u64 = 8;
const DEVICE_FEATURES: u64 = 0x10;
const DEVICE_FEATURES_SEL: u64 = 0x14;
const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_NUM_MAX: u64 = 0x34;
const QUEUE_NUM: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const QUEUE_NOTIFY: u64 = 0x50;
const INTERRUPT_STATUS: u64 = 0x60;
const INTERRUPT_ACK: u64 = 0x64;
const STATUS: u64 = 0x70;
const QUEUE_DESC: [u64; 3] = [0x80, 0x90, 0xa0];
const CONFIG_GENERATION: u64 = 0xfc;
const CONFIG: u64 = 0x100;

pub struct Window {
    base: u64,
    vector: u8,
}

/// All devices with this ID.
pub fn scan(context: &Context, id: u32) -> Vec<Box<dyn Transport>> {
    let mut found: Vec<Box<dyn Transport>> = Vec::new();
    for (base, gsi) in windows(context) {
        cpu::map(base, 0x1000);
        let magic = read32(base + MAGIC);
        if magic == 0x7472_6976 && read32(base + VERSION) == 2 && read32(base + DEVICE_ID) == id {
            let vector = cpu::vector();
            apic::route(gsi, vector);
            found.push(Box::new(Window { base, vector }));
        }
    }
    found
}

/// Base and GSI of each.
fn windows(context: &Context) -> Vec<(u64, u32)> {
    let parse = |text: &str| {
        let (base, gsi) = text.split_once(':')?;
        Some((u64::from_str_radix(base.strip_prefix("0x")?, 16).ok()?, gsi.parse().ok()?))
    };
    context.option("mmio").unwrap_or_default().split(',').filter_map(parse).collect()
}

impl Transport for Window {
    fn features(&self) -> u64 {
        let half = |n| {
            write32(self.base + DEVICE_FEATURES_SEL, n);
            u64::from(read32(self.base + DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    fn accept(&self, features: u64) {
        for n in 0..2 {
            write32(self.base + DRIVER_FEATURES_SEL, n);
            write32(self.base + DRIVER_FEATURES, (features >> (32 * n)) as u32);
        }
    }

    fn status(&self) -> u8 {
        read32(self.base + STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        write32(self.base + STATUS, status.into());
    }

    fn queue_max(&self, queue: u16) -> u16 {
        write32(self.base + QUEUE_SEL, queue.into());
        read32(self.base + QUEUE_NUM_MAX) as u16
    }

    fn set_queue(&mut self, queue: u16, size: u16, rings: [u64; 3]) -> Result<u8> {
        write32(self.base + QUEUE_SEL, queue.into());
        ensure!(read32(self.base + QUEUE_READY) == 0, "queue {queue} is in use");
        write32(self.base + QUEUE_NUM, size.into());
        for (ring, at) in rings.into_iter().zip(QUEUE_DESC) {
            write32(self.base + at, ring as u32);
            write32(self.base + at + 4, (ring >> 32) as u32);
        }
        write32(self.base + QUEUE_READY, 1);
        ensure!(read32(self.base + QUEUE_READY) == 1, "queue {queue} does not say that it is ready");
        Ok(self.vector)
    }

    fn doorbell(&self, _queue: u16) -> (u64, bool) {
        (self.base + QUEUE_NOTIFY, true)
    }

    fn config(&self, at: u64) -> u8 {
        read8(self.base + CONFIG + at)
    }

    fn config32(&self, at: u64) -> u32 {
        read32(self.base + CONFIG + at)
    }

    fn set_config(&self, at: u64, value: u8) {
        write8(self.base + CONFIG + at, value);
    }

    fn set_config32(&self, at: u64, value: u32) {
        write32(self.base + CONFIG + at, value);
    }

    fn generation(&self) -> u32 {
        read32(self.base + CONFIG_GENERATION)
    }

    fn config_vector(&mut self) -> Result<u8> {
        Ok(self.vector)
    }

    fn acknowledgement(&self) -> Option<(u64, u64)> {
        Some((self.base + INTERRUPT_STATUS, self.base + INTERRUPT_ACK))
    }
}
