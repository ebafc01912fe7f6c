//! The transmit ring (SDM 3.3, 3.4): descriptors become a packet, a packet becomes frames on the link.
//! A descriptor's data is copied when its turn comes, so what the driver does to it afterwards changes nothing.

use super::names::{CTRL, TCTL, VET, cause, ctrl, tctl};
use super::offload::{Context, Job, Tag, send};
use super::registers::{Registers, Ring, Tally};
use crate::host::link::{HEADER, LARGEST, Link};
use crate::mem::Memory;

/// Descriptors, or frames if a packet becomes many, before other things have their turn.
const BATCH: usize = 256;

/// What a packet that is not cut into segments may have (SDM 3.3: the FIFO's size less 80 bytes).
const UNCUT: usize = 16384 - 80;

/// Commands: end of packet, insert checksum, report status, extension, insert a VLAN tag; in extended descriptors
/// segment (SDM 3.3.3.1, 3.3.6.1, 3.3.7.1).
const EOP: u8 = 1 << 0;
const IC: u8 = 1 << 2;
const TSE: u8 = 1 << 2;
const RS: u8 = 1 << 3;
const DEXT: u8 = 1 << 5;
const VLE: u8 = 1 << 6;
/// Status: descriptor done.
const DD: u8 = 1 << 0;
/// Packet options: insert the IP checksum, that of TCP or UDP.
const IXSM: u8 = 1 << 0;
const TXSM: u8 = 1 << 1;

/// A descriptor, as it was read.
#[derive(Debug, Clone, Copy)]
struct Descriptor([u8; 16]);

enum Kind {
    Legacy,
    Context,
    Data,
    /// Reserved types.
    Unknown,
}

impl Descriptor {
    fn quads(&self) -> (u64, u64) {
        let whole = u128::from_le_bytes(self.0);
        (whole as u64, (whole >> 64) as u64)
    }

    fn kind(&self) -> Kind {
        match (self.command() & DEXT != 0, self.quads().1 >> 20 & 0xf) {
            (false, _) => Kind::Legacy,
            (true, 0) => Kind::Context,
            (true, 1) => Kind::Data,
            (true, _) => Kind::Unknown,
        }
    }

    fn command(&self) -> u8 {
        (self.quads().1 >> 24) as u8
    }

    fn status(&self) -> u8 {
        (self.quads().1 >> 32) as u8
    }

    /// POPTS; CSS of a legacy descriptor.
    fn options(&self) -> u8 {
        (self.quads().1 >> 40) as u8
    }

    fn special(&self) -> u16 {
        (self.quads().1 >> 48) as u16
    }

    fn len(&self) -> usize {
        let mask = if matches!(self.kind(), Kind::Legacy) { 0xffff } else { 0xf_ffff };
        (self.quads().1 & mask) as usize
    }
}

/// What the transmitter was told besides its ring.
#[derive(Clone, Copy)]
pub struct Settings {
    tags: bool,
    ether_type: u16,
    pad: bool,
}

impl Settings {
    pub fn of(registers: &Registers) -> Settings {
        Settings {
            tags: registers.get(CTRL) & ctrl::VME != 0,
            ether_type: registers.get(VET) as u16,
            pad: registers.get(TCTL) & tctl::PSP != 0,
        }
    }
}

pub struct Transmitter {
    /// Room for the link's header, and the packet so far.
    packet: Vec<u8>,
    /// Where single frames are made of it.
    scratch: Vec<u8>,
    /// What the first descriptor of the packet said.
    first: Option<Descriptor>,
    /// It is too long, or part of it is not in memory.
    spoilt: bool,
    /// The context for checksums, and the one for segmentation.
    checksums: Context,
    segments: Context,
    /// The log has an error of sending already.
    complained: bool,
}

/// What was done.
#[derive(Default)]
pub struct Sent {
    pub causes: u32,
    pub tally: Tally,
    /// There is more to do.
    pub again: bool,
}

impl Transmitter {
    pub fn new() -> Transmitter {
        Transmitter {
            packet: vec![0; HEADER],
            scratch: Vec::new(),
            first: None,
            spoilt: false,
            checksums: Context::default(),
            segments: Context::default(),
            complained: false,
        }
    }

    /// Takes descriptors from the ring and moves its head.
    pub fn run(&mut self, ring: &mut Ring, settings: Settings, memory: &Memory, link: &mut dyn Link) -> Sent {
        let mut sent = Sent::default();
        let mut done = 0;
        while ring.head != ring.tail {
            if done >= BATCH {
                sent.again = true;
                return sent;
            }
            let place = ring.at().and_then(|at| memory.slice(at, 16).ok());
            // A ring outside of memory: nothing that could be read there would make sense.
            let Some(place) = place else { return sent };
            let mut bytes = [0; 16];
            place.copy_to(&mut bytes);
            let descriptor = Descriptor(bytes);
            done += 1 + self.take(descriptor, settings, memory, link, &mut sent.tally);
            if descriptor.command() & RS != 0 {
                place.skip(12).copy_from(&[descriptor.status() | DD]);
                sent.causes |= cause::TXDW;
            }
            ring.advance();
        }
        if done > 0 {
            sent.causes |= cause::TXQE;
        }
        sent
    }

    /// Says how many frames were sent.
    fn take(
        &mut self,
        d: Descriptor,
        settings: Settings,
        memory: &Memory,
        link: &mut dyn Link,
        tally: &mut Tally,
    ) -> usize {
        match d.kind() {
            Kind::Unknown => return 0,
            Kind::Context => {
                let (low, high) = d.quads();
                let place = if d.command() & TSE != 0 { &mut self.segments } else { &mut self.checksums };
                *place = Context::parse(low, high);
                return 0;
            }
            Kind::Legacy | Kind::Data => {}
        }
        self.first.get_or_insert(d);
        self.append(d, memory);
        if d.command() & EOP == 0 {
            return 0;
        }
        let before = tally.frames;
        self.finish(d, settings, link, tally);
        (tally.frames - before) as usize
    }

    fn append(&mut self, d: Descriptor, memory: &Memory) {
        let at = self.packet.len();
        let len = d.len();
        let slice = memory.slice(d.quads().0, len);
        match slice {
            Ok(slice) if at + len <= LARGEST && !self.spoilt => {
                self.packet.resize(at + len, 0);
                slice.copy_to(self.packet.get_mut(at..).unwrap_or_default());
            }
            _ => self.spoilt = true,
        }
    }

    /// The packet is complete: it is sent, or lost.
    fn finish(&mut self, last: Descriptor, settings: Settings, link: &mut dyn Link, tally: &mut Tally) {
        let first = self.first.take().unwrap_or(last);
        let spoilt = std::mem::take(&mut self.spoilt);
        let job = self.job(first, last, settings);
        let fits = job.segments.is_some() || self.packet.len() - HEADER <= UNCUT;
        if spoilt || !fits {
            log::debug!("e1000: a packet is too long, or not in memory, and is dropped");
        } else if let Err(e) = send(&mut self.packet, &mut self.scratch, &job, link, tally)
            // A full queue is nothing special.
            && e.kind() != std::io::ErrorKind::WouldBlock
            && !std::mem::replace(&mut self.complained, true)
        {
            log::warn!("send to the network: {e}; frames that cannot be sent are dropped");
        }
        self.packet.truncate(HEADER);
        self.packet.fill(0);
    }

    fn job(&self, first: Descriptor, last: Descriptor, settings: Settings) -> Job {
        let data = matches!(first.kind(), Kind::Data);
        let cut = data && first.command() & TSE != 0;
        // SDM 3.3.7.1: of a packet to be cut the first descriptor has the tag, of others the last.
        let tagged = if cut { first } else { last };
        let tag = (settings.tags && tagged.command() & VLE != 0)
            .then_some(Tag { ether_type: settings.ether_type, tag: tagged.special() });
        let context = if cut { self.segments } else { self.checksums };
        let mut job = Job { tag, pad: settings.pad, ..Job::default() };
        if data {
            job.ip = (first.options() & IXSM != 0).then_some(context.ip);
            job.transport = (first.options() & TXSM != 0).then_some(context.transport);
            job.segments = cut.then_some(context.segments);
        } else if last.command() & IC != 0 {
            job.transport = Some(super::offload::Field {
                start: usize::from(last.options()),
                at: (last.quads().1 >> 16 & 0xff) as usize,
                end: None,
            });
        }
        job
    }
}
