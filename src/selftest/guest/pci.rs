//! PCI (PCI Local Bus 3.0): configuration space both ways, capabilities, BARs, MSI-X.

use crate::cpu::{self, Page};
use crate::port::*;
use crate::{Result, ensure};
use alloc::vec::Vec;

/// A function on a bus.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Function {
    pub bus: u8,
    pub device: u8,
    pub function: u8,
}

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

pub const COMMAND: u8 = 4;
const MEMORY: u16 = 2;
const MASTER: u16 = 4;
const NO_INTX: u16 = 1 << 10;

impl Function {
    fn select(self, at: u8) -> u16 {
        let Function { bus, device, function } = self;
        let to = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
        out32(ADDRESS, 1 << 31 | to | u32::from(at & !3));
        DATA + u16::from(at & 3)
    }

    pub fn read8(self, at: u8) -> u8 {
        in8(self.select(at))
    }

    pub fn read16(self, at: u8) -> u16 {
        in16(self.select(at))
    }

    pub fn read32(self, at: u8) -> u32 {
        in32(self.select(at))
    }

    pub fn write16(self, at: u8, value: u16) {
        out16(self.select(at), value);
    }

    pub fn write32(self, at: u8, value: u32) {
        out32(self.select(at), value);
    }

    /// Where ECAM has its configuration space (PCI Express 7.2.2).
    pub fn ecam(self, base: u64) -> u64 {
        base + (u64::from(self.bus) << 20 | u64::from(self.device) << 15 | u64::from(self.function) << 12)
    }

    pub fn vendor(self) -> u16 {
        self.read16(0)
    }

    /// Offsets of the capabilities with this ID (6.7).
    pub fn capabilities(self, id: u8) -> Vec<u8> {
        let mut found = Vec::new();
        let mut at = if self.read16(6) & 0x10 != 0 { self.read8(0x34) & !3 } else { 0 };
        for _ in 0..48 {
            if at == 0 {
                break;
            }
            if self.read8(at) == id {
                found.push(at);
            }
            at = self.read8(at + 1) & !3;
        }
        found
    }

    /// Address and length of a memory BAR, mapped (6.2.5.1).
    pub fn bar(self, index: u8) -> Result<(u64, u64)> {
        ensure!(index < 6, "BAR {index} does not exist");
        let at = 0x10 + index * 4;
        let low = self.read32(at);
        ensure!(low & 1 == 0, "BAR {index} is for ports");
        let wide = low & 6 == 4;
        let command = self.read16(COMMAND);
        self.write16(COMMAND, command & !3);
        self.write32(at, !0);
        let mut size = u64::from(self.read32(at) & !15) | !0 << 32;
        self.write32(at, low);
        let mut base = u64::from(low & !15);
        if wide {
            let high = self.read32(at + 4);
            self.write32(at + 4, !0);
            size = size & 0xffff_ffff | u64::from(self.read32(at + 4)) << 32;
            self.write32(at + 4, high);
            base |= u64::from(high) << 32;
        }
        self.write16(COMMAND, command);
        let len = (!size).wrapping_add(1);
        ensure!(len != 0 && len.is_power_of_two(), "BAR {index} is not implemented");
        ensure!(base != 0, "BAR {index} has no address");
        ensure!(base % len == 0, "BAR {index} is at {base:#x}, not aligned to its {len:#x} bytes");
        cpu::map(base, len);
        Ok((base, len))
    }

    /// Memory and DMA on, INTx off.
    pub fn enable(self) {
        self.write16(COMMAND, self.read16(COMMAND) & !1 | MEMORY | MASTER | NO_INTX);
    }

    /// Allows INTx, or not.
    pub fn set_intx(self, on: bool) {
        let command = self.read16(COMMAND) & !NO_INTX;
        self.write16(COMMAND, if on { command } else { command | NO_INTX });
    }
}

/// Every function there is, found by the port way. Bridges are followed.
pub fn scan() -> Vec<Function> {
    let mut found = Vec::new();
    let mut buses = Vec::from([0]);
    while let Some(bus) = buses.pop() {
        for device in 0..32 {
            for function in 0..8 {
                let f = Function { bus, device, function };
                if f.vendor() == 0xffff {
                    if function == 0 {
                        break;
                    }
                    continue;
                }
                let header = f.read8(0x0e);
                if header & 0x7f == 1 && f.read8(0x19) > bus {
                    buses.push(f.read8(0x19));
                }
                found.push(f);
                if function == 0 && header & 0x80 == 0 {
                    break;
                }
            }
        }
    }
    found
}

/// Where no firmware has given the BARs addresses.
#[allow(dead_code, reason = "the self-test's machine has them placed; some benchmarks' do not")]
pub fn place_bars() {
    let mut next = 0xe000_0000u32;
    for f in scan() {
        let mut index = 0;
        while index < 6 && f.read8(0x0e) & 0x7f == 0 {
            let at = 0x10 + index * 4;
            let old = f.read32(at);
            f.write32(at, !0);
            let mask = f.read32(at);
            f.write32(at, old);
            let wide = old & 7 == 4;
            if mask != 0 && old & 1 == 0 && old & !15 == 0 {
                let len = (!(mask & !15)).wrapping_add(1).max(0x1000);
                next = next.next_multiple_of(len);
                f.write32(at, next);
                next += len;
            }
            index += if wide { 2 } else { 1 };
        }
    }
}

/// MSI-X of a function (6.8.2).
#[derive(Clone, Copy)]
pub struct Msix {
    function: Function,
    cap: u8,
    table: u64,
    pending: u64,
    pub len: u16,
}

const ENABLE: u16 = 1 << 15;
const MASK_ALL: u16 = 1 << 14;

impl Msix {
    pub fn new(function: Function) -> Result<Msix> {
        let Some(cap) = function.capabilities(0x11).first().copied() else { return Err("there is no MSI-X".into()) };
        let place = |at: u8| -> Result<u64> {
            let word = function.read32(cap + at);
            Ok(function.bar((word & 7) as u8)?.0 + u64::from(word & !7))
        };
        let len = (function.read16(cap + 2) & 0x7ff) + 1;
        Ok(Msix { function, cap, table: place(4)?, pending: place(8)?, len })
    }

    pub fn enable(self, on: bool) {
        self.control(if on { ENABLE } else { 0 });
    }

    /// Enabled, but all vectors are masked while `on`.
    pub fn mask_all(self, on: bool) {
        self.control(if on { ENABLE | MASK_ALL } else { ENABLE });
    }

    fn control(self, bits: u16) {
        self.function.write16(self.cap + 2, bits);
    }

    fn entry(self, n: u16) -> u64 {
        self.table + u64::from(n) * 16
    }

    /// Entry `n` sends `vector` to the boot processor.
    pub fn program(self, n: u16, vector: u8) {
        let at = self.entry(n);
        write32(at + 12, 1);
        write32(at, 0xfee0_0000 | crate::apic::boot_id() << 12);
        write32(at + 4, 0);
        write32(at + 8, vector.into());
        write32(at + 12, 0);
    }

    /// What entry `n` reads back as: address, data, mask bit.
    pub fn programmed(self, n: u16) -> (u64, u32, bool) {
        let at = self.entry(n);
        (u64::from(read32(at + 4)) << 32 | u64::from(read32(at)), read32(at + 8), read32(at + 12) & 1 == 1)
    }

    pub fn mask(self, n: u16, on: bool) {
        write32(self.entry(n) + 12, on.into());
    }

    pub fn is_pending(self, n: u16) -> bool {
        read32(self.pending + u64::from(n / 32) * 4) >> (n % 32) & 1 == 1
    }
}

/// Waits until `vector` has come more often than `seen`.
pub fn interrupted(vector: u8, seen: u64) -> bool {
    crate::apic::wait(vector, || Page::boot().count(vector) > seen)
}
