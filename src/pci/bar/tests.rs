use super::*;
use crate::pci::{Class, Identity};
use std::sync::Arc;

/// Answers with its own name.
struct Named(u8);

impl Mmio for Named {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(self.0);
    }

    fn write(&self, _offset: u64, _data: &[u8]) {}
}

struct Board {
    bus: Arc<Bus>,
    ports: Arc<Bus>,
    addresses: Addresses,
}

struct Card {
    config: Config,
    bars: Bars,
    _targets: Vec<Arc<Named>>,
}

fn board() -> Board {
    let (low, high) = (0xc000_0000..0xc001_0000, 0x1_0000_0000..0x1_0010_0000);
    let addresses = Addresses::new(Windows { low, high, io: 0xc000..0xc100 });
    Board { bus: Arc::new(Bus::default()), ports: Arc::new(Bus::default()), addresses }
}

impl Board {
    /// A function with BARs (index, size, width) named after `name`, decoding switched on.
    fn card(&self, name: u8, list: &[(u16, u64, Width)]) -> Card {
        let identity =
            Identity { vendor: 1, device: 1, revision: 0, class: Class(0, 0xff, 0), subsystem_vendor: 0, subsystem: 0 };
        let mut card = Card { config: Config::new(&identity), bars: Bars::default(), _targets: Vec::new() };
        let socket = Socket { bus: &self.bus, ports: &self.ports, addresses: &self.addresses, interrupt: 0 };
        for (i, bar) in list.iter().enumerate() {
            let target = Arc::new(Named(name + i as u8));
            let weak: Weak<Named> = Arc::downgrade(&target);
            card.bars.add(&mut card.config, &socket, *bar, weak).unwrap();
            card._targets.push(target);
        }
        card.set(4, 3);
        card
    }

    fn port(&self, port: u64) -> u8 {
        let mut byte = [0];
        self.ports.read(port, &mut byte);
        byte[0]
    }

    fn at(&self, addr: u64) -> u8 {
        let mut byte = [0];
        self.bus.read(addr, &mut byte);
        byte[0]
    }
}

impl Card {
    fn set(&mut self, register: u16, value: u32) -> bool {
        self.config.write(register, &value.to_le_bytes());
        self.bars.decode(&self.config)
    }
}

#[test]
fn kiln_assigns_aligned_addresses_that_do_not_overlap() {
    let b = board();
    let one = b.card(10, &[(0, 0x1000, Width::Bits32), (2, 0x4000, Width::Bits64)]);
    let two = b.card(20, &[(0, 0x4000, Width::Bits32)]);
    assert_eq!((one.bars.mapped(0), one.bars.mapped(2)), (Some(0xc000_0000), Some(0x1_0000_0000)));
    assert_eq!(two.bars.mapped(0), Some(0xc000_4000));
    assert_eq!([0xc000_0fff, 0xc000_1000, 0xc000_4000, 0x1_0000_3fff].map(|at| b.at(at)), [10, 0xff, 20, 11]);
    assert_eq!((one.config.u32(0x10), one.config.u32(0x18), one.config.u32(0x1c)), (0xc000_0000, 0xc, 1));
    let next = [(); 2].map(|()| b.addresses.take(0x2000, Width::Bits32).unwrap());
    assert_eq!(next, [0xc000_8000, 0xc000_a000]);
    let full = b.addresses.take(0x1_0000, Width::Bits32).unwrap_err();
    assert_eq!(format!("{full:#}"), "no addresses are left for a BAR of 0x10000 bytes");
}

#[test]
fn all_ones_read_back_as_the_size() {
    let b = board();
    let mut card = b.card(10, &[(0, 0x1000, Width::Bits32), (2, 0x4000, Width::Bits64)]);
    card.set(4, 0);
    let mut size = |register| {
        card.set(register, u32::MAX);
        card.config.u32(register)
    };
    assert_eq!([0x10, 0x14, 0x18, 0x1c, 0x20].map(&mut size), [0xffff_f000, 0, 0xffff_c00c, u32::MAX, 0]);
    assert_eq!(b.at(0xc000_0000), 0xff, "nothing is decoded");
}

#[test]
fn the_bus_follows_the_registers() {
    let b = board();
    let mut card = b.card(10, &[(0, 0x1000, Width::Bits32)]);
    assert!(!card.set(0x3c, 5), "nothing moved");
    assert!(card.set(0x10, 0xd000_0000));
    assert_eq!((b.at(0xc000_0000), b.at(0xd000_0fff)), (0xff, 10));
    assert!(card.set(4, 0));
    assert_eq!((card.bars.mapped(0), b.at(0xd000_0000)), (None, 0xff));
    assert!(card.set(4, 2));
    assert_eq!(b.at(0xd000_0000), 10);
    drop(card);
    assert_eq!(b.at(0xd000_0000), 0xff);
}

#[test]
fn an_overlap_is_not_decoded_until_it_is_gone() {
    let b = board();
    let mut one = b.card(10, &[(0, 0x1000, Width::Bits32)]);
    let mut two = b.card(20, &[(0, 0x4000, Width::Bits32)]);
    for wrong in [0xc000_0000, 0xbfff_f000] {
        two.set(0x10, wrong);
        assert!(two.bars.mapped(0).is_none() || wrong != 0xc000_0000);
    }
    two.set(0x10, 0xc000_0000);
    assert_eq!((b.at(0xc000_0000), b.at(0xc000_1000), two.bars.mapped(0)), (10, 0xff, None));
    one.set(0x10, 0xd000_0000);
    assert!(two.bars.decode(&two.config));
    assert_eq!((b.at(0xd000_0000), b.at(0xc000_0000), b.at(0xc000_3fff)), (10, 20, 20));
}

#[test]
fn wild_addresses_are_harmless() {
    let b = board();
    let mut card = b.card(10, &[(0, 0x1000, Width::Bits32), (2, 0x4000, Width::Bits64), (4, 0x4000, Width::Bits64)]);
    for register in [0x10, 0x18, 0x1c, 0x20, 0x24] {
        for value in [0, 1, 0x10, u32::MAX, 0xffff_c000, 0x8000_0000] {
            card.set(register, value);
        }
    }
    // Two of the same function at the same place, and then changing places.
    for (register, value) in
        [(0x10, 0), (0x18, 0x8000_0000), (0x20, 0x8000_0000), (0x1c, 0), (0x24, 0), (0x18, 0x9000_0000)]
    {
        card.set(register, value);
    }
    assert_eq!((b.at(0x9000_0000), b.at(0x8000_0000)), (11, 12));
}

#[test]
fn ports_are_a_space_of_their_own() {
    let b = board();
    let mut card = b.card(10, &[(0, 0x40, Width::Io), (1, 0x1000, Width::Bits32), (4, 0x10, Width::Io)]);
    assert_eq!([0, 1, 4].map(|bar| card.bars.mapped(bar)), [Some(0xc000), Some(0xc000_0000), Some(0xc040)]);
    assert_eq!(card.config.u32(0x10), 0xc001, "bit 0 says what it is");
    assert_eq!([0xbfff, 0xc03f, 0xc040, 0xc050].map(|at| b.port(at)), [0xff, 10, 12, 0xff]);
    assert_eq!((b.at(0xc000), b.at(0xc000_0000)), (0xff, 11));
    // Each space has its own switch.
    card.set(4, 2);
    assert_eq!((b.port(0xc000), b.at(0xc000_0000)), (0xff, 11));
    card.set(4, 1);
    assert_eq!((b.port(0xc000), b.at(0xc000_0000)), (10, 0xff));
    card.set(0x10, u32::MAX);
    assert_eq!((card.config.u32(0x10), card.bars.mapped(0)), (0xffff_ffc1, None), "its size; there are 64 Ki ports");
    for wrong in [0x1_0000, 0xc040, 0] {
        card.set(0x10, wrong);
        assert_eq!((card.bars.mapped(0), b.port(0xc040)), (None, 12), "{wrong:#x}");
    }
    card.set(0x10, 0xffff);
    assert_eq!((card.bars.mapped(0), b.port(0xffff)), (Some(0xffc0), 10));
    drop(card);
    assert_eq!((b.port(0xffff), b.port(0xc040)), (0xff, 0xff));
    let full = b.addresses.take(0x100, Width::Io).unwrap_err();
    assert_eq!(format!("{full:#}"), "no addresses are left for a BAR of 0x100 bytes");
}
