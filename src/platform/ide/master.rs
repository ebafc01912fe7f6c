//! The bus master of a channel (Bus Master IDE, 1.0): three registers, and a table in memory that says where data goes.

use crate::mem::{Memory, Slice};

/// Command register.
pub const START: u8 = 1 << 0;
/// Into memory. The drive's command says the same, and is what counts.
const READ: u8 = 1 << 3;
/// Status register.
const ACTIVE: u8 = 1 << 0;
const ERROR: u8 = 1 << 1;
const INTERRUPT: u8 = 1 << 2;
/// Software's notes: drive 0, drive 1 can do DMA.
const CAPABLE: u8 = 0b11 << 5;

/// The table does not cross a boundary of 64 KiB (1.2), so it is not longer.
const ENTRIES: u64 = (64 << 10) / 8;
/// In an entry: it is the last.
const LAST: u16 = 1 << 15;

#[derive(Default)]
pub struct Master {
    command: u8,
    status: u8,
    table: [u8; 4],
}

/// Why there is nowhere to transfer to.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The table ends too early.
    Short,
    /// The table, or what it points at, is not in memory.
    Nowhere,
}

impl Master {
    pub fn read(&self, at: u64) -> u8 {
        match at {
            0 => self.command,
            2 => self.status,
            4..8 => self.table.get(at as usize - 4).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// True when this write starts it, or (the other one) stops it.
    pub fn write(&mut self, at: u64, value: u8) -> (bool, bool) {
        match at {
            0 => {
                let before = std::mem::replace(&mut self.command, value & (START | READ)) & START;
                let now = value & START;
                let (started, stopped) = (now & !before != 0, before & !now != 0);
                if started {
                    self.status |= ACTIVE;
                }
                return (started, stopped);
            }
            2 => {
                self.status = self.status & !CAPABLE | value & CAPABLE;
                self.status &= !(value & (ERROR | INTERRUPT));
            }
            4 => self.table[0] = value & !3,
            5 => self.table[1] = value,
            6 => self.table[2] = value,
            7 => self.table[3] = value,
            _ => {}
        }
        (false, false)
    }

    pub fn started(&self) -> bool {
        self.command & START != 0 && self.status & ACTIVE != 0
    }

    /// The drive interrupted.
    pub fn interrupt(&mut self) {
        self.status |= INTERRUPT;
    }

    /// It moves nothing any more.
    pub fn ended(&mut self, error: bool) {
        self.status &= !ACTIVE;
        if error {
            self.status |= ERROR;
        }
    }

    /// Where `len` bytes go or come from. The table is read once. True beside them: the table goes on after that.
    pub fn regions(&self, memory: &Memory, len: u64) -> Result<(Vec<Slice>, bool), Trouble> {
        let table = u64::from(u32::from_le_bytes(self.table));
        let (mut regions, mut left) = (Vec::new(), len);
        for n in 0..ENTRIES {
            let [a, b, c, d, e, f, g, h] = memory.read(table + 8 * n).map_err(|_| Trouble::Nowhere)?;
            let (base, count) = (u32::from_le_bytes([a, b, c, d]) & !1, u16::from_le_bytes([e, f]) & !1);
            let count = if count == 0 { 64 << 10 } else { u64::from(count) };
            let now = count.min(left);
            regions.push(memory.slice(u64::from(base), now as usize).map_err(|_| Trouble::Nowhere)?);
            left -= now;
            let last = u16::from_le_bytes([g, h]) & LAST != 0;
            if left == 0 {
                return Ok((regions, now < count || !last));
            }
            if last {
                break;
            }
        }
        Err(Trouble::Short)
    }
}
