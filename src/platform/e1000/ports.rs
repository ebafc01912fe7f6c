//! BAR 1: the registers by way of two ports of 32 bits, the address in the first, the word in the second (SDM 13.2).
//! Drivers reset the card through them.

use super::E1000;
use crate::bus::Mmio;
use std::sync::Weak;
use std::sync::atomic::{AtomicU32, Ordering};

pub const LEN: u64 = 64;
const IOADDR: u64 = 0;
const IODATA: u64 = 4;

pub struct Ports {
    card: Weak<E1000>,
    address: AtomicU32,
}

impl Ports {
    pub fn new(card: &Weak<E1000>) -> Ports {
        Ports { card: card.clone(), address: AtomicU32::new(0) }
    }

    pub fn reset(&self) {
        self.address.store(0, Ordering::Release);
    }
}

/// Only whole words; the other ports are reserved.
impl Mmio for Ports {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let address = self.address.load(Ordering::Acquire);
        let word = match (offset, data.len(), self.card.upgrade()) {
            (IOADDR, 4, _) => address,
            (IODATA, 4, Some(card)) => card.read_word(address),
            _ => 0,
        };
        data.fill(0);
        data.iter_mut().zip(word.to_le_bytes()).for_each(|(to, from)| *to = from);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let Ok(word) = <[u8; 4]>::try_from(data).map(u32::from_le_bytes) else { return };
        match (offset, self.card.upgrade()) {
            (IOADDR, _) => self.address.store(word, Ordering::Release),
            (IODATA, Some(card)) => card.write_word(self.address.load(Ordering::Acquire), word),
            _ => {}
        }
    }
}
