//! Which frames the card takes in (SDM 3.2.1, 13.5): by address, by a hash of it, by VLAN.

use super::names::{CTRL, MTA, RAH, RAL, RCTL, VET, VFTA, ctrl, rctl};
use super::registers::Registers;

pub struct Filter<'a>(&'a Registers);

/// Why a frame was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    Exact,
    /// The driver has to look whether it wanted this one (status bit PIF).
    Inexact,
}

const ADDRESSES: u32 = 16;
/// RAH: address valid.
const VALID: u32 = 1 << 31;

impl<'a> Filter<'a> {
    pub fn new(registers: &'a Registers) -> Filter<'a> {
        Filter(registers)
    }

    /// `None`: not for us.
    pub fn check(&self, frame: &[u8]) -> Option<Match> {
        let to = frame.first_chunk::<6>()?;
        let control = self.0.get(RCTL);
        if control & rctl::VFE != 0 && !self.vlan(frame) {
            return None;
        }
        let [first, ..] = to;
        let promiscuous = if first & 1 == 1 { rctl::MPE } else { rctl::UPE };
        let broadcast = *to == [0xff; 6] && control & rctl::BAM != 0;
        if broadcast || control & promiscuous != 0 || self.exact(to) {
            Some(Match::Exact)
        } else {
            (first & 1 == 1 && self.hashed(to)).then_some(Match::Inexact)
        }
    }

    /// SDM 13.5.2. The address select bits (source address) are not of this card.
    fn exact(&self, to: &[u8; 6]) -> bool {
        let [a, b, c, d, e, f] = *to;
        let wanted = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, 0, 0]) | VALID);
        (0..ADDRESSES).any(|n| (self.0.get(RAL + 8 * n), self.0.get(RAH + 8 * n) & (VALID | 0xffff)) == wanted)
    }

    /// SDM 13.5.1: twelve bits of the last two bytes.
    fn hashed(&self, to: &[u8; 6]) -> bool {
        let [.., e, f] = *to;
        let shift = match self.0.get(RCTL) >> 12 & 3 {
            0 => 4,
            1 => 3,
            2 => 2,
            _ => 0,
        };
        self.bit(MTA, u32::from(u16::from_le_bytes([e, f])) >> shift & 0xfff)
    }

    /// SDM 9.3: a tagged frame whose VLAN's bit is set passes, and so does one without a tag.
    fn vlan(&self, frame: &[u8]) -> bool {
        self.tag(frame).is_none_or(|tag| self.bit(VFTA, u32::from(tag) & 0xfff))
    }

    fn bit(&self, table: u32, n: u32) -> bool {
        self.0.get(table + 4 * (n >> 5)) >> (n & 31) & 1 == 1
    }

    /// The VLAN tag of a frame that has one.
    fn tag(&self, frame: &[u8]) -> Option<u16> {
        let [a, b, c, d] = *frame.get(12..)?.first_chunk::<4>()?;
        (u32::from(u16::from_be_bytes([a, b])) == self.0.get(VET) & 0xffff).then_some(u16::from_be_bytes([c, d]))
    }

    /// The VLAN tag that is to be taken out of the frame (CTRL.VME).
    pub fn strip(&self, frame: &[u8]) -> Option<u16> {
        self.tag(frame).filter(|_| self.0.get(CTRL) & ctrl::VME != 0)
    }
}
