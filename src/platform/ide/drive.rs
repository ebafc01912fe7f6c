//! A drive: its registers and what it is busy with. [`super::ata`] has the commands of a disk, [`super::atapi`] those of a CD-ROM.

use super::buffer::Buffer;
use crate::host::image::Image;
use anyhow::Result;
use std::io;
use std::sync::Arc;

/// Status register (ATA/ATAPI-6, 7.15).
pub const BSY: u8 = 1 << 7;
pub const DRDY: u8 = 1 << 6;
/// Seek complete, which every old driver waits for.
const DSC: u8 = 1 << 4;
pub const DRQ: u8 = 1 << 3;
const ERR: u8 = 1 << 0;
pub const READY: u8 = DRDY | DSC;

/// Error register (7.5).
pub const ABRT: u8 = 1 << 2;
pub const IDNF: u8 = 1 << 4;
pub const UNC: u8 = 1 << 6;
/// After a reset: the drive found itself well (9.9).
const PASSED: u8 = 1;

/// Sectors that READ and WRITE MULTIPLE take at most in one piece.
pub const MULTIPLE: u8 = 16;

/// What becomes of writes: as `cache=` of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    Writeback,
    Writethrough,
    Unsafe,
}

/// A drive for a controller.
pub struct Drive {
    pub image: Box<dyn Image>,
    /// A CD-ROM of that image instead of a disk.
    pub cdrom: bool,
    pub readonly: bool,
    /// 20 bytes at most.
    pub serial: Option<String>,
    pub cache: Cache,
}

/// The command block: what was written last, and before that (for 48-bit addresses, 7.2).
#[derive(Default, Clone, Copy)]
pub struct Registers {
    pub features: [u8; 2],
    pub count: [u8; 2],
    pub low: [u8; 2],
    pub mid: [u8; 2],
    pub high: [u8; 2],
    pub device: u8,
}

/// What a drive does.
pub enum Phase {
    Idle,
    /// Through the data port to the guest; behind the buffer come `left` bytes at `at` of the image, by pieces of `block`.
    In {
        at: u64,
        left: u64,
        block: u64,
    },
    /// The buffer is being filled, and goes to `at`.
    Out {
        at: u64,
        left: u64,
        block: u64,
    },
    /// The buffer takes a packet command.
    Packet,
    /// The answer to one.
    PacketIn {
        at: u64,
        left: u64,
    },
    /// Waits for the bus master.
    Dma(Dma),
    /// The channel's thread is at it.
    Working,
}

pub enum Dma {
    Read { at: u64, len: u64 },
    Write { at: u64, len: u64 },
    Reply(Vec<u8>),
}

/// What the channel has to do after an access.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    Nothing,
    Interrupt,
    /// The bus master may be waiting for the drive already.
    Dma,
    Flush,
}

pub struct Unit {
    pub image: Arc<dyn Image>,
    pub cdrom: bool,
    pub readonly: bool,
    pub serial: String,
    pub cache: Cache,
    pub registers: Registers,
    pub status: u8,
    pub error: u8,
    pub phase: Phase,
    pub buffer: Buffer,
    /// Sectors of READ MULTIPLE; 0: it is switched off.
    pub multiple: u8,
    /// Heads and sectors for addresses of the old kind.
    pub heads: u8,
    pub sectors: u8,
    /// When off, a write is answered once it is safe.
    pub write_cache: bool,
    /// As SET FEATURES set it (8.46, table 46).
    pub mode: u8,
    /// Of a packet command: its answer goes by DMA, or by pieces of `limit` bytes.
    pub packet_dma: bool,
    pub limit: usize,
    /// Sense key and additional code of the last command that failed.
    pub sense: (u8, u8),
    pub locked: bool,
    /// The log has an error of this drive already.
    complained: bool,
}

impl Unit {
    pub fn new(drive: Drive, number: usize) -> Result<Unit> {
        let mut unit = Unit {
            image: Arc::from(drive.image),
            cdrom: drive.cdrom,
            readonly: drive.readonly || drive.cdrom,
            serial: drive.serial.unwrap_or_else(|| format!("KILN{number:05}")),
            cache: drive.cache,
            registers: Registers::default(),
            status: 0,
            error: 0,
            phase: Phase::Idle,
            buffer: Buffer::new()?,
            multiple: 0,
            heads: 0,
            sectors: 0,
            write_cache: false,
            mode: 0,
            packet_dma: false,
            limit: 0,
            sense: (0, 0),
            locked: false,
            complained: false,
        };
        unit.power_on();
        Ok(unit)
    }

    pub fn power_on(&mut self) {
        (self.multiple, self.heads, self.sectors) = (MULTIPLE, 16, 63);
        self.write_cache = self.cache != Cache::Writethrough;
        // Multiword DMA 2.
        self.mode = 0x22;
        self.locked = false;
        self.reset();
    }

    /// By software: nothing is under way any more, and the registers say what it is (9.12).
    pub fn reset(&mut self) {
        self.phase = Phase::Idle;
        self.sense = (0, 0);
        self.signature();
        // A packet device is not ready before its first command.
        self.status = if self.cdrom { 0 } else { READY };
        self.error = PASSED;
    }

    pub fn signature(&mut self) {
        let (mid, high) = if self.cdrom { (0x14, 0xeb) } else { (0, 0) };
        let one = |byte| [byte, 0];
        let (count, low) = (one(1), one(1));
        self.registers = Registers { count, low, mid: one(mid), high: one(high), ..Registers::default() };
    }

    /// It takes neither commands nor what is written to its registers.
    pub fn occupied(&self) -> bool {
        self.status & (BSY | DRQ) != 0
    }

    pub fn command(&mut self, command: u8) -> After {
        self.error = 0;
        if self.cdrom { self.cdrom_command(command) } else { self.disk_command(command) }
    }

    /// The guest read from the data port, or wrote to it.
    pub fn read_data(&mut self, data: &mut [u8]) -> After {
        if !matches!(self.phase, Phase::In { .. } | Phase::PacketIn { .. }) {
            data.fill(0xff);
            return After::Nothing;
        }
        self.buffer.read(data);
        match self.phase {
            _ if !self.buffer.stopped() => After::Nothing,
            Phase::In { left: 0, .. } => {
                (self.phase, self.status) = (Phase::Idle, READY);
                After::Nothing
            }
            Phase::In { at, left, block } => self.next_in(at, left, block),
            _ => self.next_packet_in(),
        }
    }

    pub fn write_data(&mut self, data: &[u8]) -> After {
        if !matches!(self.phase, Phase::Out { .. } | Phase::Packet) {
            return After::Nothing;
        }
        self.buffer.write(data);
        match self.phase {
            _ if !self.buffer.stopped() => After::Nothing,
            Phase::Out { at, left, block } => self.out_is_full(at, left, block),
            _ => self.packet(),
        }
    }

    pub fn done(&mut self) -> After {
        if self.cdrom {
            return self.packet_done();
        }
        (self.phase, self.status) = (Phase::Idle, READY);
        After::Interrupt
    }

    pub fn fail(&mut self, error: u8) -> After {
        (self.phase, self.status, self.error) = (Phase::Idle, READY | ERR, error);
        After::Interrupt
    }

    /// What the thread was at has ended.
    pub fn worked(&mut self, result: io::Result<()>) -> After {
        match result {
            Ok(()) => self.done(),
            Err(e) => self.broken(&e),
        }
    }

    /// The image cannot be read or written.
    pub fn broken(&mut self, e: &io::Error) -> After {
        if !std::mem::replace(&mut self.complained, true) {
            log::error!("use the image of an IDE drive: {e}; the guest sees an I/O error");
        }
        // Medium error: unrecovered read error.
        if self.cdrom { self.check(3, 0x11) } else { self.fail(UNC | ABRT) }
    }

    /// Waits for the bus master with DRQ.
    pub fn dma(&mut self, dma: Dma) -> After {
        (self.phase, self.status) = (Phase::Dma(dma), READY | DRQ);
        After::Dma
    }
}
