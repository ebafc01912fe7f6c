//! What descriptors become on the link.

use super::super::names::*;
use super::driver::*;
use super::*;
use crate::host::link::Offloads;

const EOP: u64 = 1 << 24;
const IC: u64 = 1 << 26;
const TSE: u64 = 1 << 26;
const RS: u64 = 1 << 27;
const DEXT: u64 = 1 << 29;
const VLE: u64 = 1 << 30;
const DATA: u64 = DEXT | 1 << 20;
const IXSM: u64 = 1 << 40;
const TXSM: u64 = 2 << 40;
const ALL: Offloads = Offloads(63);

fn driver(offloads: Offloads) -> Driver {
    let mut d = Driver::new(offloads);
    d.start_transmit(64);
    d
}

/// The context of a frame: of its IP header (start, end) and that of the transport, where its checksum is.
fn context(tcp: bool, ip4: bool, header: u64, mss: u64, network: u64, at: u64) -> (u64, u64) {
    let start = network + if ip4 { 20 } else { 40 };
    let low = network | (network + 10) << 8 | (start - 1) << 16 | start << 32 | (start + at) << 40;
    let segment = if mss > 0 { TSE } else { 0 };
    (low, DEXT | segment | u64::from(tcp) << 24 | u64::from(ip4) << 25 | header << 40 | mss << 48)
}

#[test]
fn legacy_descriptors_send_frames() {
    let mut d = driver(ALL);
    d.send(&noise(100), EOP | RS);
    assert_eq!(d.sent(), (vec![0; 12], noise(100)));
    assert_eq!(d.transmitted(0), 1);
    assert_eq!(d.get(ICR), cause::TXDW | cause::TXQE);
    d.send(&noise(60), EOP);
    assert_eq!(d.sent().1, noise(60));
    assert_eq!(d.transmitted(1), 0, "no status was asked for");
    assert_eq!(d.get(ICR), cause::TXQE);
    assert_eq!(d.get(GPTC), 2);
    assert_eq!((d.get(GOTCL), d.get(GOTCL)), (168, 168), "the low half does not clear");
    assert_eq!((d.get(GOTCL + 4), d.get(GOTCL), d.get(GPTC)), (0, 0, 0));
}

#[test]
fn a_frame_may_lie_in_pieces_and_around_the_end_of_the_ring() {
    let mut d = driver(ALL);
    for round in 0..40 {
        d.mem.write(TX_DATA, &noise(333)).unwrap();
        for (from, len) in [(0u64, 1u64), (1, 0), (1, 99), (100, 233)] {
            let eop = if from == 100 { EOP } else { 0 };
            d.post(TX_DATA + from, eop | RS | len);
        }
        d.kick();
        assert_eq!(d.sent().1, noise(333), "{round}");
    }
    d.nothing_sent();
}

#[test]
fn a_legacy_descriptor_asks_for_one_checksum() {
    for offloads in [Offloads::NONE, ALL] {
        let mut d = driver(offloads);
        let mut frame = noise(101);
        frame[50..52].fill(0);
        // CSS 34, CSO 50.
        d.send(&frame, EOP | IC | 34 << 40 | 50 << 16);
        let (header, got) = d.sent();
        if offloads == Offloads::NONE {
            assert_eq!(header, [0; 12]);
            frame[50..52].copy_from_slice(&internet(&noise_zeroed()[34..]).to_be_bytes());
        } else {
            assert_eq!(header[..10], [1, 0, 0, 0, 0, 0, 34, 0, 16, 0]);
        }
        assert_eq!(got, frame);
    }
    fn noise_zeroed() -> Vec<u8> {
        let mut frame = noise(101);
        frame[50..52].fill(0);
        frame
    }
}

/// A frame as a driver leaves it to the card: no checksums but the pseudo header's, with the length or without.
fn open(frame: &[u8], at: usize, len: Option<u16>) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[24..26].fill(0);
    let mut pseudo = frame[26..34].to_vec();
    pseudo.extend([0, frame[23]]);
    pseudo.extend(len.unwrap_or(0).to_be_bytes());
    frame[at..at + 2].copy_from_slice(&(!internet(&pseudo)).to_be_bytes());
    frame
}

#[test]
fn data_descriptors_have_both_checksums_done() {
    for (protocol, at) in [(6u8, 16), (17, 6)] {
        let want = ipv4(PEER, protocol, &noise(701));
        let unfinished = open(&want, 34 + at, Some((want.len() - 34) as u16));
        let (low, high) = context(protocol == 6, true, 0, 0, 14, at as u64);
        let mut d = driver(Offloads::NONE);
        d.post(low, high | RS);
        d.send(&unfinished, DATA | EOP | RS | IXSM | TXSM);
        assert_eq!(d.sent().1, want);
        assert_eq!((d.transmitted(0), d.transmitted(1)), (1, 1));
        // The context stays.
        d.send(&unfinished, DATA | EOP | TXSM);
        let got = d.sent().1;
        assert_eq!((&got[..24], &got[24..26], &got[26..]), (&want[..24], &[0; 2][..], &want[26..]), "no IP checksum");

        let mut d = driver(Offloads::CHECKSUM);
        d.post(low, high | RS);
        d.send(&unfinished, DATA | EOP | RS | IXSM | TXSM);
        let (header, got) = d.sent();
        assert_eq!(header[..10], [1, 0, 0, 0, 0, 0, 34, 0, at as u8, 0]);
        assert_eq!(got[..34 + at], want[..34 + at], "the IP checksum is done here");
        assert_eq!(got[34 + at..], unfinished[34 + at..]);
    }
}

#[test]
fn a_checksum_of_zero_is_sent_as_ones() {
    let mut d = driver(Offloads::NONE);
    let mut frame = vec![0; 64];
    frame[34..36].fill(0xff);
    d.send(&frame, EOP | IC | 34 << 40 | 40 << 16);
    assert_eq!(d.sent().1[40..42], [0xff, 0xff]);
}

/// Takes `payload` apart again: every segment right by itself.
fn segments(d: &Driver, whole: &[u8], header: usize, mss: usize) {
    let payload = &whole[header..];
    let count = payload.len().div_ceil(mss);
    for (n, part) in payload.chunks(mss).enumerate() {
        let (link, got) = d.sent();
        assert_eq!(link, [0; 12]);
        assert_eq!(&got[header..], part, "segment {n}");
        let (ip, tcp) = (&got[14..34], &got[34..]);
        assert_eq!(u16::from_be_bytes([ip[2], ip[3]]) as usize, got.len() - 14);
        assert_eq!(u16::from_be_bytes([ip[4], ip[5]]), 0x7777 + n as u16);
        assert_eq!(internet(ip), 0, "IP checksum of segment {n}");
        assert_eq!(transport(&ip[12..20], 6, tcp), 0, "TCP checksum of segment {n}");
        assert_eq!(u32::from_be_bytes(tcp[4..8].try_into().unwrap()), 0x1000 + (n * mss) as u32);
        assert_eq!(tcp[13], if n + 1 == count { 0x19 } else { 0x10 }, "PSH and FIN are the last one's");
    }
    d.nothing_sent();
}

#[test]
fn a_large_packet_is_cut_here_when_the_link_does_not() {
    for len in [1, 1448, 1449, 2896, 30_000, 65_000] {
        let mut d = driver(Offloads::CHECKSUM);
        let whole = ipv4(PEER, 6, &noise(len));
        let mut unfinished = open(&whole, 50, None);
        unfinished[16..18].fill(0);
        let (low, high) = context(true, true, 54, 1448, 14, 16);
        d.post(low, high | len as u64);
        // The header and the payload are in buffers of their own, as Linux has them.
        d.mem.write(TX_DATA, &unfinished).unwrap();
        d.post(TX_DATA, DATA | TSE | IXSM | TXSM | 54);
        for from in (54..unfinished.len()).step_by(4096) {
            let n = (unfinished.len() - from).min(4096);
            let eop = if from + n == unfinished.len() { EOP | RS } else { 0 };
            d.post(TX_DATA + from as u64, DATA | TSE | eop | n as u64);
        }
        d.kick();
        segments(&d, &whole, 54, 1448);
        assert_eq!(d.get(TSCTC), 1);
    }
}

#[test]
fn a_large_packet_goes_to_the_link_whole() {
    let mut d = driver(ALL);
    let whole = ipv4(PEER, 6, &noise(30_000));
    let mut unfinished = open(&whole, 50, None);
    unfinished[16..18].fill(0);
    let (low, high) = context(true, true, 54, 1448, 14, 16);
    d.post(low, high | 30_000);
    d.send(&unfinished, DATA | TSE | EOP | IXSM | TXSM);
    let (header, got) = d.sent();
    let [a, b] = 1448u16.to_le_bytes();
    assert_eq!(header[..10], [1, 1, 54, 0, a, b, 34, 0, 16, 0]);
    // The length and the IP checksum are there; the pseudo header's sum has the length.
    let want = open(&whole, 50, Some((whole.len() - 34) as u16));
    assert_eq!((&got[..24], &got[24..26], &got[26..]), (&want[..24], &whole[24..26], &want[26..]));
    // Congestion reported in the first segment alone is more than a link is trusted with.
    unfinished[47] |= 0x80;
    d.send(&unfinished, DATA | TSE | EOP | IXSM | TXSM);
    for n in 0..21 {
        let got = d.sent().1;
        assert_eq!(got[47] & 0x80, if n == 0 { 0x80 } else { 0 });
        assert_eq!(transport(&got[26..34], 6, &got[34..]), 0);
    }
    d.nothing_sent();
}

#[test]
fn ipv6_and_udp_are_cut_as_well() {
    let mut segment = ipv4(PEER, 6, &noise(5000))[34..].to_vec();
    segment[16..18].fill(0);
    let mut header = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
    header.extend(1..=32);
    let pseudo = !internet(&[&header[8..40], &[0, 6]].concat());
    segment[16..18].copy_from_slice(&pseudo.to_be_bytes());
    let frame = ethernet(PEER, 0x86dd, &[header, segment].concat());
    let (low, high) = context(true, false, 74, 1000, 14, 16);
    let mut d = driver(Offloads::NONE);
    d.post(low, high);
    d.send(&frame, DATA | TSE | EOP | TXSM);
    for _ in 0..5 {
        let got = d.sent().1;
        assert_eq!(u16::from_be_bytes([got[18], got[19]]) as usize, got.len() - 54);
        assert_eq!(transport(&got[22..54], 6, &got[54..]), 0);
    }
    let mut d = driver(ALL);
    d.post(low, high);
    d.send(&frame, DATA | TSE | EOP | TXSM);
    let (link, got) = d.sent();
    assert_eq!((link[1], got.len()), (4, frame.len()), "VIRTIO_NET_HDR_GSO_TCPV6");

    let whole = ipv4(PEER, 17, &noise(3000));
    let (low, high) = context(false, true, 42, 1000, 14, 6);
    d.post(low, high);
    d.send(&open(&whole, 40, None), DATA | TSE | EOP | IXSM | TXSM);
    for _ in 0..3 {
        let got = d.sent().1;
        assert_eq!(u16::from_be_bytes([got[38], got[39]]), 1008);
        assert_eq!((internet(&got[14..34]), transport(&got[26..34], 17, &got[34..])), (0, 0));
    }
    d.nothing_sent();
}

#[test]
fn contexts_that_make_no_sense_lose_the_packet() {
    let mut d = driver(Offloads::NONE);
    let frame = ipv4(PEER, 6, &noise(3000));
    let senseless = [
        context(true, true, 54, 0, 14, 16).1 | TSE,
        context(true, true, 40, 1448, 14, 16).1,
        context(true, true, 0, 1448, 14, 16).1,
        // 3000 segments.
        context(true, true, 54, 1, 14, 16).1,
    ];
    for high in senseless {
        d.post(context(true, true, 54, 1448, 14, 16).0, high);
        d.send(&frame, DATA | TSE | EOP | RS | IXSM | TXSM);
        d.nothing_sent();
    }
    // All offsets at their largest: nothing is done there, and the frame goes out as it is.
    d.post(u64::MAX, DEXT);
    d.send(&frame[..200], DATA | EOP | IXSM | TXSM);
    assert_eq!(d.sent().1, frame[..200]);
}

#[test]
fn what_is_too_long_or_not_in_memory_is_lost_and_the_next_is_not() {
    let mut d = driver(ALL);
    d.post(MEMORY - 10, EOP | RS | 100);
    d.post(u64::MAX - 3, EOP | RS | 100);
    d.mem.write(TX_DATA, &noise(0x1_0000)).unwrap();
    d.post(TX_DATA, EOP | RS | 0xffff);
    for n in 0..5 {
        d.post(TX_DATA, DATA | 0xf_ffff | if n == 4 { EOP | RS } else { 0 });
    }
    d.post(TX_DATA, EOP | RS | 13);
    d.post(TX_DATA, DEXT | 2 << 20 | EOP | RS | 64);
    d.send(&noise(64), EOP | RS);
    assert_eq!(d.sent(), (vec![0; 12], noise(64)));
    assert_eq!((0..11).map(|n| d.transmitted(n)).collect::<Vec<_>>(), [1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn tags_are_put_in_and_short_frames_filled_up() {
    let mut d = driver(ALL);
    d.send(&noise(64), EOP | VLE | 0x2123 << 48);
    assert_eq!(d.sent().1, noise(64), "without CTRL.VME there are no tags");
    d.set(CTRL, ctrl::FD | ctrl::SLU | ctrl::VME);
    d.set(TCTL, tctl::EN | tctl::PSP);
    d.send(&noise(64), EOP | VLE | 0x2123 << 48);
    assert_eq!(d.sent().1, [&noise(64)[..12], &[0x81, 0, 0x21, 0x23], &noise(64)[12..]].concat());
    d.send(&noise(20), EOP);
    assert_eq!(d.sent().1, [noise(20), vec![0; 40]].concat());
    // The checksum counts from where the packet began in memory.
    let want = ipv4(PEER, 6, &noise(100));
    let (low, high) = context(true, true, 0, 0, 14, 16);
    d.post(low, high);
    d.send(&open(&want, 50, Some(120)), DATA | EOP | IXSM | TXSM | VLE | 5 << 48);
    assert_eq!(d.sent().1, [&want[..12], &[0x81, 0, 0, 5], &want[12..]].concat());
}

#[test]
fn nothing_is_sent_without_bus_mastering_or_after_it_was_switched_off() {
    let mut d = driver(ALL);
    d.config_write(4, &3u16.to_le_bytes());
    d.mem.write(TX_DATA, &noise(64)).unwrap();
    d.post(TX_DATA, EOP | RS | 64);
    d.set(TDBAL + TAIL, 1);
    d.set(TCTL, 0);
    d.set(TCTL, tctl::EN);
    assert_eq!((d.get(TDBAL + HEAD), d.transmitted(0)), (0, 0));
    d.nothing_sent();
    d.config_write(4, &7u16.to_le_bytes());
    assert_eq!(d.sent().1, noise(64), "what waited goes out when it may");
}
