//! The Internet checksum (RFC 1071), and what a received frame says of its own.

/// The one's complement sum of `bytes` as big-endian words.
pub fn sum(bytes: &[u8]) -> u16 {
    let (fours, rest) = bytes.as_chunks::<4>();
    // 64 bits hold the sum of 2^32 such words.
    let wide: u64 = fours.iter().map(|four| u64::from(u32::from_be_bytes(*four))).sum();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    fold(wide + u64::from(u32::from_be_bytes(last)))
}

/// Brings the carries back.
pub fn fold(mut wide: u64) -> u16 {
    while wide > 0xffff {
        wide = (wide & 0xffff) + (wide >> 16);
    }
    wide as u16
}

pub fn add(a: u16, b: u16) -> u16 {
    fold(u64::from(a) + u64::from(b))
}

/// What was checked of a frame, and whether it was right.
#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub struct Verdict {
    pub ip: Option<bool>,
    /// Of TCP or UDP.
    pub transport: Option<bool>,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_be_bytes(*two))
}

/// Checks an Ethernet frame, perhaps with a VLAN tag, as SDM 3.2.9 lists it: IPv4, TCP and UDP over IPv4 without
/// fragmentation and over IPv6 without extension headers.
pub fn check(frame: &[u8]) -> Verdict {
    let at = if word(frame, 12) == Some(0x8100) { 16 } else { 12 };
    let packet = frame.get(at + 2..).unwrap_or_default();
    match word(frame, at) {
        Some(0x0800) => check4(packet).unwrap_or_default(),
        Some(0x86dd) => Verdict { ip: None, transport: check6(packet) },
        _ => Verdict::default(),
    }
}

fn check4(packet: &[u8]) -> Option<Verdict> {
    let first = *packet.first()?;
    let header = packet.get(..usize::from(first & 0xf) * 4).filter(|h| first >> 4 == 4 && h.len() >= 20)?;
    let ip = Some(sum(header) == 0xffff);
    let len = usize::from(word(packet, 2)?);
    let fragment = word(packet, 6)? & 0x3fff != 0;
    let payload = packet.get(header.len()..len).filter(|_| !fragment);
    let addresses = header.get(12..20)?;
    let transport = payload.and_then(|payload| transport(*header.get(9)?, addresses, payload));
    Some(Verdict { ip, transport })
}

fn check6(packet: &[u8]) -> Option<bool> {
    let len = usize::from(word(packet, 4)?);
    transport(*packet.get(6)?, packet.get(8..40)?, packet.get(40..)?.get(..len)?)
}

fn transport(protocol: u8, addresses: &[u8], payload: &[u8]) -> Option<bool> {
    let checked = match protocol {
        TCP => payload.len() >= 20,
        // 0: the sender made none.
        UDP => payload.len() >= 8 && word(payload, 6) != Some(0),
        _ => false,
    };
    let parts = [u64::from(sum(addresses)), u64::from(protocol), payload.len() as u64, u64::from(sum(payload))];
    checked.then(|| fold(parts.iter().sum()) == 0xffff)
}
