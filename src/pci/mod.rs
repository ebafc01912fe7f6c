//! PCI (PCI Local Bus 3.0): one root bus, a function's configuration space, BARs, INTx and MSI-X.
//! Knows no device; what is plugged in is a [`Function`].

mod bar;
mod config;
#[cfg(test)]
pub mod fakes;
pub mod msix;
mod root;

pub use bar::{Addresses, Bars, Width, Windows};
pub use config::{Class, Config, Identity, touches};
pub use msix::Msix;
pub use root::{Intx, Root};

use crate::bus::Bus;
use anyhow::Result;
use std::sync::Arc;

/// Bits of the COMMAND register (PCI 3.0, 6.2.2).
pub mod command {
    pub const IO: u16 = 1 << 0;
    pub const MEMORY: u16 = 1 << 1;
    pub const MASTER: u16 = 1 << 2;
    pub const INTX_DISABLE: u16 = 1 << 10;
}

/// Offsets in the configuration header (PCI 3.0, 6.1).
pub mod register {
    pub const VENDOR: u16 = 0x00;
    pub const DEVICE: u16 = 0x02;
    pub const COMMAND: u16 = 0x04;
    pub const STATUS: u16 = 0x06;
    pub const REVISION: u16 = 0x08;
    pub const HEADER_TYPE: u16 = 0x0e;
    pub const BAR0: u16 = 0x10;
    pub const SUBSYSTEM_VENDOR: u16 = 0x2c;
    pub const SUBSYSTEM: u16 = 0x2e;
    pub const CAPABILITIES: u16 = 0x34;
    pub const INTERRUPT_LINE: u16 = 0x3c;
    pub const INTERRUPT_PIN: u16 = 0x3d;
}

/// What sits in a slot: the one function of a device, or one of up to eight.
pub trait Function: Send + Sync {
    /// Reads its configuration space; the guest chooses offset (below 4096) and width freely.
    fn read(&self, offset: u16, data: &mut [u8]);
    fn write(&self, offset: u16, data: &[u8]);

    /// Puts it in its slot, once: it takes addresses for its BARs and answers them.
    fn plug(self: Arc<Self>, socket: &Socket) -> Result<()>;

    /// Another function may have moved out of the way of a BAR.
    fn retry(&self) {}
}

/// What a slot offers to the function plugged into it.
pub struct Socket<'a> {
    /// Guest physical addresses.
    pub bus: &'a Arc<Bus>,
    pub ports: &'a Arc<Bus>,
    pub addresses: &'a Addresses,
    /// The interrupt number that firmware would leave in the Interrupt Line register.
    pub interrupt: u8,
}
