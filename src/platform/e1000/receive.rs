//! The receive ring (SDM 3.2): frames of the link that pass the filter go into the buffers of one or several descriptors.

use super::checksum::{self, sum};
use super::filter::Match;
use super::names::{RCTL, RXCSUM, cause, rctl, rxcsum};
use super::registers::{DESCRIPTOR, FCS, Registers, Ring, Tally};
use crate::host::link::{HEADER, LARGEST, Link};
use crate::mem::Memory;
use crate::sys::Lock;
use anyhow::Result;
use std::io::ErrorKind;
use std::sync::atomic::{Ordering, fence};

/// The most that is received before other things have their turn.
const BATCH: usize = 64;
/// Bytes, with the check sequence: the longest frame, with a VLAN tag; the same when long packets are allowed.
const LONGEST: usize = 1522;
const LONGEST_LPE: usize = 16384;
const SHORTEST: usize = 60;

/// Status bits of a descriptor (SDM 3.2.3.1): done, end of packet, ignore the checksum bits, a VLAN tag was taken out, TCP or
/// UDP checksum and IP checksum were looked at, passed by an inexact filter.
const DD: u8 = 1 << 0;
const EOP: u8 = 1 << 1;
const IXSM: u8 = 1 << 2;
const VP: u8 = 1 << 3;
const TCPCS: u8 = 1 << 5;
const IPCS: u8 = 1 << 6;
const PIF: u8 = 1 << 7;
/// Errors: the TCP or UDP checksum is wrong, that of IP is.
const TCPE: u8 = 1 << 5;
const IPE: u8 = 1 << 6;

/// What [`Receiver::run`] ended with.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Next {
    /// There may be more: the link's descriptor tells.
    Watch,
    /// The driver has to give descriptors first.
    Starved,
    /// The link is gone.
    Gone,
}

/// What was done.
pub struct Received {
    pub causes: u32,
    pub tally: Tally,
    pub next: Next,
}

pub struct Receiver {
    /// Header and frame as the link gave them.
    raw: Vec<u8>,
    /// The frame as the driver gets it.
    frame: Vec<u8>,
    /// `frame` waits for descriptors, and will be described so.
    late: Option<Described>,
}

/// What the last descriptor of a frame says, besides its length.
#[derive(Clone, Copy)]
struct Described {
    checksum: u16,
    status: u8,
    errors: u8,
    special: u16,
}

impl Receiver {
    pub fn new() -> Receiver {
        Receiver { raw: vec![0; LARGEST], frame: Vec::new(), late: None }
    }

    /// A frame that waits is lost.
    pub fn reset(&mut self) {
        self.late = None;
    }

    /// Receives what the link has and the ring takes, and moves the ring's head.
    pub fn run(
        &mut self,
        ring: &mut Ring,
        registers: &Lock<Registers>,
        memory: &Memory,
        link: &mut dyn Link,
    ) -> Received {
        let control = registers.lock().get(RCTL);
        let before = ring.available();
        let mut tally = Tally::default();
        let mut received = 0;
        let next = loop {
            if ring.available() == 0 {
                break Next::Starved;
            }
            if received >= BATCH {
                break Next::Watch;
            }
            received += 1;
            let described = match self.late.take() {
                Some(late) => late,
                None => match link.receive(0, &[], &mut self.raw) {
                    Ok(len) => match self.prepare(len, control, registers, &mut tally) {
                        Some(described) => described,
                        None => continue,
                    },
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break Next::Watch,
                    Err(e) => {
                        log::error!("receive from the network: {e}; the guest's link is down");
                        break Next::Gone;
                    }
                },
            };
            let size = buffer_size(control);
            let wanted = self.frame.len().div_ceil(size);
            if wanted >= ring.count as usize {
                tally.missed += 1;
            } else if wanted > ring.available() as usize {
                self.late = Some(described);
                break Next::Starved;
            } else if self.deliver(ring, described, size, memory).is_err() {
                // A ring outside of memory.
                tally.missed += 1;
                break Next::Starved;
            } else {
                let fcs = if control & rctl::SECRC == 0 { FCS } else { 0 };
                tally.count(self.frame.get(..self.frame.len() - fcs).unwrap_or_default());
            }
        };
        let mut causes = if tally.frames > 0 { cause::RXT0 } else { 0 };
        // RDMTS: a half, a quarter, an eighth of the ring.
        let least = ring.count >> (1 + (control >> 8 & 3));
        if before > least && ring.available() <= least {
            causes |= cause::RXDMT0;
        }
        Received { causes, tally, next }
    }

    /// Makes `frame` of `raw`; `None` when it is not for this driver.
    fn prepare(
        &mut self,
        len: usize,
        control: u32,
        registers: &Lock<Registers>,
        tally: &mut Tally,
    ) -> Option<Described> {
        let raw = self.raw.get(HEADER..len).filter(|raw| raw.len() >= 14)?;
        let (matched, tag, sums) = {
            let registers = registers.lock();
            let filter = registers.filter();
            (filter.check(raw)?, filter.strip(raw), registers.get(RXCSUM))
        };
        let longest = if control & rctl::LPE != 0 { LONGEST_LPE } else { LONGEST };
        if raw.len() + FCS > longest {
            tally.oversize += 1;
            return None;
        }
        let mut described = judge(raw, sums);
        let (addresses, rest) = raw.split_at(12);
        self.frame.clear();
        self.frame.extend_from_slice(addresses);
        self.frame.extend_from_slice(rest.get(if tag.is_some() { 4 } else { 0 }..).unwrap_or_default());
        if self.frame.len() < SHORTEST {
            self.frame.resize(SHORTEST, 0);
        }
        // SDM 13.4.54, PCSS
        described.checksum = sum(self.frame.get((sums & 0xff) as usize..).unwrap_or_default());
        if control & rctl::SECRC == 0 {
            let mut crc = flate2::Crc::new();
            crc.update(&self.frame);
            self.frame.extend_from_slice(&crc.sum().to_le_bytes());
        }
        if matched == Match::Inexact {
            described.status |= PIF;
        }
        if let Some(tag) = tag {
            (described.special, described.status) = (tag, described.status | VP);
        }
        Some(described)
    }

    /// Puts the frame into as many buffers as it takes; the ring has them.
    fn deliver(&self, ring: &mut Ring, described: Described, size: usize, memory: &Memory) -> Result<()> {
        let mut parts = self.frame.chunks(size).peekable();
        while let Some(part) = parts.next() {
            let at = ring.at().unwrap_or(u64::MAX);
            let place = memory.slice(at, DESCRIPTOR as usize)?;
            let mut address = [0; 8];
            place.copy_to(&mut address);
            // What is not memory takes nothing.
            if let Ok(buffer) = memory.slice(u64::from_le_bytes(address), part.len()) {
                buffer.copy_from(part);
            }
            let last = parts.peek().is_none();
            let d = if last { described } else { Described { checksum: 0, status: 0, errors: 0, special: 0 } };
            let [l0, l1] = (part.len() as u16).to_le_bytes();
            let [c0, c1] = d.checksum.to_le_bytes();
            let [s0, s1] = d.special.to_le_bytes();
            place.skip(8).copy_from(&[l0, l1, c0, c1]);
            place.skip(13).copy_from(&[d.errors, s0, s1]);
            // The driver looks at the status alone, so that comes when all else is there.
            fence(Ordering::Release);
            place.skip(12).copy_from(&[d.status | DD | if last { EOP } else { 0 }]);
            ring.advance();
        }
        Ok(())
    }
}

/// The checksum bits (SDM 3.2.9).
fn judge(frame: &[u8], sums: u32) -> Described {
    let verdict = if sums & (rxcsum::IPOFL | rxcsum::TUOFL) == 0 { Default::default() } else { checksum::check(frame) };
    let mut d = Described { checksum: 0, status: 0, errors: 0, special: 0 };
    let fields = [(verdict.ip, rxcsum::IPOFL, IPCS, IPE), (verdict.transport, rxcsum::TUOFL, TCPCS, TCPE)];
    for (right, wanted, checked, error) in fields {
        if let (Some(right), true) = (right, sums & wanted != 0) {
            d.status |= checked;
            d.errors |= if right { 0 } else { error };
        }
    }
    if d.status == 0 {
        d.status = IXSM;
    }
    d
}

/// BSIZE and BSEX.
fn buffer_size(control: u32) -> usize {
    match (control & rctl::BSEX != 0, control >> 16 & 3) {
        (false, n) => 2048 >> n,
        // Reserved.
        (true, 0) => 2048,
        (true, n) => 32768 >> n,
    }
}
