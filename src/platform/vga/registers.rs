//! The page of registers (QEMU: docs/specs/standard-vga.rst, "PCI spec", "MMIO area"): the screen's EDID, some of the ports
//! of a VGA, and the DISPI registers.
//!
//! ```text
//! 0x000  EDID      0x400  ports 0x3c0 to 0x3df      0x500  DISPI, 16 bits each      0x600  size and byte order
//! ```

use super::Card;
use super::dispi::index;
use crate::bus::Mmio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const EDID: u64 = 0x000;
const PORTS: u64 = 0x400;
const DISPI: u64 = 0x500;
const DISPI_END: u64 = 0x516;
const EXTRA: u64 = 0x600;
/// Port 0x3da.
const STATUS: u64 = PORTS + 0x1a;
/// Of the status: no picture is being sent, and it is the vertical retrace.
const RETRACE: u8 = 1 << 0 | 1 << 3;
/// How many bytes EXTRA has, and that pixels are little endian.
const EXTRA_VALUES: [u8; 8] = [8, 0, 0, 0, 0x1e, 0x1e, 0x1e, 0x1e];

pub struct Registers {
    card: Arc<Card>,
    edid: Vec<u8>,
    /// Who waits for a retrace sees one come and go.
    status: AtomicU8,
}

impl Registers {
    pub(super) fn new(card: Arc<Card>, edid: Vec<u8>) -> Registers {
        Registers { card, edid, status: AtomicU8::new(0) }
    }

    fn byte(&self, at: u64) -> u8 {
        let of = |bytes: &[u8], from: u64| {
            usize::try_from(at - from).ok().and_then(|at| bytes.get(at)).copied().unwrap_or(0)
        };
        match at {
            EDID..PORTS => of(&self.edid, EDID),
            STATUS => self.status.fetch_xor(RETRACE, Ordering::Relaxed),
            DISPI..DISPI_END => {
                let value = self.card.registers.lock().read(((at - DISPI) / 2) as u16).to_le_bytes();
                of(&value, at & !1)
            }
            EXTRA.. => of(&EXTRA_VALUES, EXTRA),
            _ => 0,
        }
    }

    fn set(&self, register: u16, value: u16) {
        let clear = {
            let mut registers = self.card.registers.lock();
            if register != index::ENABLE && registers.read(register) == value {
                return;
            }
            registers.write(register, value)
        };
        if clear && let Err(e) = self.card.memory.clear() {
            log::error!("vga: {e:#}");
        }
        self.card.show();
    }
}

impl Mmio for Registers {
    fn read(&self, offset: u64, data: &mut [u8]) {
        (offset..=u64::MAX).zip(data).for_each(|(at, byte)| *byte = self.byte(at));
    }

    /// Of what can be written all has 16 bits; two at once are written one after the other.
    fn write(&self, offset: u64, data: &[u8]) {
        if !(DISPI..DISPI_END).contains(&offset) || !offset.is_multiple_of(2) {
            return;
        }
        for (at, pair) in (offset..DISPI_END).step_by(2).zip(data.chunks_exact(2)) {
            if let Ok(value) = <[u8; 2]>::try_from(pair) {
                self.set(((at - DISPI) / 2) as u16, u16::from_le_bytes(value));
            }
        }
    }
}
