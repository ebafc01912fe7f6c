//! What a driver finds before any frame: PCI, EEPROM, transceiver, interrupts, the ways to the registers, resets.

use super::super::names::*;
use super::MAC;
use super::driver::*;
use crate::host::link::Offloads;
use crate::part::Part;

fn card() -> Driver {
    Driver::new(Offloads::NONE)
}

#[test]
fn pci_finds_an_82540em() {
    let d = card();
    assert_eq!(d.config(0), [0x86, 0x80, 0x0e, 0x10]);
    assert_eq!(d.config(8), [2, 0, 0, 2], "an Ethernet controller");
    assert_eq!(d.config::<2>(0x3c), [11, 1], "INTA");
    for (bar, size) in [(0u64, 0xfffe_0000u32), (1, 0xffff_ffc1)] {
        let before = d.config::<4>(0x10 + 4 * bar);
        d.config_write(0x10 + 4 * bar, &[0xff; 4]);
        assert_eq!(u32::from_le_bytes(d.config(0x10 + 4 * bar)), size);
        d.config_write(0x10 + 4 * bar, &before);
    }
    assert_eq!(d.get(STATUS) & 0xff, status::FD | status::LU | status::SPEED_1000);
}

/// As a driver does it: 0b110 and six bits of address, then sixteen clocks.
fn microwire(d: &Driver, word: u32) -> u16 {
    let eecd = |bits: u32| d.set(EECD, 0x40 | bits);
    let clock = |bit: u32| {
        eecd(2 | bit << 2);
        eecd(3 | bit << 2);
        eecd(2 | bit << 2);
    };
    eecd(0);
    assert_ne!(d.get(EECD) & 0x80, 0, "granted");
    eecd(2);
    let command = 0b110 << 6 | word;
    (0..9).rev().for_each(|n| clock(command >> n & 1));
    assert_eq!(d.get(EECD) & 8, 0, "the zero in front");
    let mut value = 0;
    for _ in 0..16 {
        eecd(3);
        value = value << 1 | (d.get(EECD) >> 3 & 1) as u16;
        eecd(2);
    }
    eecd(0);
    value
}

#[test]
fn the_eeprom_has_the_address_and_adds_up() {
    let d = card();
    let eerd = |word: u32| {
        d.set(EERD, word << 8 | 1);
        let value = d.get(EERD);
        assert_eq!(value & 0xffff, word << 8 | 0x10, "done");
        (value >> 16) as u16
    };
    let words: Vec<u16> = (0..64).map(eerd).collect();
    assert_eq!(words.iter().fold(0u16, |sum, word| sum.wrapping_add(*word)), 0xbaba);
    let bytes: Vec<u8> = words[..3].iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(bytes, MAC);
    assert_eq!((0..64).map(|n| microwire(&d, n)).collect::<Vec<_>>(), words);
    assert_eq!(d.get(RAL), u32::from_le_bytes([0x02, 1, 2, 3]));
    assert_eq!(d.get(RAH), 0x8000_0504);
}

fn phy(d: &Driver, register: u32) -> u32 {
    d.set(MDIC, 2 << 26 | 1 << 21 | register << 16);
    let value = d.get(MDIC);
    assert_eq!(value >> 28 & 7, 1, "ready, without an error");
    value & 0xffff
}

#[test]
fn the_phy_has_negotiated() {
    let d = card();
    assert_eq!((phy(&d, 2), phy(&d, 3)), (0x0141, 0x0c20));
    assert_eq!(phy(&d, 1) & 0x24, 0x24, "negotiated, link");
    assert_eq!(phy(&d, 17) & 0xe400, 0xa400, "1000 Mb/s, full duplex, link");
    assert_eq!(d.get(ICR), 0);
    d.set(MDIC, 1 << 26 | 1 << 21 | 0x1340);
    assert_eq!(d.get(ICR), cause::LSC, "negotiated anew");
    assert_eq!(phy(&d, 0), 0x1140, "the restart bit is clear again");
    d.set(MDIC, 1 << 26 | 1 << 21 | 4 << 16 | 0x0de1);
    assert_eq!(phy(&d, 4), 0x0de1);
    d.set(MDIC, 1 << 26 | 1 << 21 | 2 << 16 | 0xffff);
    assert_eq!(phy(&d, 2), 0x0141, "read-only");
    d.set(MDIC, 2 << 26 | 2 << 21 | 1 << 29);
    assert_ne!(d.get(MDIC) & 1 << 30, 0, "nobody is at address 2");
    assert_eq!(d.get(ICR), cause::MDAC);
}

#[test]
fn causes_that_are_let_through_hold_the_line() {
    let d = card();
    d.set(ICS, cause::LSC);
    assert!(!d.line.up());
    d.set(IMS, cause::LSC | cause::RXT0);
    assert!(d.line.up());
    assert_ne!(d.config::<2>(6)[0] & 8, 0, "STATUS says so");
    d.set(IMC, cause::LSC);
    assert!(!d.line.up());
    assert_eq!(d.get(IMS), cause::RXT0);
    d.set(IMS, cause::LSC);
    assert!(d.line.up());
    d.config_write(4, &0x407u16.to_le_bytes());
    assert!(!d.line.up(), "INTx is disabled");
    d.config_write(4, &7u16.to_le_bytes());
    assert!(d.line.up());
    d.set(ICR, cause::LSC);
    assert!(!d.line.up(), "a one clears");
    d.set(ICS, cause::RXT0 | cause::TXDW);
    assert_eq!(d.get(ICR), cause::RXT0 | cause::TXDW);
    assert!(!d.line.up(), "reading clears");
    assert_eq!(d.get(ICR), 0);
    assert_eq!(d.config::<2>(6)[0] & 8, 0);
}

#[test]
fn both_bars_lead_to_the_registers() {
    let d = card();
    let port = d.bar(1);
    let io = |at: u64, value: u32| d.ports.write(port + at, &value.to_le_bytes());
    io(0, TIPG);
    io(4, 0x1234_5678);
    assert_eq!(d.get(TIPG), 0x1234_5678);
    let mut word = [0; 4];
    d.ports.read(port + 4, &mut word);
    assert_eq!(u32::from_le_bytes(word), 0x1234_5678);
    d.ports.read(port, &mut word);
    assert_eq!(u32::from_le_bytes(word), TIPG);
    io(0, CTRL);
    io(4, ctrl::RST | ctrl::SLU);
    assert_eq!(d.get(TIPG), 0x0060_2008, "as after power-on");
    assert_eq!(d.get(CTRL) & ctrl::RST, 0);
}

#[test]
fn parts_of_words_are_read_and_not_written() {
    let d = card();
    d.set(TIPG, 0x1122_3344);
    let mut byte = [0];
    d.bus.read(d.bar(0) + u64::from(TIPG) + 1, &mut byte);
    assert_eq!(byte, [0x33]);
    d.bus.write(d.bar(0) + u64::from(TIPG), &[0xff]);
    d.bus.write(d.bar(0) + u64::from(TIPG) + 2, &[0xff; 4]);
    assert_eq!(d.get(TIPG), 0x1122_3344);
    d.bus.write(d.bar(0) + u64::from(RAL), &[1, 2, 3, 4, 5, 6, 0, 0x80]);
    assert_eq!((d.get(RAL), d.get(RAH)), (0x0403_0201, 0x8000_0605));
    let mut two = [0; 8];
    d.bus.read(d.bar(0) + u64::from(RAL), &mut two);
    assert_eq!(two, [1, 2, 3, 4, 5, 6, 0, 0x80]);
    for nothing in [0xfffc, 0x1_0000, 0x1_fffc, 0x5900, 0x4100] {
        d.set(nothing, u32::MAX);
        assert_eq!(d.get(nothing), 0, "{nothing:#x}");
    }
}

#[test]
fn the_link_follows_set_link_up_and_the_cable() {
    let mut d = card();
    d.set(CTRL, ctrl::FD);
    assert_eq!((d.get(STATUS) & status::LU, d.get(ICR)), (0, cause::LSC));
    d.set(CTRL, ctrl::FD | ctrl::SLU);
    assert_eq!((d.get(STATUS) & status::LU, d.get(ICR)), (status::LU, cause::LSC));
    d.start_receive(8, 7, 0);
    d.peer.send(&[]).unwrap();
    eventually(|| d.get(STATUS) & status::LU == 0);
    assert_eq!(d.get(ICR) & cause::LSC, cause::LSC);
    assert_eq!(phy(&d, 1) & 0x24, 0);
}

#[test]
fn the_machines_reset_is_power_on() {
    let mut d = card();
    d.start_receive(8, 7, 0);
    d.start_transmit(8);
    d.set(IMS, u32::MAX);
    d.set(ICS, cause::LSC);
    assert!(d.line.up());
    d.card.reset().unwrap();
    assert!(!d.line.up());
    assert_eq!(d.config::<2>(4), [3, 0], "memory and ports, as firmware leaves it");
    assert_eq!((d.get(RCTL), d.get(TCTL), d.get(IMS), d.get(RDBAL)), (0, 0, 0, 0));
    assert_eq!(d.get(RAH), 0x8000_0504);
    // And it works again.
    d.config_write(4, &7u16.to_le_bytes());
    d.start_transmit(8);
    d.send(&[7; 64], 0x0900_0000);
    assert_eq!(d.sent().1, [7; 64]);
}
