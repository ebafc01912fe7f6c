//! What the card does to a packet on its way out (SDM 3.5, 3.6): checksums, segments, a VLAN tag. A link that takes
//! checksums and segments as virtio's header describes them gets them so; for others it is done here.

use super::checksum::{add, fold, sum};
use super::registers::Tally;
use crate::host::link::{HEADER, Link, Offloads};
use std::io::{self, ErrorKind};
use virtio_bindings::virtio_net::{VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6};

/// The most frames that one packet becomes: 64 KiB in segments of the least size that TCP uses.
const FRAMES: usize = 2048;
/// Destination, source, type.
const ETHERNET: usize = 14;
/// The shortest frame, without its check sequence.
const SHORTEST: usize = 60;

/// A checksum: of the bytes from `start` up to and with `end` (`None`: the last), put at `at`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub start: usize,
    pub at: usize,
    pub end: Option<usize>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    pub header: usize,
    /// Bytes of payload in each.
    pub mss: usize,
    /// TCP, not UDP; IPv4, not IPv6. Neither: the header is the same in all.
    pub tcp: bool,
    pub ipv4: bool,
    /// Where the IP header starts, and that of TCP or UDP.
    pub network: usize,
    pub transport: usize,
}

/// A context descriptor (SDM 3.3.6).
#[derive(Debug, Default, Clone, Copy)]
pub struct Context {
    pub ip: Field,
    pub transport: Field,
    pub segments: Segments,
}

impl Context {
    pub fn parse(low: u64, high: u64) -> Context {
        let byte = |word: u64, shift: u32| (word >> shift & 0xff) as usize;
        let word = |word: u64, shift: u32| (word >> shift & 0xffff) as usize;
        // An end of 0 is that of the packet.
        let field = |shift: u32| Field {
            start: byte(low, shift),
            at: byte(low, shift + 8),
            end: Some(word(low, shift + 16)).filter(|end| *end != 0),
        };
        let (ip, transport) = (field(0), field(32));
        let command = byte(high, 24);
        let segments = Segments {
            header: byte(high, 40),
            mss: word(high, 48),
            tcp: command & 1 != 0,
            ipv4: command & 2 != 0,
            network: ip.start,
            transport: transport.start,
        };
        Context { ip, transport, segments }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Tag {
    pub ether_type: u16,
    pub tag: u16,
}

/// What is to be done to a packet.
#[derive(Debug, Default, Clone, Copy)]
pub struct Job {
    pub ip: Option<Field>,
    pub transport: Option<Field>,
    pub segments: Option<Segments>,
    pub tag: Option<Tag>,
    pub pad: bool,
}

/// Sends `packet`, which begins with room for the link's header.
pub fn send(
    packet: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    job: &Job,
    link: &mut dyn Link,
    tally: &mut Tally,
) -> io::Result<()> {
    let len = packet.len().saturating_sub(HEADER);
    if len < ETHERNET {
        return Err(ErrorKind::InvalidInput.into());
    }
    match job.segments {
        Some(segments) if hand_over_segments(packet, job, segments, link) => {
            tally.segmented += 1;
            tally.count(packet.get(HEADER..).unwrap_or_default());
            link.send_own(0, packet)
        }
        Some(segments) => cut(packet, scratch, job, segments, link, tally),
        None => {
            if let Some(field) = job.ip {
                insert(packet.get_mut(HEADER..).unwrap_or_default(), field, false);
            }
            match job.transport {
                Some(field) if hand_over_checksum(packet, job, field, link) => {}
                Some(field) => insert(packet.get_mut(HEADER..).unwrap_or_default(), field, true),
                None => {}
            }
            finish(packet, job, link, tally)
        }
    }
}

/// Adds what comes last, and sends.
fn finish(packet: &mut Vec<u8>, job: &Job, link: &mut dyn Link, tally: &mut Tally) -> io::Result<()> {
    if let Some(Tag { ether_type, tag }) = job.tag {
        let [a, b] = ether_type.to_be_bytes();
        let [c, d] = tag.to_be_bytes();
        packet.splice(HEADER + 12..HEADER + 12, [a, b, c, d]);
    }
    if job.pad && packet.len() < HEADER + SHORTEST {
        packet.resize(HEADER + SHORTEST, 0);
    }
    tally.count(packet.get(HEADER..).unwrap_or_default());
    link.send_own(0, packet)
}

fn get(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

/// Nothing happens where there is no such place.
fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(two) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *two = value.to_be_bytes();
    }
}

/// Computes a checksum and puts it in its place. What the place has before is part of the sum: the pseudo header's, by a
/// driver's hand. `transport`: none is ever 0, which for UDP means that there is none.
fn insert(frame: &mut [u8], field: Field, transport: bool) {
    let end = field.end.map_or(frame.len(), |end| (end + 1).min(frame.len()));
    let Some(covered) = frame.get(field.start..end).filter(|c| !c.is_empty()) else { return };
    let value = !sum(covered);
    put(frame, field.at, if transport && value == 0 { 0xffff } else { value });
}

/// struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset (virtio 1.2, 5.1.6).
fn describe(packet: &mut [u8], gso: u32, header: usize, mss: usize, field: Field) {
    let [h0, h1] = (header as u16).to_le_bytes();
    let [m0, m1] = (mss as u16).to_le_bytes();
    let [s0, s1] = (field.start as u16).to_le_bytes();
    let [o0, o1] = (field.at.saturating_sub(field.start) as u16).to_le_bytes();
    let flags = VIRTIO_NET_HDR_F_NEEDS_CSUM as u8;
    if let Some(to) = packet.first_chunk_mut::<10>() {
        *to = [flags, gso as u8, h0, h1, m0, m1, s0, s1, o0, o1];
    }
}

/// Leaves the checksum to the link, if it takes it.
fn hand_over_checksum(packet: &mut [u8], job: &Job, field: Field, link: &dyn Link) -> bool {
    let len = packet.len().saturating_sub(HEADER);
    let possible = link.offloads().has(Offloads::CHECKSUM)
        && job.tag.is_none()
        // The frame must not grow behind the checksum's back.
        && len >= SHORTEST
        && field.at >= field.start
        && field.at + 2 <= len
        && field.end.is_none_or(|end| end + 1 >= len);
    if possible {
        describe(packet, 0, 0, 0, field);
    }
    possible
}

/// Leaves segmentation to the link, if it takes it.
fn hand_over_segments(packet: &mut [u8], job: &Job, s: Segments, link: &dyn Link) -> bool {
    let (offload, gso, ip) = match s.ipv4 {
        true => (Offloads::TSO4, VIRTIO_NET_HDR_GSO_TCPV4, job.ip.is_some()),
        false => (Offloads::TSO6, VIRTIO_NET_HDR_GSO_TCPV6, true),
    };
    let frame = packet.get_mut(HEADER..).unwrap_or_default();
    let Some(field) = job.transport else { return false };
    // A guest that reports congestion does so in the first segment alone; here, where nobody looks, it would be all.
    let congestion = frame.get(s.transport + 13).is_some_and(|flags| flags & 0x80 != 0);
    let possible = link.offloads().has(Offloads::CHECKSUM.with(offload))
        && (s.tcp && ip && job.tag.is_none() && !congestion)
        && s.network == ETHERNET
        && field.start == s.transport
        && field.at == s.transport + 16
        && sound(s)
        && frame.len() > s.header + s.mss
        && frame.len() - s.network <= 0xffff;
    if possible {
        lengths(frame, s, job.transport);
        if let Some(field) = job.ip {
            insert(frame, field, false);
        }
        describe(packet, gso, s.header, s.mss, field);
    }
    possible
}

/// The header is long enough for what is changed in it.
fn sound(s: Segments) -> bool {
    let network = if s.ipv4 { 20 } else { 40 };
    let transport = if s.tcp { 20 } else { 8 };
    let plain = !s.tcp && !s.ipv4;
    let headers = s.network + network <= s.transport && s.transport + transport <= s.header;
    s.mss > 0 && s.header >= ETHERNET && (plain || headers)
}

/// Puts the lengths into the headers of a frame, and adds the transport's to its pseudo header's sum (SDM 3.5.5).
fn lengths(frame: &mut [u8], s: Segments, transport: Option<Field>) {
    let len = frame.len();
    let rest = len.saturating_sub(s.transport) as u64;
    match s.ipv4 {
        true => put(frame, s.network + 2, len.saturating_sub(s.network) as u16),
        false if s.tcp => put(frame, s.network + 4, len.saturating_sub(s.network + 40) as u16),
        false => return,
    }
    if !s.tcp {
        put(frame, s.transport + 4, rest as u16);
    }
    if let Some(field) = transport {
        let pseudo = get(frame, field.at).unwrap_or(0);
        put(frame, field.at, add(pseudo, fold(rest)));
    }
}

/// Sends a packet as segments.
fn cut(
    packet: &[u8],
    scratch: &mut Vec<u8>,
    job: &Job,
    s: Segments,
    link: &mut dyn Link,
    tally: &mut Tally,
) -> io::Result<()> {
    let frame = packet.get(HEADER..).unwrap_or_default();
    let (Some((header, payload)), true) = (frame.split_at_checked(s.header), sound(s)) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    if payload.len().div_ceil(s.mss) > FRAMES {
        return Err(ErrorKind::InvalidInput.into());
    }
    tally.segmented += 1;
    let count = payload.len().div_ceil(s.mss).max(1);
    let mut result = Ok(());
    for n in 0..count {
        let from = n * s.mss;
        let part = payload.get(from..payload.len().min(from + s.mss)).unwrap_or_default();
        scratch.clear();
        scratch.resize(HEADER, 0);
        scratch.extend_from_slice(header);
        scratch.extend_from_slice(part);
        let segment = scratch.get_mut(HEADER..).unwrap_or_default();
        number(segment, s, n, n + 1 == count);
        lengths(segment, s, job.transport);
        if let Some(field) = job.ip {
            insert(segment, field, false);
        }
        if let Some(field) = job.transport {
            insert(segment, field, true);
        }
        result = result.and(finish(scratch, job, link, tally));
    }
    result
}

/// Makes the header that of segment `n`: its IP identification, its sequence number, and flags that only the last has
/// (SDM 3.5.6).
fn number(segment: &mut [u8], s: Segments, n: usize, last: bool) {
    if s.ipv4 {
        let id = get(segment, s.network + 4).unwrap_or(0);
        put(segment, s.network + 4, id.wrapping_add(n as u16));
    }
    if s.tcp {
        if let Some(sequence) = segment.get_mut(s.transport + 4..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *sequence = u32::from_be_bytes(*sequence).wrapping_add((n * s.mss) as u32).to_be_bytes();
        }
        // FIN and PSH; and the first alone has CWR.
        let drop = if last { 0 } else { 0x09 } | if n > 0 { 0x80 } else { 0 };
        if let Some(flags) = segment.get_mut(s.transport + 13) {
            *flags &= !drop;
        }
    }
}
