//! A network card for guests without virtio: Intel's 82540EM (PRO/1000 MT), which Linux calls e1000. By Intel's "PCI/PCI-X
//! Family of Gigabit Ethernet Controllers Software Developer's Manual" (317453, "SDM" in these files).
//!
//! ```text
//! BAR 0   128 KiB of memory: the registers           BAR 1   64 ports: IOADDR, IODATA, the registers again
//! INTA    while a cause in ICR is let through by IMS
//!
//! names      offsets and bits                         worker     the thread, and what it shares with vCPUs
//! registers  what reads and writes do                 transmit   descriptors to packets
//! eeprom phy filter                                   offload    packets to frames: checksums, segments, tags
//! checksum                                            receive    frames to descriptors
//! ```
//! Interrupts are not delayed (ITR, RDTR, RADV, TIDV, TADV): they come when a batch of frames is done. Missing: wake-up,
//! flow control, MAC loopback, management, writing the EEPROM.

mod checksum;
mod eeprom;
mod filter;
mod names;
mod offload;
mod phy;
mod ports;
mod receive;
mod registers;
mod transmit;
mod worker;

use crate::bus::Mmio;
use crate::config::Mac;
use crate::host::link::Link;
use crate::irq::Line;
use crate::mem::Memory;
use crate::part::Part;
use crate::pci::{self, Bars, Class, Config, Identity, Socket, Width, command, register, touches};
use crate::sys::Lock;
use anyhow::Result;
use eeprom::Eeprom;
use ports::Ports;
use registers::{Effect, Registers};
use std::sync::{Arc, Weak};
use worker::{Shared, Worker};

/// BAR 0.
const BAR_LEN: u64 = 128 << 10;

const VENDOR: u16 = 0x8086;
const DEVICE: u16 = 0x100e;
/// PRO/1000 MT Desktop Adapter.
const SUBSYSTEM: u16 = 0x001e;
/// STATUS: INTx is pending (PCI 3.0, 6.2.3).
const INTERRUPT_STATUS: u16 = 1 << 3;

/// The card. Lock order: `space`, `worker`, then those of [`Shared`].
pub struct E1000 {
    name: String,
    space: Lock<Space>,
    shared: Arc<Shared>,
    ports: Arc<Ports>,
    /// From the first use of a ring to the machine's reset.
    worker: Lock<Option<Worker>>,
}

struct Space {
    config: Config,
    bars: Bars,
    /// What `config` was when it was plugged in.
    power_on: Config,
}

impl E1000 {
    /// `intx` is the slot's end of INTA.
    pub fn new(id: &str, mac: Mac, link: Box<dyn Link>, memory: &Memory, intx: Arc<dyn Line>) -> Result<Arc<E1000>> {
        let eeprom = Eeprom::new(mac, VENDOR, DEVICE, SUBSYSTEM);
        let mut config = Config::new(&Identity {
            vendor: VENDOR,
            device: DEVICE,
            revision: 2,
            class: Class(0x02, 0x00, 0),
            subsystem_vendor: VENDOR,
            subsystem: SUBSYSTEM,
        });
        config.set(register::INTERRUPT_PIN, &[1]);
        let shared = Shared::new(Registers::new(mac.0, eeprom, intx), link, memory)?;
        Ok(Arc::new_cyclic(|me| E1000 {
            name: id.to_string(),
            space: Lock::new(Space { power_on: config.clone(), config, bars: Bars::default() }),
            shared,
            ports: Arc::new(Ports::new(me)),
            worker: Lock::new(None),
        }))
    }

    fn apply(&self, effect: Effect) {
        if effect.stop {
            self.shared.settle();
        }
        if effect.kick {
            let mut worker = self.worker.lock();
            if worker.is_none() {
                match Worker::start(&self.name, &self.shared) {
                    Ok(started) => *worker = Some(started),
                    Err(e) => log::error!("{}: {e:#}", self.name),
                }
            }
            self.shared.kick();
        }
    }

    /// What COMMAND says of bus mastering and interrupts.
    fn commanded(&self, commands: u16) -> Effect {
        let mut registers = self.shared.registers.lock();
        registers.intx_off = commands & command::INTX_DISABLE != 0;
        registers.update();
        let master = commands & command::MASTER != 0;
        match (std::mem::replace(&mut registers.master, master), master) {
            (true, false) => Effect { kick: false, stop: true },
            // A driver may set up its rings first.
            (false, true) => Effect { kick: registers.running(), stop: false },
            _ => Effect::default(),
        }
    }

    fn read_word(&self, at: u32) -> u32 {
        self.shared.registers.lock().read(at)
    }

    fn write_word(&self, at: u32, value: u32) {
        let effect = self.shared.registers.lock().write(at, value);
        self.apply(effect);
    }
}

impl Part for E1000 {
    fn name(&self) -> &str {
        &self.name
    }

    fn reset(&self) -> Result<()> {
        // Joins the thread.
        drop(self.worker.lock().take());
        let mut space = self.space.lock();
        space.config = space.power_on.clone();
        let Space { config, bars, .. } = &mut *space;
        bars.decode(config);
        self.commanded(config.u16(register::COMMAND));
        self.ports.reset();
        self.shared.registers.lock().reset();
        Ok(())
    }
}

impl pci::Function for E1000 {
    fn read(&self, offset: u16, data: &mut [u8]) {
        let pending = self.shared.registers.lock().pending();
        let mut space = self.space.lock();
        let status = space.config.u16(register::STATUS) & !INTERRUPT_STATUS;
        let status = if pending { status | INTERRUPT_STATUS } else { status };
        space.config.set(register::STATUS, &status.to_le_bytes());
        space.config.read(offset, data);
    }

    fn write(&self, offset: u16, data: &[u8]) {
        let mut space = self.space.lock();
        space.config.write(offset, data);
        let mut effect = Effect::default();
        if touches(offset, data.len(), register::COMMAND, 2) {
            effect = self.commanded(space.config.u16(register::COMMAND));
        }
        if Bars::concerned(offset, data.len()) {
            let Space { config, bars, .. } = &mut *space;
            bars.decode(config);
        }
        self.apply(effect);
    }

    fn plug(self: Arc<Self>, socket: &Socket) -> Result<()> {
        let mut space = self.space.lock();
        let Space { config, bars, .. } = &mut *space;
        let me: Weak<E1000> = Arc::downgrade(&self);
        bars.add(config, socket, (0, BAR_LEN, Width::Bits32), me)?;
        let ports: Weak<Ports> = Arc::downgrade(&self.ports);
        bars.add(config, socket, (1, ports::LEN, Width::Io), ports)?;
        config.set(register::INTERRUPT_LINE, &[socket.interrupt]);
        // As firmware would leave it.
        config.set(register::COMMAND, &(command::MEMORY | command::IO).to_le_bytes());
        bars.decode(config);
        space.power_on = space.config.clone();
        Ok(())
    }

    fn retry(&self) {
        let mut space = self.space.lock();
        let Space { config, bars, .. } = &mut *space;
        bars.decode(config);
    }
}

/// BAR 0. Registers are words: part of one is read from the whole, and not written; twice as much is two (SDM 13.1).
impl Mmio for E1000 {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let mut at = offset;
        let mut rest = data;
        while !rest.is_empty() {
            let word = self.read_word(at.min(BAR_LEN) as u32).to_le_bytes();
            let bytes = word.get((at & 3) as usize..).unwrap_or_default();
            let n = bytes.len().min(rest.len());
            let (now, then) = rest.split_at_mut(n);
            now.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            (at, rest) = (at + n as u64, then);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        for (n, word) in data.as_chunks::<4>().0.iter().enumerate().filter(|_| offset.is_multiple_of(4)) {
            let at = offset.saturating_add(4 * n as u64);
            self.write_word(at.min(BAR_LEN) as u32, u32::from_le_bytes(*word));
        }
    }
}

#[cfg(test)]
mod tests;
