use super::*;
use crate::bus::Door;
use crate::virtio::guest::*;
use crate::virtio::toy::{Calls, Toy};
use proptest::prelude::*;

fn toy() -> (Toy, Calls) {
    let mut toy = Toy::new();
    toy.id = 2;
    toy.queues = vec![LEGACY_SIZE; 2];
    toy.on_queue = Box::new(|io| io.queues.iter_mut().try_for_each(|q| q.serve(|_| Ok(0))));
    let calls = toy.calls.clone();
    (toy, calls)
}

fn guest(over: Over) -> Guest {
    Guest::with(Box::new(toy().0), over)
}

fn put(g: &Guest, register: u64, data: &[u8]) {
    g.io.write(g.legacy + register, data);
}

#[test]
fn it_says_what_it_is() {
    for (id, device) in [(1, 0x1000), (2, 0x1001)] {
        let mut toy = toy().0;
        toy.id = id;
        let g = Guest::with(Box::new(toy), Over::Legacy);
        assert_eq!((g.r16(Guest::pci(2)), g.read::<1>(Guest::pci(8))), (device, [0]));
        assert_eq!((g.r16(Guest::pci(0x2c)), g.r16(Guest::pci(0x2e))), (0x1af4, id as u16));
        assert_eq!((g.r32(Guest::pci(0x10)), g.r32(Guest::pci(0x20))), (0xc001, 0xc000_0000));
        assert_eq!(g.r16(Guest::pci(4)) & 3, 3, "both are decoded");
    }
}

#[test]
fn the_configuration_moves_when_msix_is_enabled() {
    let g = guest(Over::Legacy);
    assert_eq!((g.port::<4>(20), g.port::<4>(24)), ([1, 2, 3, 4], [5, 6, 7, 8]));
    let g = guest(Over::LegacyMsix);
    assert_eq!((g.port::<4>(20), g.port::<4>(24)), ([0xff; 4], [1, 2, 3, 4]));
    for (vector, got) in [(0u16, 0u16), (2, 2), (3, 0xffff)] {
        for register in [20, 22] {
            put(&g, register, &vector.to_le_bytes());
            assert_eq!(g.port::<2>(register), got.to_le_bytes());
        }
    }
}

#[test]
fn registers_are_where_the_specification_has_them() {
    let mut g = guest(Over::Legacy);
    assert_eq!(g.port::<4>(0), (0b101u32 | 0b111 << 27).to_le_bytes());
    put(&g, 4, &0xffff_ffffu32.to_le_bytes());
    assert_eq!(g.port::<4>(4), g.port::<4>(0), "what was not offered is left out");
    put(&g, 14, &[1, 0]);
    put(&g, 8, &[0x34, 0x12, 0, 0]);
    assert_eq!((g.port::<2>(12), g.port::<2>(14), g.port::<4>(8)), ([0, 1], [1, 0], [0x34, 0x12, 0, 0]));
    put(&g, 14, &[2, 0]);
    assert_eq!((g.port::<2>(12), g.port::<4>(8)), ([0, 0], [0; 4]), "there is no third queue");
    put(&g, 8, &[1, 0, 0, 0]);
    put(&g, 14, &[0, 0]);
    assert_eq!(g.port::<4>(8), [0; 4]);
    // Each takes its own width only.
    for (register, wrong) in [(4, 2), (8, 2), (14, 1), (14, 4), (18, 2), (18, 4)] {
        let before = g.port::<20>(0);
        put(&g, register, &[3; 4][..wrong]);
        assert_eq!(g.port::<20>(0), before, "{wrong} bytes at {register}");
    }
    g.boot();
    g.send(0, &[(DATA, 4, true)]);
    g.until("it is answered", |g| g.line.up());
    assert_eq!(g.port::<4>(16)[3], 1, "the ISR status is also read in a wider access");
    assert!(!g.line.up());
}

#[test]
fn a_queue_lies_in_one_block_of_pages() {
    for over in LEGACY {
        let mut g = guest(over);
        g.boot();
        assert_eq!(g.status(), over.running());
        assert_eq!(g.port::<4>(8), [0x18, 0, 0, 0], "the page of the second queue, which is selected");
        for queue in [0, 1] {
            g.send(queue, &[(DATA, 4, true)]);
            g.until("it is answered", |g| g.used(queue) == 1);
        }
        let base = g.legacy + QUEUE_NOTIFY;
        assert_eq!(g.doors.attached(), [Door::Port(base, 0), Door::Port(base, 1)]);
        // The doorbells follow the ports.
        g.w32(Guest::pci(0x10), 0xd000);
        assert_eq!(g.doors.attached(), [Door::Port(0xd010, 0), Door::Port(0xd010, 1)]);
        g.w32(Guest::pci(0x10), 0xc000);
        g.set_status(0);
        assert_eq!((g.doors.attached().len(), g.port::<4>(8)), (0, [0; 4]));
    }
}

#[test]
fn a_driver_may_be_early() {
    for over in LEGACY {
        let (toy, calls) = toy();
        let mut g = Guest::with(Box::new(toy), over);
        g.negotiate(0b101);
        g.set_up_queues(LEGACY_SIZE);
        g.send(1, &[(DATA, 4, true)]);
        g.until("it is answered before DRIVER_OK", |g| g.used(1) == 1);
        assert_eq!(g.status(), ACKNOWLEDGE | DRIVER);
        g.set_status(ACKNOWLEDGE | DRIVER | DRIVER_OK);
        g.send(0, &[(DATA, 4, true)]);
        g.until("it goes on", |g| g.used(0) == 1);
        put(&g, 4, &[0; 4]);
        assert_eq!(g.port::<4>(4)[0], 0b101, "features stay as they were");
        g.set_status(0);
        assert_eq!(calls.lock().iter().filter(|c| c.starts_with("start")).count(), 1);
        // Not before it even said hello, nor after it gave up.
        g.set_up_queues(LEGACY_SIZE);
        g.send(0, &[(DATA, 4, true)]);
        g.set_status(ACKNOWLEDGE | DRIVER);
        g.set_status(128);
        g.kick(0);
        assert_eq!(calls.lock().iter().filter(|c| c.starts_with("start")).count(), 1);
    }
}

#[test]
fn a_queue_that_is_taken_back_is_left_alone() {
    let (toy, calls) = toy();
    let mut g = Guest::with(Box::new(toy), Over::Legacy);
    g.boot();
    put(&g, 8, &[0; 4]);
    assert_eq!(calls.lock().last().unwrap(), "reset");
    assert_eq!(g.status(), 0);
    assert!(g.doors.attached().is_empty());
}

#[test]
fn both_interfaces_lead_to_one_device() {
    let mut modern = guest(Over::Pci);
    modern.boot();
    assert!(matches!(modern.doors.attached()[0], Door::Memory(_)));
    modern.legacy = 0xc000;
    assert_eq!(modern.port::<1>(18), [modern.status()]);
    modern.set_status(0);
    assert_eq!(modern.port::<1>(18), [0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    /// Accesses of any width to ports and BAR of a device that both interfaces drive at once; a reset brings all back.
    #[test]
    fn wild_accesses_are_harmless(
        accesses in proptest::collection::vec((any::<bool>(), 0u64..0x30, 1usize..9, any::<u64>(), 0..4u8), 1..150),
    ) {
        let mut g = guest(Over::LegacyMsix);
        g.boot();
        for (write, at, len, value, how) in accesses {
            // Pages in memory, mostly.
            let value = if how == 1 { value & 0x7ff } else { value };
            let mut data = value.to_le_bytes();
            let data = &mut data[..len];
            match (how, write) {
                (3, true) => g.bus.write(0xc000_0000 + at, data),
                (3, false) => g.bus.read(0xc000_0000 + at, data),
                (_, true) => g.io.write(0xc000 + at, data),
                (_, false) => g.io.read(0xc000 + at, data),
            }
        }
        g.part.reset().unwrap();
        g.discover_again();
        g.boot();
        g.send(0, &[(DATA, 4, true)]);
        g.until("it is answered", |g| g.used(0) == 1);
    }
}
