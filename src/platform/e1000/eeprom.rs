//! The EEPROM: 64 words of 16 bits (SDM 5.6), read through EERD (13.4.4) or, bit by bit, as the Microwire part that it
//! is through EECD (13.4.3). It cannot be written.

use crate::config::Mac;

const WORDS: usize = 64;
/// Words 0 to 0x3f add up to this (SDM 5.6.35).
const SUM: u16 = 0xbaba;

/// EECD bits: clock, chip select, data in, data out; request and grant; there is one. Size 0: 64 words.
const SK: u32 = 1 << 0;
const CS: u32 = 1 << 1;
const DI: u32 = 1 << 2;
const DO: u32 = 1 << 3;
/// Flash writes are disabled.
const FWE: u32 = 1 << 4;
const REQ: u32 = 1 << 6;
const GNT: u32 = 1 << 7;
const PRES: u32 = 1 << 8;

/// EERD bits.
const START: u32 = 1 << 0;
const DONE: u32 = 1 << 4;

pub struct Eeprom {
    words: [u16; WORDS],
    /// The bits of EECD that are the driver's.
    control: u32,
    wire: Wire,
    /// EERD.
    read: u32,
}

/// Where a Microwire command is (start bit, opcode of two bits, address of six).
#[derive(Clone, Copy)]
enum Wire {
    /// Until the start bit, a one, comes.
    Idle,
    /// So many bits of the command, this far.
    Command(u32, u16),
    /// Bits that are still to go out, the highest of 17 first: a zero comes before the word.
    Output(u32),
}

impl Eeprom {
    pub fn new(mac: Mac, vendor: u16, device: u16, subsystem: u16) -> Eeprom {
        let [a, b, c, d, e, f] = mac.0;
        let mut words = [0; WORDS];
        let fields = [
            (0x00, u16::from_le_bytes([a, b])),
            (0x01, u16::from_le_bytes([c, d])),
            (0x02, u16::from_le_bytes([e, f])),
            // For software: compatibility, the LEDs' meaning, the serial number of the board, all "not set".
            (0x04, 0xffff),
            (0x08, 0xffff),
            (0x09, 0xffff),
            // Initialization Control 1: signature 01b, the IDs that follow are valid.
            (0x0a, 0x4003),
            (0x0b, subsystem),
            (0x0c, vendor),
            (0x0d, device),
            (0x0e, vendor),
            // Initialization Control 2: autonegotiation.
            (0x0f, 0x0800),
        ];
        for (at, value) in fields {
            if let Some(word) = words.get_mut(at) {
                *word = value;
            }
        }
        let sum = words.iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        if let Some(last) = words.last_mut() {
            *last = SUM.wrapping_sub(sum);
        }
        Eeprom { words, control: FWE, wire: Wire::Idle, read: 0 }
    }

    /// What a driver of it left undone is forgotten.
    pub fn reset(&mut self) {
        (self.control, self.wire, self.read) = (FWE, Wire::Idle, 0);
    }

    fn word(&self, at: usize) -> u16 {
        self.words.get(at % WORDS).copied().unwrap_or(0)
    }

    pub fn eerd(&self) -> u32 {
        self.read
    }

    pub fn write_eerd(&mut self, value: u32) {
        let address = value & 0xff00;
        self.read = address;
        if value & START != 0 {
            self.read |= DONE | u32::from(self.word((address >> 8) as usize)) << 16;
        }
    }

    pub fn eecd(&self) -> u32 {
        let granted = if self.control & REQ != 0 { GNT } else { 0 };
        let out = match self.wire {
            Wire::Output(bits) => bits >> 16 & 1 == 1,
            // Pulled up; a chip that was selected says that it is ready.
            _ => true,
        };
        self.control | granted | PRES | if out { DO } else { 0 }
    }

    pub fn write_eecd(&mut self, value: u32) {
        let rising = value & !self.control & SK != 0;
        self.control = value & (SK | CS | DI | FWE | FWE << 1 | REQ);
        if value & CS == 0 {
            self.wire = Wire::Idle;
        } else if rising {
            self.clock(value & DI != 0);
        }
    }

    fn clock(&mut self, one: bool) {
        self.wire = match self.wire {
            Wire::Idle if one => Wire::Command(0, 0),
            Wire::Idle => Wire::Idle,
            Wire::Command(7, bits) => self.command(bits << 1 | u16::from(one)),
            Wire::Command(n, bits) => Wire::Command(n + 1, bits << 1 | u16::from(one)),
            // A read goes on with ones when its word is out.
            Wire::Output(bits) => Wire::Output((bits << 1 | 1) & 0x1_ffff),
        };
    }

    /// Opcode 10b is READ. The others erase and write, which this chip does not do.
    fn command(&self, bits: u16) -> Wire {
        match bits >> 6 {
            0b10 => Wire::Output(u32::from(self.word(usize::from(bits & 0x3f)))),
            _ => Wire::Idle,
        }
    }
}
