//! The host bridge of a 440FX board (Intel 82441FX), by which firmware knows what board it is on.

use crate::part::Part;
use crate::pci::{Class, Config, Function, Identity, Socket};
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x1237,
    revision: 2,
    class: Class(6, 0, 0),
    // By these SeaBIOS knows a virtual machine with QEMU's interfaces.
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};
/// Which of ROM and RAM is seen from 0xc0000 to 0xfffff (data sheet, 3.2.16 "PAM"), and where SMM's memory is.
/// Firmware writes them and reads them back; there is RAM whatever they say.
const PAM: u16 = 0x59;
const PAM_LEN: usize = 7;
const SMRAM: u16 = 0x72;
/// SMRAM: its base, which is fixed.
const SMRAM_BASE: u8 = 2;

pub struct HostBridge(Lock<Config>);

impl HostBridge {
    pub fn new() -> Arc<HostBridge> {
        Arc::new(HostBridge(Lock::new(power_on())))
    }
}

fn power_on() -> Config {
    let mut config = Config::new(&IDENTITY);
    config.allow(PAM, &[0xff; PAM_LEN]);
    config.set(SMRAM, &[SMRAM_BASE]);
    config.allow(SMRAM, &[0x78]);
    config
}

impl Function for HostBridge {
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

impl Part for HostBridge {
    fn name(&self) -> &str {
        "i440fx"
    }

    fn reset(&self) -> Result<()> {
        *self.0.lock() = power_on();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
