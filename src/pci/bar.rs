//! Base address registers (PCI 3.0, 6.2.5): how large they are, where the guest put them, and the windows on the bus
//! that follow. No firmware runs, so kiln itself assigns the first addresses ([`Addresses`]).

use super::{Config, Socket, command, register, touches};
use crate::bus::{Bus, Mmio};
use crate::sys::Lock;
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::sync::Weak;

/// How wide a memory BAR is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Bits32,
    /// It takes two registers, and is prefetchable.
    Bits64,
}

/// Guest physical addresses for BARs: each is given once, aligned to its size.
pub struct Addresses {
    low: Lock<Range<u64>>,
    high: Lock<Range<u64>>,
}

impl Addresses {
    /// `low` ends at or below 4 GiB.
    pub fn new(low: Range<u64>, high: Range<u64>) -> Addresses {
        Addresses { low: Lock::new(low), high: Lock::new(high) }
    }

    /// `size` is a power of two.
    pub fn take(&self, size: u64, width: Width) -> Result<u64> {
        let mut free = match width {
            Width::Bits32 => self.low.lock(),
            Width::Bits64 => self.high.lock(),
        };
        let at = free.start.checked_next_multiple_of(size);
        let at = at.filter(|at| at.checked_add(size).is_some_and(|end| end <= free.end));
        let at = at.with_context(|| format!("no addresses are left for a BAR of {size:#x} bytes"))?;
        free.start = at + size;
        Ok(at)
    }
}

/// The BARs of one function. Their registers are in its [`Config`].
#[derive(Default)]
pub struct Bars {
    bus: Weak<Bus>,
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
    /// Nothing answers until [`Bars::decode`]. `size` is a power of two of at least 16.
    pub fn add(
        &mut self,
        config: &mut Config,
        socket: &Socket,
        (index, size, width): (u16, u64, Width),
        target: Weak<dyn Mmio>,
    ) -> Result<()> {
        let registers = if width == Width::Bits64 { 2 } else { 1 };
        ensure!(
            size.is_power_of_two() && size >= 16 && index + registers <= 6,
            "BAR {index} cannot be {size:#x} bytes"
        );
        let address = socket.addresses.take(size, width)?;
        // Memory Space Indicator 0; Type 2 is 64 bits; bit 3 is Prefetchable.
        let kind = if width == Width::Bits64 { 0b1100 } else { 0 };
        let n = usize::from(registers) * 4;
        let at = register::BAR0 + 4 * index;
        let low_bits = |bytes: u64| bytes.to_le_bytes();
        config.set(at, low_bits(address | kind).get(..n).unwrap_or_default());
        config.allow(at, low_bits(!(size - 1)).get(..n).unwrap_or_default());
        self.bus = std::sync::Arc::downgrade(socket.bus);
        self.list.push(Bar { index, size, width, target, mapped: None });
        Ok(())
    }

    /// May a configuration write of `len` bytes at `offset` have moved a BAR, or switched decoding?
    pub fn concerned(offset: u16, len: usize) -> bool {
        touches(offset, len, register::COMMAND, 2) || touches(offset, len, register::BAR0, 24)
    }

    /// Makes the bus follow `config`. A BAR that does not fit between its neighbours is not decoded.
    /// True when something moved.
    pub fn decode(&mut self, config: &Config) -> bool {
        let Some(bus) = self.bus.upgrade() else { return false };
        let mut moved = false;
        let wanted: Vec<_> = self.list.iter().map(|bar| bar.wanted(config)).collect();
        // First everything goes away, so that BARs can change places.
        for (bar, wanted) in self.list.iter_mut().zip(&wanted) {
            if let Some(old) = bar.mapped.filter(|_| bar.mapped != *wanted) {
                bus.remove(old);
                bar.mapped = None;
                moved = true;
            }
        }
        for (bar, wanted) in self.list.iter_mut().zip(&wanted) {
            let (None, Some(new), Some(target)) = (bar.mapped, *wanted, bar.target.upgrade()) else { continue };
            match bus.insert(new, bar.size, target) {
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
    /// The address in its register, while memory is decoded. 0 is what an unassigned BAR has.
    fn wanted(&self, config: &Config) -> Option<u64> {
        let at = register::BAR0 + 4 * self.index;
        let high = if self.width == Width::Bits64 { config.u32(at + 4) } else { 0 };
        let address = u64::from(high) << 32 | u64::from(config.u32(at) & !0xf);
        (config.u16(register::COMMAND) & command::MEMORY != 0 && address != 0).then_some(address)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some(bus) = self.bus.upgrade() {
            self.list.iter().filter_map(|bar| bar.mapped).for_each(|at| bus.remove(at));
        }
    }
}

#[cfg(test)]
mod tests;
