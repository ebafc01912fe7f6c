//! The power management function of a 440FX board's south bridge (PIIX4, Intel 82371AB, function 3): where firmware
//! looks for the power management timer. The registers themselves are [`super::power`]'s.

use crate::part::Part;
use crate::pci::{Class, Config, Function, Identity, Socket};
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x7113,
    revision: 3,
    class: Class(6, 0x80, 0),
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};
/// Power management base address (data sheet, 7.1.9); bit 0 says that it is of I/O ports.
const PMBA: u16 = 0x40;
/// Device activity B (7.1.18). A guest would enter SMM by writing to port 0xb2 while this bit is set, so SeaBIOS takes it
/// that SMM is set up already, and leaves it alone: there is none here.
const DEVACTB: u16 = 0x58;
const APMC_EN: u32 = 1 << 25;
/// Miscellaneous power management (7.1.26): the ports are decoded.
const PMREGMISC: u16 = 0x80;
const PMIOSE: u8 = 1;

pub struct PowerManagement {
    config: Lock<Config>,
    ports: u16,
}

impl PowerManagement {
    /// `ports` is where the registers are and stay.
    pub fn new(ports: u16) -> Arc<PowerManagement> {
        Arc::new(PowerManagement { config: Lock::new(power_on(ports)), ports })
    }
}

fn power_on(ports: u16) -> Config {
    let mut config = Config::new(&IDENTITY);
    config.set(PMBA, &u32::from(ports | 1).to_le_bytes());
    config.set(DEVACTB, &APMC_EN.to_le_bytes());
    config.set(PMREGMISC, &[PMIOSE]);
    config
}

impl Function for PowerManagement {
    fn read(&self, offset: u16, data: &mut [u8]) {
        self.config.lock().read(offset, data);
    }

    fn write(&self, offset: u16, data: &[u8]) {
        self.config.lock().write(offset, data);
    }

    fn plug(self: Arc<Self>, _socket: &Socket) -> Result<()> {
        Ok(())
    }
}

impl Part for PowerManagement {
    fn name(&self) -> &str {
        "piix4-pm"
    }

    fn reset(&self) -> Result<()> {
        *self.config.lock() = power_on(self.ports);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
