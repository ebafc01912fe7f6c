//! A CD-ROM: packet commands over ATA (ATA/ATAPI-6, 8.23; SFF-8020i; the commands are those of MMC-3).

use super::buffer::ROOM;
use super::drive::{ABRT, After, DRQ, Dma, Phase, READY, Unit};
use super::identify;

/// Bytes of a block.
const BLOCK: u64 = 2048;
/// Bytes of a packet.
const PACKET: usize = 12;

/// The interrupt reason, in the place of the sector count: a command is wanted, data goes to the guest.
const COMMAND: u8 = 1 << 0;
const TO_GUEST: u8 = 1 << 1;

/// Features of PACKET: data goes by DMA, commands overlap.
const DMA: u8 = 1 << 0;
const OVERLAP: u8 = 1 << 1;

/// The end of the only track, in a table of contents.
const LEAD_OUT: u8 = 0xaa;
/// A data track that may be copied.
const DATA_TRACK: u8 = 0x14;

/// Profiles (MMC-3, 6.13).
const CD_ROM: u16 = 0x0008;
const DVD_ROM: u16 = 0x0010;
/// A CD has not more blocks.
const LARGEST_CD: u32 = 100 * 60 * 75;

/// Sense key and additional sense codes (SPC-3, 4.5).
const ILLEGAL: u8 = 5;
const BAD_COMMAND: u8 = 0x20;
const OUT_OF_RANGE: u8 = 0x21;
const BAD_FIELD: u8 = 0x24;
const REMOVAL_PREVENTED: u8 = 0x53;

type Packet = [u8; PACKET];

impl Unit {
    pub fn cdrom_command(&mut self, command: u8) -> After {
        match command {
            0xa0 => self.wait_for_packet(),
            0xa1 => {
                let answer = identify::cdrom(self);
                self.answer(&answer)
            }
            // IDENTIFY DEVICE and READ SECTORS end so that the host learns what this is (9.12).
            0xec | 0x20 | 0x21 => {
                self.signature();
                self.fail(ABRT)
            }
            0xef => self.set_features(),
            _ => self.simple_command(command),
        }
    }

    fn wait_for_packet(&mut self) -> After {
        let r = &mut self.registers;
        if r.features[0] & OVERLAP != 0 {
            return self.fail(ABRT);
        }
        self.packet_dma = r.features[0] & DMA != 0;
        // An odd limit could not be kept; 0 does not say anything (SFF-8020i, 7.1.7.1).
        self.limit = match usize::from(u16::from_le_bytes([r.mid[0], r.high[0]]) & !1) {
            0 => 0xfffe,
            limit => limit,
        };
        r.count[0] = COMMAND;
        self.buffer.begin(PACKET);
        (self.phase, self.status) = (Phase::Packet, READY | DRQ);
        After::Nothing
    }

    pub fn packet_done(&mut self) -> After {
        self.registers.count[0] = COMMAND | TO_GUEST;
        (self.phase, self.status) = (Phase::Idle, READY);
        After::Interrupt
    }

    /// CHECK CONDITION.
    pub fn check(&mut self, key: u8, code: u8) -> After {
        self.sense = (key, code);
        self.registers.count[0] = COMMAND | TO_GUEST;
        self.fail(key << 4 | if key == ILLEGAL { ABRT } else { 0 })
    }

    /// The packet is complete.
    pub fn packet(&mut self) -> After {
        let bytes = self.buffer.bytes();
        let mut p: Packet = [0; PACKET];
        p.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        let (key, code) = self.sense;
        self.sense = (0, 0);
        match p[0] {
            // TEST UNIT READY, SEEK, SET CD SPEED
            0x00 | 0x2b | 0xbb => self.packet_done(),
            // REQUEST SENSE: fixed format
            0x03 => self.reply(&[0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, 0, 0, 0, 0, 0], p[4].into()),
            0x12 => self.inquiry(&p),
            0x1b => self.start_stop(&p),
            // PREVENT ALLOW MEDIUM REMOVAL
            0x1e => {
                self.locked = p[4] & 1 != 0;
                self.packet_done()
            }
            0x25 => {
                let last = [self.blocks().saturating_sub(1).to_be_bytes(), (BLOCK as u32).to_be_bytes()].concat();
                self.reply(&last, 8)
            }
            0x28 => self.read_blocks(be32(&p, 2), be16(&p, 7).into()),
            0xa8 => self.read_blocks(be32(&p, 2), be32(&p, 6)),
            // READ CD: the user data of a block, or nothing of it
            0xbe if p[9] & 0xf8 == 0x10 => self.read_blocks(be32(&p, 2), be32(&p, 5) & 0xff_ffff),
            0xbe if p[9] & 0xf8 == 0 => self.packet_done(),
            0x43 => self.table_of_contents(&p),
            0x46 => self.configuration(&p),
            0x4a => self.event_status(&p),
            0x5a => self.mode_sense(&p),
            // MECHANISM STATUS: no changer, the table has one entry
            0xbd => self.reply(&[0, 0, 0, 0, 0, 1, 0, 0], be16(&p, 8).into()),
            0xbe => self.check(ILLEGAL, BAD_FIELD),
            _ => self.check(ILLEGAL, BAD_COMMAND),
        }
    }

    fn blocks(&self) -> u32 {
        u32::try_from(self.image.size() / BLOCK).unwrap_or(u32::MAX)
    }

    /// Answers with as much of `data` as the guest has room for.
    fn reply(&mut self, data: &[u8], room: usize) -> After {
        let data = data.get(..room).unwrap_or(data);
        if data.is_empty() {
            return self.packet_done();
        }
        if self.packet_dma {
            return self.dma(Dma::Reply(data.to_vec()));
        }
        self.buffer.fill(data);
        self.phase = Phase::PacketIn { at: 0, left: 0 };
        self.offer()
    }

    /// The next piece of the buffer is there to be read (SFF-8020i, 5.3).
    fn offer(&mut self) -> After {
        let now = self.buffer.stop_after(self.limit) as u16;
        let r = &mut self.registers;
        [r.mid[0], r.high[0]] = now.to_le_bytes();
        r.count[0] = TO_GUEST;
        self.status = READY | DRQ;
        After::Interrupt
    }

    pub fn next_packet_in(&mut self) -> After {
        match self.phase {
            _ if self.buffer.left() > 0 => self.offer(),
            Phase::PacketIn { at, left } if left > 0 => self.load(at, left),
            _ => self.packet_done(),
        }
    }

    fn load(&mut self, at: u64, left: u64) -> After {
        let now = left.min(ROOM as u64);
        self.buffer.begin(now as usize);
        let to = self.buffer.all();
        if let Err(e) = self.image.read_at(at, to.as_slice()) {
            return self.broken(&e);
        }
        self.phase = Phase::PacketIn { at: at + now, left: left - now };
        self.offer()
    }

    fn read_blocks(&mut self, first: u32, count: u32) -> After {
        let (first, count) = (u64::from(first), u64::from(count));
        if first + count > u64::from(self.blocks()) {
            return self.check(ILLEGAL, OUT_OF_RANGE);
        }
        let (at, len) = (first * BLOCK, count * BLOCK);
        match len {
            0 => self.packet_done(),
            _ if self.packet_dma => self.dma(Dma::Read { at, len }),
            _ => self.load(at, len),
        }
    }

    fn inquiry(&mut self, p: &Packet) -> After {
        if p[1] & 1 != 0 || p[2] != 0 {
            return self.check(ILLEGAL, BAD_FIELD);
        }
        // A CD-ROM, removable, ATAPI; 31 bytes follow the fifth.
        let mut data = vec![5, 0x80, 0, 0x21, 31, 0, 0, 0];
        data.extend(b"KILN    IDE CD-ROM      1.0 ");
        self.reply(&data, be16(p, 3).into())
    }

    /// START STOP UNIT. The disc stays where it is.
    fn start_stop(&mut self, p: &Packet) -> After {
        const EJECT: u8 = 0b10;
        if p[4] & 0b11 == EJECT && self.locked {
            return self.check(ILLEGAL, REMOVAL_PREVENTED);
        }
        self.packet_done()
    }

    /// READ TOC: one session of one data track.
    fn table_of_contents(&mut self, p: &Packet) -> After {
        let minutes = p[1] & 0b10 != 0;
        let address = |block: u32| match minutes {
            false => block.to_be_bytes(),
            true => {
                // Two seconds come before the first block.
                let block = block.saturating_add(150);
                [0, (block / 75 / 60) as u8, (block / 75 % 60) as u8, (block % 75) as u8]
            }
        };
        let entry = |track: u8, block: u32| [&[0, DATA_TRACK, track, 0], &address(block)[..]].concat();
        // SFF-8020i had the format in the last byte.
        let format = if p[2] & 0xf != 0 { p[2] & 0xf } else { p[9] >> 6 };
        let entries = match (format, p[6]) {
            (0, 0 | 1) => [entry(1, 0), entry(LEAD_OUT, self.blocks())].concat(),
            (0, LEAD_OUT) => entry(LEAD_OUT, self.blocks()),
            (1, _) => entry(1, 0),
            _ => return self.check(ILLEGAL, BAD_FIELD),
        };
        let mut data = (entries.len() as u16 + 2).to_be_bytes().to_vec();
        data.extend([1, 1]);
        data.extend(entries);
        self.reply(&data, be16(p, 7).into())
    }

    /// GET CONFIGURATION (MMC-3, 6.6): features 0 (profiles), 1 (core), 3 (removable medium), 0x10 (random readable).
    fn configuration(&mut self, p: &Packet) -> After {
        let dvd = self.blocks() > LARGEST_CD;
        let profile = if dvd { DVD_ROM } else { CD_ROM };
        let [dvd_high, dvd_low] = DVD_ROM.to_be_bytes();
        let [cd_high, cd_low] = CD_ROM.to_be_bytes();
        // Code, flags (persistent, current), then what belongs to it.
        let features: [(u16, u8, &[u8]); 4] = [
            (0, 0b11, &[dvd_high, dvd_low, dvd.into(), 0, cd_high, cd_low, (!dvd).into(), 0]),
            (1, 0b11, &[0, 0, 0, 2, 0, 0, 0, 0]),
            (3, 0b11, &[0x29, 0, 0, 0]),
            (0x10, 0b01, &[0, 0, 8, 0, 0, 16, 0, 0]),
        ];
        let (how, start) = (p[1] & 0b11, be16(p, 2));
        let mut data = vec![0, 0, 0, 0, 0, 0];
        data.extend(profile.to_be_bytes());
        for (code, flags, more) in features {
            // All, current ones (all are), one.
            let wanted = if how == 2 { code == start } else { code >= start };
            if wanted {
                data.extend(code.to_be_bytes());
                data.extend([flags, more.len() as u8]);
                data.extend(more);
            }
        }
        let len = (data.len() as u32).saturating_sub(4).to_be_bytes();
        data.iter_mut().zip(len).for_each(|(to, from)| *to = from);
        self.reply(&data, be16(p, 7).into())
    }

    /// GET EVENT STATUS NOTIFICATION: nothing happened, a disc is there.
    fn event_status(&mut self, p: &Packet) -> After {
        const POLLED: u8 = 1;
        const MEDIA: u8 = 4;
        if p[1] & POLLED == 0 {
            return self.check(ILLEGAL, BAD_FIELD);
        }
        let present = [0, 6, MEDIA, 1 << MEDIA, 0, 0b10, 0, 0];
        let none = [0, 2, 0x80, 1 << MEDIA];
        let wanted = p[4] & 1 << MEDIA != 0;
        self.reply(if wanted { &present } else { &none }, be16(p, 7).into())
    }

    /// MODE SENSE (10): error recovery and capabilities, current values.
    fn mode_sense(&mut self, p: &Packet) -> After {
        const ALL: u8 = 0x3f;
        const RECOVERY: [u8; 8] = [0x01, 6, 0, 5, 0, 0, 0, 0];
        // Reads CD-R, CD-RW and DVD; tray, can be locked; 2 volume levels, 512 KiB of buffer, speeds in KB/s.
        let lock = 0x29 | u8::from(self.locked) << 1;
        let capabilities = [0x2a, 18, 0x0b, 0, 0x70, 0x60, lock, 0, 0x02, 0xc0, 0, 2, 2, 0, 0x02, 0xc0, 0, 0, 0, 0];
        let (page, saved) = (p[2] & 0x3f, p[2] >> 6 == 3);
        let pages = match page {
            _ if saved => return self.check(ILLEGAL, 0x39),
            0x01 => RECOVERY.to_vec(),
            0x2a => capabilities.to_vec(),
            ALL => [&RECOVERY[..], &capabilities[..]].concat(),
            _ => return self.check(ILLEGAL, BAD_FIELD),
        };
        let mut data = (pages.len() as u16 + 6).to_be_bytes().to_vec();
        // A data disc of 120 mm; no block descriptor.
        data.extend([0x01, 0, 0, 0, 0, 0]);
        data.extend(pages);
        self.reply(&data, be16(p, 7).into())
    }
}

fn be16(p: &Packet, at: usize) -> u16 {
    let byte = |n| p.get(n).copied().unwrap_or(0);
    u16::from_be_bytes([byte(at), byte(at + 1)])
}

fn be32(p: &Packet, at: usize) -> u32 {
    u32::from(be16(p, at)) << 16 | u32::from(be16(p, at + 2))
}
