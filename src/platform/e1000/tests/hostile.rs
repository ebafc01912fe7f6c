//! A driver that does anything: the card neither panics nor hangs, and writes where it was told to alone.

use super::super::names::*;
use super::driver::*;
use super::*;
use crate::host::link::Offloads;
use crate::part::Part;
use proptest::prelude::*;

/// All memory but these is never to be written: the rings, and the receive buffers.
const RINGS: std::ops::Range<u64> = 0x1_0000..0x5_0000;
const BUFFERS: std::ops::Range<u64> = RX_DATA..RX_DATA + 0x8_0000;
const UNTOUCHED: u8 = 0xa7;

#[derive(Debug, Clone)]
enum Step {
    /// Any register; those that place rings get places where the test allows them.
    Write(u32, u32),
    Read(u32),
    Port(u64, u32),
    /// A descriptor in either ring: its place, address and the rest.
    Descriptor(u64, u64, u64),
    Frame(Vec<u8>),
    Config(u64, u32),
    Reset,
}

fn register() -> impl Strategy<Value = u32> {
    let known = prop::sample::select(vec![
        CTRL,
        STATUS,
        EECD,
        EERD,
        MDIC,
        ICR,
        ICS,
        IMS,
        IMC,
        RCTL,
        TCTL,
        VET,
        PBA,
        RXCSUM,
        MTA,
        RAL,
        RAH,
        VFTA,
        RDBAL,
        RDBAL + LENGTH,
        RDBAL + HEAD,
        RDBAL + TAIL,
        TDBAL,
        TDBAL + LENGTH,
        TDBAL + HEAD,
        TDBAL + TAIL,
        GORCL,
        GPRC,
    ]);
    prop_oneof![8 => known, 1 => (0u32..0x8000).prop_map(|n| n * 4), 1 => any::<u32>()]
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0u32..64, Just(u32::MAX), (0u32..32).prop_map(|n| 1 << n), Just(0x0600_803a), Just(0x400)]
}

/// In the buffers, out of memory, across its end.
fn address() -> impl Strategy<Value = u64> {
    let inside = BUFFERS.start..BUFFERS.end - 0x4000;
    prop_oneof![6 => inside, 1 => any::<u64>().prop_map(|n| n | MEMORY), 1 => Just(MEMORY - 1)]
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![any::<u64>(), any::<u64>().prop_map(|n| n & 0xffff_ff0f_ff00_0fff | 0x0900_0000)];
    prop_oneof![
        8 => (register(), value()).prop_map(|(at, value)| Step::Write(at, value)),
        1 => register().prop_map(Step::Read),
        1 => (0u64..64, value()).prop_map(|(at, value)| Step::Port(at, value)),
        8 => (0u64..0x800, address(), command).prop_map(|(n, address, rest)| Step::Descriptor(n, address, rest)),
        3 => prop::collection::vec(any::<u8>(), 0..3000).prop_map(Step::Frame),
        2 => (16usize..9000).prop_map(|n| Step::Frame(ipv4(MAC, 6, &noise(n)))),
        1 => (prop::sample::select(vec![0u64, 4, 0x10, 0x14, 0x3c]), value()).prop_map(|(at, v)| Step::Config(at, v)),
        1 => Just(Step::Reset),
    ]
}

fn run(d: &Driver, step: &Step) {
    match step {
        Step::Write(at, value) => {
            let value = match *at {
                // Within the rings' place even with the longest of them that are let through.
                RDBAL => RX_RING as u32 + (*value & 0xfff0),
                TDBAL => TX_RING as u32 + (*value & 0xfff0),
                at if at == RDBAL + LENGTH || at == TDBAL + LENGTH => *value & 0xffff,
                at if at == RDBAL + BASE_HIGH || at == TDBAL + BASE_HIGH => *value & 0xff00,
                // No way around these rules by the ports of BAR 1.
                _ => *value,
            };
            d.set(*at, value);
        }
        Step::Read(at) => drop(d.get(*at)),
        Step::Port(at, value) => {
            if *at == 0 && [RDBAL, TDBAL].iter().any(|ring| value.wrapping_sub(*ring) <= LENGTH + 3) {
                return;
            }
            d.ports.write(d.bar(1) + at, &value.to_le_bytes());
        }
        Step::Descriptor(n, address, rest) => {
            d.mem.write(RX_RING + 16 * n, &[address.to_le_bytes(), rest.to_le_bytes()].concat()).unwrap();
            d.mem.write(TX_RING + 16 * n, &[address.to_le_bytes(), rest.to_le_bytes()].concat()).unwrap();
        }
        Step::Frame(frame) => {
            let _ = d.peer.send(&[&[0; 12], &frame[..]].concat());
        }
        Step::Config(at, value) => d.config_write(*at, &value.to_le_bytes()),
        Step::Reset => d.card.reset().unwrap(),
    }
    let mut drain = [0; 16];
    while d.peer.recv(&mut drain).is_ok() {}
}

fn untouched(d: &Driver) -> bool {
    let same = |range: std::ops::Range<u64>| {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        d.mem.slice(range.start, bytes.len()).unwrap().copy_to(&mut bytes);
        bytes == vec![UNTOUCHED; bytes.len()]
    };
    [0..RINGS.start, RINGS.end..BUFFERS.start, BUFFERS.end..MEMORY].into_iter().all(same)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_driver_does(steps in prop::collection::vec(step(), 1..120)) {
        let mut d = Driver::new(Offloads(63));
        d.peer.set_nonblocking(true).unwrap();
        d.mem.slice(0, MEMORY as usize).unwrap().fill(UNTOUCHED);
        // Rings of old bytes would be full of addresses anywhere.
        d.mem.slice(RINGS.start, (RINGS.end - RINGS.start) as usize).unwrap().fill(0xff);
        d.start_transmit(32);
        d.start_receive(32, 31, rctl::LPE | rctl::UPE | rctl::MPE);
        steps.iter().for_each(|step| run(&d, step));
        d.card.reset().unwrap();
        prop_assert!(untouched(&d));
        // It is as good as new.
        d.peer.set_nonblocking(false).unwrap();
        d.config_write(0x10, &0xc000_0000u32.to_le_bytes());
        d.config_write(4, &7u16.to_le_bytes());
        d.start_transmit(8);
        d.send(&[7; 64], 0x0900_0000);
        while d.sent().1 != [7; 64] {}
    }

    #[test]
    fn segments_of_anything_stay_bounded(
        bytes in prop::collection::vec(any::<u8>(), 0..4000),
        context in any::<(u64, u64)>(),
        options in any::<u64>(),
    ) {
        let mut d = Driver::new(Offloads::NONE);
        d.peer.set_nonblocking(true).unwrap();
        d.start_transmit(8);
        d.post(context.0, context.1 & !(0xf << 20) | 1 << 29);
        // What does not fit the socket is lost, so the ring comes to its end whether it is read or not.
        d.send(&bytes, options & 0xffff_ff00_0000_0000 | 0x2d10_0000 | 1 << 26);
        prop_assert!(d.get(TPT) <= 2048);
    }
}
