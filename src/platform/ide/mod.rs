//! The IDE controller of a PIIX3 (Intel 82371SB, 5.2): two channels at the addresses that a PC has them at, with up to two drives
//! each ([`Drive`]: an ATA disk or an ATAPI CD-ROM), and bus-master DMA ("Programming Interface for Bus Master IDE Controller", 1.0).
//!
//! ```text
//! 0x1f0 8 ports, 0x3f6   channel 0, interrupt 14        BAR 4   bus master: 8 ports of channel 0
//! 0x170 8 ports, 0x376   channel 1, interrupt 15                            8 ports of channel 1
//! ```
//! A vCPU carries out what goes through the data port (PIO); DMA and flushes go to a thread of the channel ([`worker`]).

mod ata;
mod atapi;
mod buffer;
mod channel;
mod drive;
mod identify;
mod master;
mod worker;

pub use drive::{Cache, Drive};

use crate::bus::{Bus, Mmio};
use crate::irq::Line;
use crate::mem::Memory;
use crate::part::Part;
use crate::pci::{self, Bars, Class, Config, Identity, Socket, Width, command, register};
use crate::sys::Lock;
use anyhow::{Context, Result, ensure};
use channel::Channel;
use std::sync::{Arc, Weak};

/// Drives that there can be.
pub const DRIVES: usize = 4;
/// Of the PIIX's functions.
pub const FUNCTION: u8 = 1;
/// ISA interrupt lines of the channels.
pub const IRQ: [u32; 2] = [14, 15];

/// Command block and control block of each channel: the ports, and how many of them.
const BLOCKS: [[(u64, u64); 2]; 2] = [[(0x1f0, 8), (0x3f6, 1)], [(0x170, 8), (0x376, 1)]];
const BAR: u16 = 4;
/// Ports of a channel in the BAR.
const MASTER_PORTS: u64 = 8;
/// IDETIM of both channels: the channel is decoded (82371SB, 2.3.9).
const TIMING: u16 = 0x40;
const DECODE: [u8; 4] = [0, 0x80, 0, 0x80];

const IDENTITY: Identity = Identity {
    vendor: 0x8086,
    device: 0x7010,
    revision: 0,
    // Bus master; both channels at the compatible addresses.
    class: Class(1, 1, 0x80),
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// Lock order: `space`, then those of a channel.
pub struct Controller {
    space: Lock<Space>,
    channels: [Arc<Channel>; 2],
}

struct Space {
    config: Config,
    bars: Bars,
    /// What `config` was when it was plugged in.
    power_on: Config,
}

impl Controller {
    /// Drives in the order primary master, primary slave, secondary master, secondary slave.
    pub fn new(drives: Vec<Drive>, memory: &Memory, lines: [Arc<dyn Line>; 2]) -> Result<Arc<Controller>> {
        ensure!(drives.len() <= DRIVES, "an IDE controller has room for {DRIVES} drives");
        let mut drives = drives.into_iter();
        let mut number = 0;
        let mut channel = |line: Arc<dyn Line>| {
            number += 1;
            Channel::new(number - 1, [drives.next(), drives.next()], memory, line)
        };
        let [one, two] = lines;
        let channels = [channel(one)?, channel(two)?];
        let mut config = Config::new(&IDENTITY);
        config.set(TIMING, &DECODE);
        config.allow(TIMING, &[0xff; 5]);
        let space = Lock::new(Space { power_on: config.clone(), config, bars: Bars::default() });
        Ok(Arc::new(Controller { space, channels }))
    }

    /// Puts the channels at their addresses.
    pub fn wire(&self, ports: &Bus) -> Result<()> {
        for (channel, [command, control]) in self.channels.iter().zip(BLOCKS) {
            let targets = [channel.command_block(), channel.control_block()];
            for ((at, len), target) in [command, control].into_iter().zip(targets) {
                ports.insert(at, len, target).with_context(|| format!("IDE at port {at:#x}"))?;
            }
        }
        Ok(())
    }
}

/// What the guest wrote is with the image before kiln goes.
impl Drop for Controller {
    fn drop(&mut self) {
        self.channels.iter().for_each(|channel| channel.halt());
    }
}

impl Part for Controller {
    fn name(&self) -> &str {
        "ide"
    }

    fn reset(&self) -> Result<()> {
        self.channels.iter().for_each(|channel| channel.power_on());
        let mut space = self.space.lock();
        space.config = space.power_on.clone();
        let Space { config, bars, .. } = &mut *space;
        bars.decode(config);
        Ok(())
    }
}

impl pci::Function for Controller {
    fn read(&self, offset: u16, data: &mut [u8]) {
        self.space.lock().config.read(offset, data);
    }

    fn write(&self, offset: u16, data: &[u8]) {
        let mut space = self.space.lock();
        let master = space.config.u16(register::COMMAND) & command::MASTER;
        space.config.write(offset, data);
        // A kernel that starts another one switches bus mastering off. What is under way ends before this returns.
        if master & !space.config.u16(register::COMMAND) != 0 {
            self.channels.iter().for_each(|channel| channel.halt());
        }
        if Bars::concerned(offset, data.len()) {
            let Space { config, bars, .. } = &mut *space;
            bars.decode(config);
        }
    }

    fn plug(self: Arc<Self>, socket: &Socket) -> Result<()> {
        let mut space = self.space.lock();
        let Space { config, bars, .. } = &mut *space;
        let me: Weak<Controller> = Arc::downgrade(&self);
        bars.add(config, socket, (BAR, 2 * MASTER_PORTS, Width::Io), me)?;
        // As firmware would leave it.
        config.set(register::COMMAND, &command::IO.to_le_bytes());
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

/// BAR 4.
impl Mmio for Controller {
    fn read(&self, offset: u64, data: &mut [u8]) {
        for (at, byte) in (offset..).zip(data) {
            let channel = self.channels.get((at / MASTER_PORTS) as usize);
            *byte = channel.map_or(0xff, |channel| channel.read_master(at % MASTER_PORTS));
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        for (at, byte) in (offset..).zip(data) {
            if let Some(channel) = self.channels.get((at / MASTER_PORTS) as usize) {
                channel.write_master(at % MASTER_PORTS, *byte);
            }
        }
    }
}

#[cfg(test)]
mod tests;
