//! Base address registers (PCI 3.0, 6.2.5): how large they are, where the guest put them, and the windows on the buses
//! that follow. Often no firmware runs, so kiln itself assigns the first addresses ([`Addresses`]).

use super::{Config, Socket, command, register, touches};
use crate::bus::{Bus, Mmio};
use crate::sys::Lock;
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// How wide a memory BAR is, or that it is one of I/O ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Bits32,
    /// 32 bits, and prefetchable: the processor may join stores and read ahead.
    Prefetchable,
    /// It takes two registers, and is prefetchable.
    Bits64,
    Io,
}

/// Where BARs may go.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    /// Guest physical addresses, which end at or below 4 GiB.
    pub low: Range<u64>,
    pub high: Range<u64>,
    /// Ports, which end at or below 64 KiB.
    pub io: Range<u64>,
}

/// Addresses for BARs: each is given once, aligned to its size.
pub struct Addresses {
    low: Lock<Range<u64>>,
    high: Lock<Range<u64>>,
    io: Lock<Range<u64>>,
}

impl Addresses {
    pub fn new(windows: Windows) -> Addresses {
        let Windows { low, high, io } = windows;
        Addresses { low: Lock::new(low), high: Lock::new(high), io: Lock::new(io) }
    }

    /// `size` is a power of two.
    pub fn take(&self, size: u64, width: Width) -> Result<u64> {
        let mut free = match width {
            Width::Bits32 | Width::Prefetchable => self.low.lock(),
            Width::Bits64 => self.high.lock(),
            Width::Io => self.io.lock(),
        };
        let at = free.start.checked_next_multiple_of(size);
        let at = at.filter(|at| at.checked_add(size).is_some_and(|end| end <= free.end));
        let at = at.with_context(|| format!("no addresses are left for a BAR of {size:#x} bytes"))?;
        free.start = at + size;
        Ok(at)
    }
}

/// How many ports an x86 processor has; the upper half of an I/O BAR is of no use to it.
const PORTS: u64 = 1 << 16;

/// The BARs of one function. Their registers are in its [`Config`].
#[derive(Default)]
pub struct Bars {
    memory: Weak<Bus>,
    ports: Weak<Bus>,
    list: Vec<Bar>,
}

struct Bar {
    /// Of 0 to 5; the next one as well if it is 64 bits wide.
    index: u16,
    size: u64,
    width: Width,
    target: Weak<dyn Mmio>,
    /// Where it answers now.
    mapped: Option<u64>,
}

impl Bars {
    /// Gives the function another BAR: the register in `config`, an address, and an entry here.
    /// Nothing answers until [`Bars::decode`]. `size` is a power of two of at least 16, for ports 4 to 256.
    pub fn add(
        &mut self,
        config: &mut Config,
        socket: &Socket,
        (index, size, width): (u16, u64, Width),
        target: Weak<dyn Mmio>,
    ) -> Result<()> {
        let registers = if width == Width::Bits64 { 2 } else { 1 };
        let sizes = if width == Width::Io { 4..=256 } else { 16..=u64::MAX };
        ensure!(
            size.is_power_of_two() && sizes.contains(&size) && index + registers <= 6,
            "BAR {index} cannot be {size:#x} bytes"
        );
        let address = socket.addresses.take(size, width)?;
        // Bit 0: it is of I/O ports. In memory Type 2 is 64 bits, and bit 3 is Prefetchable.
        let kind = match width {
            Width::Bits32 => 0,
            Width::Prefetchable => 0b1000,
            Width::Bits64 => 0b1100,
            Width::Io => 1,
        };
        let n = usize::from(registers) * 4;
        let at = register::BAR0 + 4 * index;
        let low_bits = |bytes: u64| bytes.to_le_bytes();
        config.set(at, low_bits(address | kind).get(..n).unwrap_or_default());
        config.allow(at, low_bits(!(size - 1)).get(..n).unwrap_or_default());
        self.memory = Arc::downgrade(socket.bus);
        self.ports = Arc::downgrade(socket.ports);
        self.list.push(Bar { index, size, width, target, mapped: None });
        Ok(())
    }

    /// May a configuration write of `len` bytes at `offset` have moved a BAR, or switched decoding?
    pub fn concerned(offset: u16, len: usize) -> bool {
        touches(offset, len, register::COMMAND, 2) || touches(offset, len, register::BAR0, 24)
    }

    /// Makes the buses follow `config`. A BAR that does not fit between its neighbours is not decoded.
    /// True when something moved.
    pub fn decode(&mut self, config: &Config) -> bool {
        let (Some(memory), Some(ports)) = (self.memory.upgrade(), self.ports.upgrade()) else { return false };
        let bus = |width| if width == Width::Io { &ports } else { &memory };
        let mut moved = false;
        let wanted: Vec<_> = self.list.iter().map(|bar| bar.wanted(config)).collect();
        // First everything goes away, so that BARs can change places.
        for (bar, wanted) in self.list.iter_mut().zip(&wanted) {
            if let Some(old) = bar.mapped.filter(|_| bar.mapped != *wanted) {
                bus(bar.width).remove(old);
                bar.mapped = None;
                moved = true;
            }
        }
        for (bar, wanted) in self.list.iter_mut().zip(&wanted) {
            let (None, Some(new), Some(target)) = (bar.mapped, *wanted, bar.target.upgrade()) else { continue };
            match bus(bar.width).insert(new, bar.size, target) {
                Ok(()) => (bar.mapped, moved) = (Some(new), true),
                Err(e) => log::debug!("BAR {}: {e:#}", bar.index),
            }
        }
        moved
    }

    /// Where BAR `index` answers, if it does.
    pub fn mapped(&self, index: u16) -> Option<u64> {
        self.list.iter().find(|bar| bar.index == index)?.mapped
    }
}

impl Bar {
    /// The address in its register, while its kind is decoded. 0 is what an unassigned BAR has.
    fn wanted(&self, config: &Config) -> Option<u64> {
        let at = register::BAR0 + 4 * self.index;
        let low = u64::from(config.u32(at));
        let (switch, address) = match self.width {
            Width::Bits32 | Width::Prefetchable => (command::MEMORY, low & !0xf),
            Width::Bits64 => (command::MEMORY, u64::from(config.u32(at + 4)) << 32 | low & !0xf),
            Width::Io => (command::IO, low & !3),
        };
        let there = self.width != Width::Io || address < PORTS;
        (config.u16(register::COMMAND) & switch != 0 && address != 0 && there).then_some(address)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in &self.list {
            let bus = if bar.width == Width::Io { &self.ports } else { &self.memory };
            if let (Some(bus), Some(at)) = (bus.upgrade(), bar.mapped) {
                bus.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests;
