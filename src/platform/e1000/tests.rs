mod card;
mod driver;
mod hostile;
mod receive;
mod transmit;

/// The Internet checksum, slowly and plainly: what the field must have for all words to add up.
fn internet(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// TCP's or UDP's: over the pseudo header as well.
fn transport(addresses: &[u8], protocol: u8, segment: &[u8]) -> u16 {
    let mut all = addresses.to_vec();
    all.extend([0, protocol]);
    all.extend((segment.len() as u16).to_be_bytes());
    all.extend(segment);
    internet(&all)
}

const MAC: [u8; 6] = [0x02, 1, 2, 3, 4, 5];
const PEER: [u8; 6] = [0x02, 9, 9, 9, 9, 9];

/// Bytes no two of which are alike nearby.
fn noise(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

fn ethernet(to: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &PEER, &ether_type.to_be_bytes(), payload].concat()
}

/// An IPv4 packet of TCP (6) or UDP (17) in an Ethernet frame, all checksums right.
fn ipv4(to: [u8; 6], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0x12, 0x34, 0x00, 0x50];
    if protocol == 6 {
        segment.extend([0, 0, 0x10, 0, 0, 0, 0x20, 0, 0x50, 0x19, 0x20, 0, 0, 0, 0, 0]);
    } else {
        segment.extend((8 + payload.len() as u16).to_be_bytes());
        segment.extend([0, 0]);
    }
    segment.extend(payload);
    let mut header = vec![0x45, 0, 0, 0, 0x77, 0x77, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    header[2..4].copy_from_slice(&(20 + segment.len() as u16).to_be_bytes());
    let sum = internet(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let sum = transport(&header[12..20], protocol, &segment);
    let at = if protocol == 6 { 16 } else { 6 };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    ethernet(to, 0x0800, &[header, segment].concat())
}
