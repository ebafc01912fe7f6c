//! What a drive says about itself: IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-6, 8.15 and 8.16).

use super::drive::{MULTIPLE, Unit};
use crate::host::image::SECTOR;

const FIRMWARE: &str = "1.0";

struct Words([u8; 512]);

impl Words {
    fn set(&mut self, word: usize, value: u16) {
        if let Some(to) = self.0.get_mut(2 * word..2 * word + 2) {
            to.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn set_wide(&mut self, first: usize, value: u64, words: usize) {
        (0..words).for_each(|n| self.set(first + n, (value >> (16 * n)) as u16));
    }

    /// The first character of each pair is in the upper byte; blanks fill the rest.
    fn text(&mut self, first: usize, words: usize, text: &str) {
        let mut bytes = text.bytes().chain(std::iter::repeat(b' '));
        for word in first..first + words {
            let [a, b] = [bytes.next(), bytes.next()].map(|byte| u16::from(byte.unwrap_or(b' ')));
            self.set(word, a << 8 | b);
        }
    }

    /// Words that mean the same for both.
    fn common(unit: &Unit, model: &str) -> Words {
        let mut w = Words([0; 512]);
        w.text(10, 10, &unit.serial);
        w.text(23, 4, FIRMWARE);
        w.text(27, 20, model);
        // Data also as 32 bits; IORDY, LBA, DMA.
        w.set(48, 1);
        w.set(49, 1 << 11 | 1 << 9 | 1 << 8);
        // Words 54 to 58 and 64 to 70 are valid.
        w.set(53, 0b11);
        // Multiword DMA 0 to 2, and which of them is set; PIO 3 and 4; cycle times in nanoseconds.
        let selected = if unit.mode & 0xf8 == 0x20 { 0x100 << (unit.mode & 7) } else { 0 };
        w.set(63, 0b111 | selected);
        w.set(64, 0b11);
        (65..=68).for_each(|word| w.set(word, 120));
        w
    }
}

pub fn disk(unit: &Unit) -> [u8; 512] {
    let mut w = Words::common(unit, "KILN IDE DISK");
    let sectors = unit.image.size() / SECTOR;
    let cylinders = |heads: u64, sectors_of_track: u64| (sectors / (heads * sectors_of_track)).min(16383);
    w.set(0, 0x0040);
    w.set(1, cylinders(16, 63) as u16);
    w.set(3, 16);
    w.set(6, 63);
    w.set(47, 0x8000 | u16::from(MULTIPLE));
    w.set(50, 0x4000);
    w.set_wide(51, 0x0200_0200, 2);
    let (heads, track) = (u64::from(unit.heads.max(1)), u64::from(unit.sectors.max(1)));
    let current = cylinders(heads, track);
    w.set_wide(54, current | heads << 16 | track << 32, 3);
    w.set_wide(57, current * heads * track, 2);
    w.set(59, if unit.multiple > 0 { 0x100 | u16::from(unit.multiple) } else { 0 });
    w.set_wide(60, sectors.min(0x0fff_ffff), 2);
    // ATA-4 to ATA-6.
    w.set(80, 0b111 << 4);
    let cache = u16::from(unit.write_cache) << 5;
    // NOP, look-ahead, write cache; FLUSH CACHE with and without EXT, 48-bit addresses.
    w.set(82, 1 << 14 | 1 << 6 | 1 << 5);
    w.set(83, 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10);
    w.set(84, 1 << 14);
    w.set(85, 1 << 14 | 1 << 6 | cache);
    w.set(86, 1 << 13 | 1 << 12 | 1 << 10);
    w.set(87, 1 << 14);
    w.set(93, 1 << 14 | 1 << 13 | 1);
    w.set_wide(100, sectors, 4);
    let exponent = (u64::from(unit.image.physical_block()) / SECTOR).max(1).ilog2() as u16;
    if exponent > 0 {
        w.set(106, 1 << 14 | 1 << 13 | exponent & 0xf);
    }
    w.0
}

pub fn cdrom(unit: &Unit) -> [u8; 512] {
    let mut w = Words::common(unit, "KILN IDE CD-ROM");
    // A packet device, of type CD-ROM, removable; DRQ comes at once; packets have 12 bytes.
    w.set(0, 0b10 << 14 | 5 << 8 | 1 << 7 | 0b10 << 5);
    w.set(80, 0b111 << 4);
    // PACKET, DEVICE RESET; nothing else to switch.
    w.set(82, 1 << 9 | 1 << 4);
    w.set(83, 1 << 14);
    w.set(84, 1 << 14);
    w.set(85, 1 << 9 | 1 << 4);
    w.set(87, 1 << 14);
    w.0
}
