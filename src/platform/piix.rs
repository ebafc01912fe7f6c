//! The south bridge of a 440FX board, PIIX3 (Intel 82371SB): what its functions say they are.
//! Most of what hangs on its ISA bridge are parts of their own (the clock, the keyboard controller, KVM's interrupt chips).

use crate::pci::{Class, Config, Function, Identity, Socket};
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;

/// The slot it has on every such board.
pub const SLOT: u8 = 1;

const INTEL: u16 = 0x8086;

/// Function 0.
const ISA: Identity = Identity {
    vendor: INTEL,
    device: 0x7000,
    revision: 0,
    class: Class(6, 1, 0),
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// The ISA bridge: it is found, and that is all.
pub struct IsaBridge(Lock<Config>);

impl IsaBridge {
    pub fn new() -> Arc<IsaBridge> {
        Arc::new(IsaBridge(Lock::new(Config::new(&ISA))))
    }
}

impl Function for IsaBridge {
    fn read(&self, offset: u16, data: &mut [u8]) {
        self.0.lock().read(offset, data);
    }

    fn write(&self, offset: u16, data: &[u8]) {
        self.0.lock().write(offset, data);
    }

    fn plug(self: Arc<Self>, _socket: &Socket) -> Result<()> {
        Ok(())
    }
}
