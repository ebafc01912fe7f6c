//! The commands of a disk (ATA/ATAPI-6, 8): PIO, DMA, cache, settings.

use super::drive::{ABRT, After, Cache, DRQ, Dma, IDNF, MULTIPLE, Phase, READY, Unit};
use super::identify;
use crate::host::image::SECTOR;

/// Of the device register: the address is a sector's number.
const LBA: u8 = 1 << 6;

/// How wide a command's address and count are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bits {
    Of28,
    Of48,
}
use Bits::{Of28, Of48};

impl Unit {
    pub fn disk_command(&mut self, command: u8) -> After {
        match command {
            0x20 | 0x21 => self.read(Of28, 1),
            0x24 => self.read(Of48, 1),
            0xc4 => self.read(Of28, self.multiple),
            0x29 => self.read(Of48, self.multiple),
            0x30 | 0x31 => self.write(Of28, 1),
            0x34 => self.write(Of48, 1),
            0xc5 => self.write(Of28, self.multiple),
            0x39 => self.write(Of48, self.multiple),
            0xc8 | 0xc9 => self.read_dma(Of28),
            0x25 => self.read_dma(Of48),
            0xca | 0xcb => self.write_dma(Of28),
            0x35 => self.write_dma(Of48),
            // READ VERIFY: that the sectors are there is all there is to say.
            0x40 | 0x41 => self.verify(Of28),
            0x42 => self.verify(Of48),
            // FLUSH CACHE, FLUSH CACHE EXT
            0xe7 | 0xea => self.flush(),
            0xec => self.answer(&identify::disk(self)),
            0xf8 => self.native_max(Of28),
            0x27 => self.native_max(Of48),
            0x91 => self.initialize_parameters(),
            0xc6 => self.set_multiple(),
            0xef => self.set_features(),
            _ => self.simple_command(command),
        }
    }

    /// What disk and CD-ROM have in common.
    pub fn simple_command(&mut self, command: u8) -> After {
        match command {
            // RECALIBRATE and SEEK (ATA-3), STANDBY and IDLE with and without IMMEDIATE, SLEEP: it is always awake.
            0x10..=0x1f | 0x70 | 0xe0..=0xe3 | 0xe6 | 0x94..=0x97 | 0x99 => self.done(),
            // CHECK POWER MODE: active
            0xe5 | 0x98 => {
                let after = self.done();
                self.registers.count[0] = 0xff;
                after
            }
            // NOP fails by definition (8.25); the rest is not known here: SMART, security, DEVICE CONFIGURATION, ..
            _ => self.fail(ABRT),
        }
    }

    /// Gives 512 bytes that the drive itself makes.
    pub fn answer(&mut self, data: &[u8; 512]) -> After {
        self.buffer.fill(data);
        (self.phase, self.status) = (Phase::In { at: 0, left: 0, block: 0 }, READY | DRQ);
        After::Interrupt
    }

    /// First byte and length of what the registers name, if the disk has it.
    fn range(&self, bits: Bits) -> Option<(u64, u64)> {
        let r = &self.registers;
        let sectors = match bits {
            Of28 if r.count[0] == 0 => 1 << 8,
            Of28 => u64::from(r.count[0]),
            Of48 if r.count == [0, 0] => 1 << 16,
            Of48 => u64::from(u16::from_le_bytes(r.count)),
        };
        let first = match bits {
            Of48 => u64::from_le_bytes([r.low[0], r.mid[0], r.high[0], r.low[1], r.mid[1], r.high[1], 0, 0]),
            Of28 if r.device & LBA != 0 => {
                u64::from(u32::from_le_bytes([r.low[0], r.mid[0], r.high[0], r.device & 0xf]))
            }
            Of28 => {
                let cylinder = u64::from(u16::from_le_bytes([r.mid[0], r.high[0]]));
                let track = cylinder * u64::from(self.heads) + u64::from(r.device & 0xf);
                // The first sector of a track is 1.
                track * u64::from(self.sectors) + u64::from(r.low[0].checked_sub(1)?)
            }
        };
        let (at, len) = (first * SECTOR, sectors * SECTOR);
        (at + len <= self.image.size()).then_some((at, len))
    }

    fn read(&mut self, bits: Bits, sectors: u8) -> After {
        match self.range(bits) {
            _ if sectors == 0 => self.fail(ABRT),
            None => self.fail(IDNF),
            Some((at, len)) => self.next_in(at, len, u64::from(sectors) * SECTOR),
        }
    }

    /// The next piece is there to be read.
    pub fn next_in(&mut self, at: u64, left: u64, block: u64) -> After {
        let now = left.min(block);
        self.buffer.begin(now as usize);
        let to = self.buffer.all();
        if let Err(e) = self.image.read_at(at, to.as_slice()) {
            return self.broken(&e);
        }
        self.phase = Phase::In { at: at + now, left: left - now, block };
        self.status = READY | DRQ;
        After::Interrupt
    }

    fn write(&mut self, bits: Bits, sectors: u8) -> After {
        match self.range(bits) {
            _ if sectors == 0 || self.readonly => self.fail(ABRT),
            None => self.fail(IDNF),
            Some((at, len)) => {
                self.next_out(at, len, u64::from(sectors) * SECTOR);
                // The first piece is asked for without an interrupt (9.6).
                After::Nothing
            }
        }
    }

    fn next_out(&mut self, at: u64, left: u64, block: u64) {
        self.buffer.begin(left.min(block) as usize);
        (self.phase, self.status) = (Phase::Out { at, left, block }, READY | DRQ);
    }

    pub fn out_is_full(&mut self, at: u64, left: u64, block: u64) -> After {
        let now = left.min(block);
        let from = self.buffer.all();
        if let Err(e) = self.image.write_at(at, from.as_slice()) {
            return self.broken(&e);
        }
        if left > now {
            self.next_out(at + now, left - now, block);
            return After::Interrupt;
        }
        if self.flushes_writes() { self.flush() } else { self.done() }
    }

    fn read_dma(&mut self, bits: Bits) -> After {
        match self.range(bits) {
            None => self.fail(IDNF),
            Some((at, len)) => self.dma(Dma::Read { at, len }),
        }
    }

    fn write_dma(&mut self, bits: Bits) -> After {
        match self.range(bits) {
            _ if self.readonly => self.fail(ABRT),
            None => self.fail(IDNF),
            Some((at, len)) => self.dma(Dma::Write { at, len }),
        }
    }

    fn verify(&mut self, bits: Bits) -> After {
        if self.range(bits).is_some() { self.done() } else { self.fail(IDNF) }
    }

    fn flush(&mut self) -> After {
        if self.readonly || self.cache == Cache::Unsafe { self.done() } else { After::Flush }
    }

    /// A write is safe before it is answered.
    pub fn flushes_writes(&self) -> bool {
        !self.write_cache && self.cache != Cache::Unsafe
    }

    /// READ NATIVE MAX ADDRESS: the last sector.
    fn native_max(&mut self, bits: Bits) -> After {
        let last = (self.image.size() / SECTOR).saturating_sub(1);
        let last = if bits == Of28 { last.min(0x0fff_ffff) } else { last };
        let [a, b, c, d, e, f, ..] = last.to_le_bytes();
        let r = &mut self.registers;
        match bits {
            Of28 => (r.low[0], r.mid[0], r.high[0], r.device) = (a, b, c, r.device & 0xf0 | d & 0xf),
            Of48 => (r.low, r.mid, r.high) = ([a, d], [b, e], [c, f]),
        }
        self.done()
    }

    /// INITIALIZE DEVICE PARAMETERS (ATA-5, 8.16): the geometry of addresses by cylinder, head and sector.
    fn initialize_parameters(&mut self) -> After {
        let (heads, sectors) = ((self.registers.device & 0xf) + 1, self.registers.count[0]);
        if sectors == 0 {
            return self.fail(ABRT);
        }
        (self.heads, self.sectors) = (heads, sectors);
        self.done()
    }

    fn set_multiple(&mut self) -> After {
        let sectors = self.registers.count[0];
        if sectors > MULTIPLE || (sectors != 0 && !sectors.is_power_of_two()) {
            return self.fail(ABRT);
        }
        self.multiple = sectors;
        self.done()
    }

    /// SET FEATURES (8.46).
    pub fn set_features(&mut self) -> After {
        match self.registers.features[0] {
            0x02 | 0x82 if self.cdrom => self.fail(ABRT),
            0x02 => {
                self.write_cache = true;
                self.done()
            }
            // What was written before has to be safe, too.
            0x82 => {
                self.write_cache = false;
                self.flush()
            }
            // PIO default and flow control modes, multiword DMA. The controller has nothing faster.
            0x03 if matches!(self.registers.count[0], 0x00 | 0x01 | 0x08..=0x0c | 0x20..=0x22) => {
                self.mode = self.registers.count[0];
                self.done()
            }
            // Read look-ahead, keeping settings over a software reset.
            0x55 | 0xaa | 0x66 | 0xcc => self.done(),
            _ => self.fail(ABRT),
        }
    }
}
