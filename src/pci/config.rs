//! A function's configuration space: bytes, which of their bits the guest may write, and the list of capabilities.
//! What a write means is the function's business.

use super::{command, register};
use anyhow::{Context, Result, ensure};

/// Bytes. Without a PCI Express capability there is nothing from here to 4096, and it reads as zero.
const LEN: usize = 256;
const HEADER: usize = 0x40;
/// STATUS: there is a list of capabilities.
const CAPABILITIES_LIST: u16 = 1 << 4;

/// Base class, subclass and programming interface (PCI 3.0, appendix D).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class(pub u8, pub u8, pub u8);

/// Who a function says it is.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    pub vendor: u16,
    pub device: u16,
    pub revision: u8,
    pub class: Class,
    pub subsystem_vendor: u16,
    pub subsystem: u16,
}

/// A type 0 header (PCI 3.0, 6.1) and what follows it.
#[derive(Clone)]
pub struct Config {
    bytes: [u8; LEN],
    /// Bits the guest may write.
    mask: [u8; LEN],
    /// Where the next capability goes, and the byte that will point at it.
    next: usize,
    link: usize,
}

impl Config {
    /// The guest may write COMMAND (decoding, bus mastering, INTx disable) and the Interrupt Line.
    pub fn new(identity: &Identity) -> Config {
        let mut c = Config { bytes: [0; LEN], mask: [0; LEN], next: HEADER, link: usize::from(register::CAPABILITIES) };
        let Class(base, sub, interface) = identity.class;
        c.set(register::VENDOR, &identity.vendor.to_le_bytes());
        c.set(register::DEVICE, &identity.device.to_le_bytes());
        c.set(register::REVISION, &[identity.revision, interface, sub, base]);
        c.set(register::SUBSYSTEM_VENDOR, &identity.subsystem_vendor.to_le_bytes());
        c.set(register::SUBSYSTEM, &identity.subsystem.to_le_bytes());
        let command = command::IO | command::MEMORY | command::MASTER | command::INTX_DISABLE;
        c.allow(register::COMMAND, &command.to_le_bytes());
        c.allow(register::INTERRUPT_LINE, &[0xff]);
        c
    }

    /// Adds a capability (PCI 3.0, 6.7) with `body` after its ID and link; `mask` says which bits of the body
    /// (its beginning, if shorter) the guest may write. Gives its offset.
    pub fn capability(&mut self, id: u8, body: &[u8], mask: &[u8]) -> Result<u16> {
        let at = self.next;
        let end = at + 2 + body.len();
        ensure!(end <= LEN, "the capabilities do not fit the configuration space");
        let offset = u8::try_from(at).context("a capability beyond the first 256 bytes")?;
        self.set(u16::from(offset), &[id, 0]);
        self.set(u16::from(offset) + 2, body);
        self.allow(u16::from(offset) + 2, mask.get(..body.len()).unwrap_or(mask));
        self.set(self.link as u16, &[offset]);
        let status = self.u16(register::STATUS) | CAPABILITIES_LIST;
        self.set(register::STATUS, &status.to_le_bytes());
        (self.link, self.next) = (at + 1, end.next_multiple_of(4));
        Ok(u16::from(offset))
    }

    /// The guest reads; beyond the end there are zeros.
    pub fn read(&self, offset: u16, out: &mut [u8]) {
        let from = self.bytes.get(usize::from(offset)..).unwrap_or_default();
        for (i, to) in out.iter_mut().enumerate() {
            *to = from.get(i).copied().unwrap_or(0);
        }
    }

    /// The guest writes, and changes the bits it may.
    pub fn write(&mut self, offset: u16, data: &[u8]) {
        let at = usize::from(offset);
        let masks = self.mask.get(at..).unwrap_or_default();
        let bytes = self.bytes.get_mut(at..).unwrap_or_default();
        for ((to, mask), from) in bytes.iter_mut().zip(masks).zip(data) {
            *to = *to & !mask | from & mask;
        }
    }

    pub fn u8(&self, offset: u16) -> u8 {
        self.bytes.get(usize::from(offset)).copied().unwrap_or(0)
    }

    pub fn u16(&self, offset: u16) -> u16 {
        let mut bytes = [0; 2];
        self.read(offset, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    pub fn u32(&self, offset: u16) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    /// The function itself changes its bytes, whatever the guest may do.
    pub fn set(&mut self, offset: u16, data: &[u8]) {
        copy(&mut self.bytes, offset, data);
    }

    /// From now on the guest may write the bits that are set in `mask`, and no others of these bytes.
    pub fn allow(&mut self, offset: u16, mask: &[u8]) {
        copy(&mut self.mask, offset, mask);
    }
}

fn copy(to: &mut [u8; LEN], offset: u16, from: &[u8]) {
    for (to, from) in to.iter_mut().skip(usize::from(offset)).zip(from) {
        *to = *from;
    }
}

/// Does a write of `len` bytes at `offset` reach the `size` bytes at `register`?
pub fn touches(offset: u16, len: usize, register: u16, size: u16) -> bool {
    let (offset, register) = (usize::from(offset), usize::from(register));
    offset < register + usize::from(size) && register < offset + len
}

#[cfg(test)]
mod tests;
