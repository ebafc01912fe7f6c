//! What frames become in the ring, and when nothing does.

use super::super::names::*;
use super::driver::*;
use super::*;
use crate::host::link;
use crate::host::link::Offloads;
use crate::part::Part;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

const DD: u8 = 1;
const EOP: u8 = 2;
const IXSM: u8 = 4;
const VP: u8 = 8;
const TCPCS: u8 = 32;
const IPCS: u8 = 64;
const PIF: u8 = 128;

fn driver(given: u32, control: u32) -> Driver {
    let mut d = Driver::new(Offloads(63));
    d.start_receive(32, given, control);
    d
}

/// IEEE 802.3, 3.2.9, bit by bit.
fn fcs(frame: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in frame {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    (!crc).to_le_bytes()
}

#[test]
fn a_frame_arrives_with_its_check_sequence() {
    let mut d = driver(31, 0);
    d.set(IMS, cause::RXT0);
    let frame = ethernet(MAC, 0x1234, &noise(100));
    d.arrive(&frame);
    let (described, data) = d.received();
    assert_eq!(data, [&frame[..], &fcs(&frame)].concat());
    let [_, _, c0, c1, status, errors, special @ ..] = described;
    assert_eq!((status, errors, special), (DD | EOP | IXSM, 0, [0, 0]));
    assert_eq!(u16::from_le_bytes([c0, c1]), !internet(&frame), "the packet checksum, from PCSS on");
    eventually(|| d.line.up());
    assert_eq!(d.get(ICR), cause::RXT0);
    assert_eq!((d.get(GPRC), d.get(RDBAL + HEAD)), (1, 1));
    d.set(RCTL, rctl::EN | rctl::SECRC);
    d.arrive(&frame[..40]);
    assert_eq!(d.received().1, [&frame[..40], &[0; 20]].concat(), "filled up to the shortest frame");
    assert_eq!((d.get(GORCL), d.get(GORCL + 4)), (118 + 64, 0));
}

/// Which of the frames pass, and with what status. Another one follows each, to show that it did not.
fn passes(d: &mut Driver, frames: &[Vec<u8>]) -> Vec<Option<u8>> {
    let last = ethernet(MAC, 0x9999, &[0; 50]);
    let mut status = |frame: &Vec<u8>| {
        d.arrive(frame);
        d.arrive(&last);
        let (described, data) = d.received();
        let passed = (data[..last.len()] != last).then_some(described[4]);
        let taken = if passed.is_some() { 2 } else { 1 };
        (1..taken).for_each(|_| drop(d.received()));
        d.set(RDBAL + TAIL, (d.get(RDBAL + TAIL) + taken) % 32);
        passed
    };
    frames.iter().map(&mut status).collect()
}

#[test]
fn the_filter_lets_through_what_it_was_told_to() {
    let multicast = [0x01, 0, 0x5e, 0, 0xab, 0xcd];
    let frames: Vec<_> = [MAC, PEER, [0xff; 6], multicast].map(|to| ethernet(to, 0x1234, &noise(60))).to_vec();
    let plain = Some(DD | EOP | IXSM);
    let mut d = driver(20, 0);
    assert_eq!(passes(&mut d, &frames), [plain, None, None, None]);
    d.set(RCTL, rctl::EN | rctl::BAM);
    assert_eq!(passes(&mut d, &frames), [plain, None, plain, None]);
    d.set(RCTL, rctl::EN | rctl::UPE);
    assert_eq!(passes(&mut d, &frames), [plain, plain, None, None]);
    d.set(RCTL, rctl::EN | rctl::MPE);
    assert_eq!(passes(&mut d, &frames), [plain, None, plain, plain]);
    // Another exact address.
    d.set(RCTL, rctl::EN);
    d.set(RAL + 8 * 15, u32::from_le_bytes([2, 9, 9, 9]));
    d.set(RAH + 8 * 15, 0x8000_0909);
    assert_eq!(passes(&mut d, &frames), [plain, plain, None, None]);
    d.set(RAH + 8 * 15, 0x0909);
    assert_eq!(passes(&mut d, &frames), [plain, None, None, None]);
    // The hash, at each of its four places in the address.
    for (offset, shift) in [(0, 4), (1, 3), (2, 2), (3, 0)] {
        let hash = (0xcdab >> shift & 0xfff) as u32;
        d.set(RCTL, rctl::EN | offset << 12);
        d.set(MTA + 4 * (hash >> 5), 1 << (hash & 31));
        assert_eq!(passes(&mut d, &frames), [plain, None, None, Some(DD | EOP | IXSM | PIF)], "MO {offset}");
        d.set(MTA + 4 * (hash >> 5), 0);
    }
}

#[test]
fn vlans_are_filtered_and_tags_taken_out() {
    let tagged = |id: u8| ethernet(MAC, 0x8100, &[&[0x20, id, 0x12, 0x34][..], &noise(80)].concat());
    let frames = [tagged(7), tagged(8), ethernet(MAC, 0x1234, &noise(80))];
    let mut d = driver(20, rctl::VFE);
    d.set(VFTA, 1 << 7);
    let plain = Some(DD | EOP | IXSM);
    assert_eq!(passes(&mut d, &frames), [plain, None, plain]);
    d.set(RCTL, rctl::EN | rctl::SECRC);
    d.set(CTRL, ctrl::FD | ctrl::SLU | ctrl::VME);
    d.arrive(&frames[1]);
    let (described, data) = d.received();
    assert_eq!(data, [&frames[1][..12], &frames[1][16..]].concat());
    assert_eq!((described[4], &described[6..]), (DD | EOP | IXSM | VP, &[8, 0x20][..]));
}

#[test]
fn checksums_are_looked_at_when_asked_for() {
    let mut d = driver(31, 0);
    d.set(RXCSUM, rxcsum::IPOFL | rxcsum::TUOFL | 14);
    let right = [ipv4(MAC, 6, &noise(1000)), ipv4(MAC, 17, &noise(33))];
    for frame in &right {
        d.arrive(frame);
        let (described, _) = d.received();
        assert_eq!(described[4..6], [DD | EOP | IPCS | TCPCS, 0]);
        assert_eq!(u16::from_le_bytes([described[2], described[3]]), !internet(&frame[14..]));
    }
    // (Byte that is wrong, status, errors)
    let wrong = [
        (30, IPCS | TCPCS, 0x60),
        (22, IPCS | TCPCS, 0x40),
        (200, IPCS | TCPCS, 0x20),
        (20, IPCS, 0x40),
        (14, IXSM, 0),
    ];
    for (at, status, errors) in wrong {
        let mut frame = right[0].clone();
        frame[at] ^= 0x01;
        if at == 14 {
            frame[at] = 0x54;
        }
        d.arrive(&frame);
        let (described, _) = d.received();
        assert_eq!((described[4], described[5]), (DD | EOP | status, errors), "byte {at}");
    }
    // UDP without a checksum, and IPv6.
    let mut frame = right[1].clone();
    frame[40..42].fill(0);
    d.arrive(&frame);
    assert_eq!(d.received().0[4..6], [DD | EOP | IPCS, 0]);
    let mut header = vec![0x60, 0, 0, 0, 0, 28, 17, 64];
    header.extend(1..=32);
    let mut datagram = [&[1, 2, 3, 4, 0, 28, 0, 0][..], &noise(20)].concat();
    let sum = transport(&header[8..], 17, &datagram);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(MAC, 0x86dd, &[header, datagram].concat());
    d.arrive(&frame);
    assert_eq!(d.received().0[4..6], [DD | EOP | TCPCS, 0]);
    frame[80] ^= 1;
    d.arrive(&frame);
    assert_eq!(d.received().0[4..6], [DD | EOP | TCPCS, 0x20]);
    d.set(RXCSUM, 0);
    d.arrive(&right[0]);
    assert_eq!(d.received().0[4..6], [DD | EOP | IXSM, 0]);
}

#[test]
fn long_frames_take_several_buffers_where_they_are_allowed() {
    let long = ethernet(MAC, 0x1234, &noise(9000));
    let mut d = driver(31, 0);
    d.arrive(&long);
    d.arrive(&long[..1600]);
    d.arrive(&long[..1518]);
    assert_eq!(d.received().1.len(), 1522);
    eventually(|| d.get(GPRC) == 1);
    assert_eq!(d.get(ROC), 2);
    // BSIZE: 2048 to 256, with BSEX 16384 to 4096.
    for (bits, size) in [(0, 2048), (1, 1024), (2, 512), (1 << 9 | 1, 16384), (1 << 9 | 2, 8192), (1 << 9 | 3, 4096)] {
        let mut d = driver(31, rctl::LPE | rctl::SECRC | bits << 16);
        d.arrive(&long);
        for (n, part) in long.chunks(size).enumerate() {
            let (described, data) = d.received();
            assert_eq!(data, part);
            let last = (n + 1) * size >= long.len();
            assert_eq!(described[4] & (DD | EOP), if last { DD | EOP } else { DD });
        }
        eventually(|| d.get(RDBAL + HEAD) == long.len().div_ceil(size) as u32);
    }
}

#[test]
fn without_descriptors_frames_wait_on_the_link() {
    let mut d = driver(0, 0);
    let frames: Vec<_> = (0..6u8).map(|n| ethernet(MAC, 0x1234, &[n; 60])).collect();
    frames.iter().for_each(|frame| d.arrive(frame));
    assert_eq!(d.get(RDBAL + HEAD), 0);
    for (tail, frame) in (1..).zip(&frames) {
        d.set(RDBAL + TAIL, tail);
        assert_eq!(d.received().1[..74], frame[..]);
    }
    eventually(|| d.get(RDBAL + HEAD) == 6);
    assert_eq!(d.get(MPC), 0);
}

#[test]
fn a_long_frame_waits_for_all_its_descriptors() {
    let mut d = driver(2, rctl::LPE | rctl::SECRC);
    let long = ethernet(MAC, 0x1234, &noise(9000));
    d.arrive(&long);
    d.arrive(&long[..80]);
    for tail in 3..=4 {
        d.set(RDBAL + TAIL, tail);
    }
    assert_eq!(d.get(RDBAL + HEAD), 0, "nothing of it is there before there is room for all");
    d.set(RDBAL + TAIL, 6);
    for part in long.chunks(2048) {
        assert_eq!(d.received().1, part);
    }
    assert_eq!(d.received().1, long[..80]);
    // What no ring of this size would take is lost.
    let mut d = driver(3, rctl::LPE | rctl::SECRC);
    d.set(RDBAL + LENGTH, 128);
    d.set(RCTL, rctl::EN | rctl::LPE | rctl::SECRC | 3 << 16);
    d.arrive(&long);
    d.arrive(&long[..80]);
    assert_eq!(d.received().1, long[..80]);
    assert_eq!(d.get(MPC), 1);
}

#[test]
fn the_driver_hears_when_descriptors_run_short() {
    let mut d = driver(10, 1 << 8);
    let frame = ethernet(MAC, 0x1234, &noise(60));
    d.arrive(&frame);
    d.received();
    eventually(|| d.get(GPRC) == 1);
    assert_eq!(d.get(ICR) & cause::RXDMT0, 0);
    d.arrive(&frame);
    d.received();
    eventually(|| d.get(ICR) & cause::RXDMT0 != 0);
}

#[test]
fn a_buffer_outside_of_memory_takes_nothing() {
    let d = driver(31, 0);
    d.mem.write(RX_RING, &(MEMORY - 8).to_le_bytes()).unwrap();
    d.mem.write(RX_RING + 16, &u64::MAX.to_le_bytes()).unwrap();
    let frame = ethernet(MAC, 0x1234, &noise(60));
    (0..3).for_each(|_| d.arrive(&frame));
    eventually(|| d.get(RDBAL + HEAD) == 3);
    let mut end = [0; 8];
    d.mem.slice(MEMORY - 8, 8).unwrap().copy_to(&mut end);
    assert_eq!(end, [0; 8]);
    // A ring there takes nothing either, and does not end the card.
    d.set(RDBAL, 0xffff_0000);
    d.arrive(&frame);
    eventually(|| d.get(MPC) > 0);
    d.set(RDBAL, RX_RING as u32);
    d.set(RDBAL + TAIL, 30);
    d.arrive(&frame);
    eventually(|| d.get(RDBAL + HEAD) == 4);
}

#[test]
fn what_is_switched_off_touches_no_memory_any_more() {
    let flood = |d: &Driver| {
        d.peer.set_nonblocking(true).unwrap();
        while d.peer.send(&[&[0; 12][..], &ethernet(MAC, 0x1234, &noise(60))].concat()).is_ok() {}
    };
    let snapshot = |d: &Driver| {
        let mut bytes = vec![0; 0x10_0000];
        d.mem.slice(RX_RING, 0x1000).unwrap().copy_to(&mut bytes);
        d.mem.slice(RX_DATA, 0x8_0000).unwrap().copy_to(bytes.get_mut(0x1000..).unwrap());
        bytes
    };
    let ways: [fn(&Driver); 4] = [
        |d| d.set(RCTL, 0),
        |d| d.set(CTRL, ctrl::RST),
        |d| d.config_write(4, &3u16.to_le_bytes()),
        |d| d.card.reset().unwrap(),
    ];
    for (n, off) in ways.iter().enumerate() {
        for _ in 0..20 {
            let d = driver(31, 0);
            // The driver gives and the link brings, all the time.
            for round in 0..50u32 {
                flood(&d);
                d.set(RDBAL + TAIL, round * 7 % 32);
            }
            off(&d);
            let before = snapshot(&d);
            flood(&d);
            std::thread::yield_now();
            assert!(before == snapshot(&d), "way {n}");
        }
    }
}

#[test]
fn a_loopback_and_a_socket_are_links() {
    let (_, unused) = UnixDatagram::pair().unwrap();
    let mut d = Driver::with(link::open(&link::Kind::Loopback, 1).unwrap(), unused);
    d.start_transmit(8);
    d.start_receive(8, 7, rctl::SECRC);
    let frame = ipv4(MAC, 6, &noise(500));
    d.send(&frame, 0x0900_0000);
    assert_eq!(d.received().1, frame);

    let (ours, peer) = UnixDatagram::pair().unwrap();
    let kind = link::Kind::Fd(ours.as_raw_fd());
    let mut d = Driver::with(link::open(&kind, 1).unwrap(), peer);
    d.start_transmit(8);
    d.start_receive(8, 7, rctl::SECRC);
    d.peer.send(&frame).unwrap();
    assert_eq!(d.received().1, frame);
    d.send(&frame, 0x0900_0000);
    let mut got = [0; 2000];
    let n = d.peer.recv(&mut got).unwrap();
    assert_eq!(got[..n], frame);
}
