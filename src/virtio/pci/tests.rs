use super::*;
use crate::virtio::guest::*;
use crate::virtio::toy::Toy;
use proptest::prelude::*;

const BASE: u64 = 0xc000_0000;

fn guest(over: Over) -> Guest {
    Guest::with(Box::new(Toy::new()), over)
}

fn pci(register: u64) -> u64 {
    Guest::pci(register)
}

/// Offset of the capability with this ID and (for vendor capabilities) type.
fn capability(g: &Guest, id: u8, kind: u8) -> u64 {
    let mut at = u64::from(g.read::<1>(pci(0x34))[0]);
    while at != 0 {
        let [this, next, _, of] = g.read::<4>(pci(at));
        if this == id && (id != 9 || of == kind) {
            return pci(at);
        }
        at = u64::from(next);
    }
    panic!("no capability {id:#x}");
}

#[test]
fn it_says_what_it_is() {
    let g = guest(Over::Pci);
    assert_eq!(g.read::<8>(pci(8)), [1, 0, 0xff, 0, 0, 0, 0, 0], "revision 1");
    assert_eq!((g.r32(pci(0)), g.r32(pci(0x2c))), (0x1044_1af4, 0x1044_1af4));
    assert_eq!((g.r32(pci(0x10)), g.read::<2>(pci(0x3c))), (BASE as u32, [0, 1]));
    assert_eq!((class(1), class(2)), (Class(2, 0, 0), Class(1, 0x80, 0)));
    assert_eq!(class(3), Class(7, 0x80, 0));
    assert_eq!(class(4), Class(0, 0xff, 0));
}

#[test]
fn without_configuration_there_is_no_structure_for_it() {
    let mut toy = Toy::new();
    toy.config = Vec::new();
    let g = Guest::with(Box::new(toy), Over::Pci);
    assert_eq!(g.config_len(), 0);
}

#[test]
fn too_many_queues_are_refused() {
    let mut toy = Toy::new();
    toy.queues = vec![2; MAX_QUEUES + 1];
    let (outbox, doors) = (Arc::new(crate::pci::fakes::Outbox::default()), Arc::default());
    let line = Arc::new(crate::pci::fakes::Level::default());
    let mem = Memory::new(&[(0, 0x1000)], None).unwrap();
    let doors: Arc<crate::pci::fakes::Doors> = doors;
    assert!(Function::new("x", Box::new(toy), &mem, outbox, doors, line).is_err());
}

#[test]
fn fields_take_their_own_width_and_no_other() {
    let g = guest(Over::Pci);
    for (at, wrong) in [(0x14, 2), (0x14, 4), (0x16, 1), (0x18, 4), (0x0c, 2), (0x20, 2), (0x10, 4)] {
        let before = g.read::<0x38>(BASE);
        g.bus.write(BASE + at, &[1; 8][..wrong]);
        assert_eq!(g.read::<0x38>(BASE), before, "{wrong} bytes at {at:#x}");
    }
    g.bus.write(BASE + 0x28, &0x1234_5678_9abc_def0u64.to_le_bytes());
    assert_eq!(g.read::<8>(BASE + 0x28), 0x1234_5678_9abc_def0u64.to_le_bytes());
    g.w16(BASE + 0x16, 1);
    assert_eq!((g.r16(BASE + 0x18), g.r16(BASE + 0x1e), g.r16(BASE + 0x12)), (16, 1, 2));
    assert_eq!(g.read::<8>(BASE + 0x28), [0; 8], "each queue has its own");
    g.w16(BASE + 0x16, 2);
    assert_eq!((g.r16(BASE + 0x18), g.r16(BASE + 0x1a)), (0, 0xffff), "no such queue");
}

#[test]
fn vectors_that_do_not_exist_are_refused() {
    let g = guest(Over::Pci);
    for (vector, got) in [(0, 0), (2, 2), (3, 0xffff), (1, 1), (0xffff, 0xffff)] {
        for register in [0x10, 0x1a] {
            g.w16(BASE + register, vector);
            assert_eq!(g.r16(BASE + register), got);
        }
    }
}

#[test]
fn with_msix_each_queue_has_its_message() {
    let mut toy = Toy::new();
    toy.on_queue = Box::new(|io| io.queues.iter_mut().try_for_each(|q| q.serve(|_| Ok(0))));
    let mut g = Guest::with(Box::new(toy), Over::Pci);
    g.boot();
    g.send(1, &[(DATA, 4, true)]);
    g.until("it is answered", |g| g.outbox.sent() == [(0xfee0_0000, 0x41)]);
    assert!(!g.line.up());
    g.set_status(0);
    assert_eq!(g.r16(BASE + 0x10), 0xffff, "a reset forgets the vectors");
}

#[test]
fn without_msix_the_line_is_up_until_the_isr_is_read() {
    let mut toy = Toy::new();
    toy.on_queue = Box::new(|io| io.queues.iter_mut().try_for_each(|q| q.serve(|_| Ok(0))));
    let mut g = Guest::with(Box::new(toy), Over::Intx);
    g.boot();
    g.send(0, &[(DATA, 4, true)]);
    g.until("it is answered", |g| g.line.up());
    assert_eq!(g.r16(pci(6)) & 8, 8, "interrupt status");
    g.w16(pci(4), 2 | 1 << 10);
    assert!(!g.line.up(), "INTx is disabled");
    g.w16(pci(4), 2);
    assert!(g.line.up());
    assert_eq!(g.read::<4>(BASE + ISR), [1, 0, 0, 0]);
    assert_eq!((g.line.up(), g.r16(pci(6)) & 8, g.read::<1>(BASE + ISR)), (false, 0, [0]));
}

#[test]
fn the_window_in_configuration_space_reaches_the_bar() {
    let g = guest(Over::Pci);
    let cap = capability(&g, 9, 5);
    let point = |at: u64, len: u32| {
        g.w32(cap + 8, at as u32);
        g.w32(cap + 12, len);
    };
    // Memory is not even decoded.
    g.w16(pci(4), 0);
    point(DEVICE, 4);
    assert_eq!(g.read::<4>(cap + 16), [1, 2, 3, 4]);
    point(DEVICE + 5, 1);
    assert_eq!(g.read::<1>(cap + 16), [6]);
    g.w32(cap + 16, 0x77);
    assert_eq!(g.read::<1>(cap + 16), [0x77]);
    point(0x14, 1);
    g.bus.write(cap + 16, &[ACKNOWLEDGE]);
    for (at, len) in [(0x14, 3), (0x14, 0), (0x15, 2), (BAR_LEN, 4), (0xffff_fffc, 4), (0x14, 8)] {
        point(at, len);
        g.w32(cap + 16, 0);
    }
    g.w16(pci(4), 2);
    let before = g.read::<8>(BASE + DEVICE);
    point(DEVICE + 1, 3);
    g.w32(cap + 16, 0x5555_5555);
    assert_eq!(g.read::<8>(BASE + DEVICE), before, "three bytes are no access");
    g.bus.write(cap + 4, &[1]);
    point(0x14, 1);
    g.w32(cap + 16, 0);
    g.w16(pci(4), 2);
    assert_eq!(g.status(), ACKNOWLEDGE, "accesses that are not valid do nothing");
}

#[test]
fn doorbells_follow_the_bar() {
    let mut g = guest(Over::Pci);
    g.boot();
    let at = |base: u64| [Door::Memory(base + NOTIFY), Door::Memory(base + NOTIFY + 4)];
    assert_eq!(g.doors.attached(), at(BASE));
    g.w32(pci(0x10), 0xd000_0000);
    assert_eq!(g.doors.attached(), at(0xd000_0000));
    g.w16(pci(4), 0);
    assert!(g.doors.attached().is_empty());
    g.w16(pci(4), 2);
    assert_eq!(g.doors.attached(), at(0xd000_0000));
    assert_eq!(g.read::<1>(0xd000_0014)[0] & DRIVER_OK, DRIVER_OK);
    g.part.reset().unwrap();
    assert_eq!((g.r32(pci(0x10)), g.read::<1>(BASE + 0x14), g.doors.attached().len()), (BASE as u32, [0], 0));
    assert_eq!(g.read::<1>(0xd000_0014), [0xff]);
    assert_eq!((g.r16(capability(&g, 0x11, 0) + 2) & 0x8000, g.outbox.living()), (0, 0), "MSI-X is off");
}

#[test]
fn an_overlap_costs_the_guest_its_device_and_nothing_else() {
    let mut g = guest(Over::Pci);
    g.boot();
    // Over the ECAM window itself.
    g.w32(pci(0x10), 0xe000_0000);
    assert_eq!((g.r16(pci(0)), g.doors.attached().len()), (0x1af4, 0));
    g.w32(pci(0x10), BASE as u32);
    assert_eq!(g.status() & DRIVER_OK, DRIVER_OK);
}

#[test]
fn without_bus_mastering_it_stops() {
    for over in [Over::Pci, Over::Intx] {
        let toy = Toy::new();
        let calls = toy.calls.clone();
        let mut g = Guest::with(Box::new(toy), over);
        g.boot();
        g.w16(pci(4), 2 | 4);
        assert_eq!(g.status() & NEEDS_RESET, 0);
        g.w16(pci(4), 2);
        assert_eq!(calls.lock().last().unwrap(), "quiesce");
        assert_ne!(g.status() & NEEDS_RESET, 0);
        assert!(g.told() && g.doors.attached().is_empty());
        g.boot();
        g.config_write(0, &[1]);
        assert_eq!(g.status() & NEEDS_RESET, 0);
    }
}

#[test]
fn nothing_is_spent_before_the_driver_comes() {
    let toy = Toy::new();
    let calls = toy.calls.clone();
    let g = Guest::with(Box::new(toy), Over::Intx);
    assert_eq!((g.outbox.living(), g.doors.attached().len(), g.line.rises()), (0, 0, 0));
    assert!(calls.lock().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    /// Accesses of any width to any part of configuration space and BAR, while it runs: it stays what it is,
    /// and a power-on reset brings everything back.
    #[test]
    fn wild_accesses_are_harmless(
        accesses in proptest::collection::vec((any::<bool>(), 0u64..0x8100, 1usize..9, any::<u64>(), 0..4u8), 1..150),
    ) {
        let mut g = guest(Over::Pci);
        let ports = g.ports();
        let mut fresh = g.read::<256>(pci(0));
        // The harness has enabled MSI-X.
        fresh[0x43] &= 0x3f;
        g.boot();
        for (write, at, len, value, how) in accesses {
            let mut data = value.to_le_bytes();
            let data = &mut data[..len];
            let config = pci(at % 0x104);
            match (how, write) {
                (0, true) => g.bus.write(BASE + at, data),
                (0, false) => g.bus.read(BASE + at, data),
                (1, true) => g.bus.write(config, data),
                (1, false) => g.bus.read(config, data),
                (2, true) => ports.write(at % 8, data),
                (2, false) => ports.read(at % 8, data),
                _ => ports.write(0, &(0x8000_0800 | value as u32 & 0xfc).to_le_bytes()),
            }
            for at in [0, 4, 8, 0x2c, 0x34, 0x40] {
                let mask = if at == 4 { !0x0008_0407 } else { u32::MAX };
                let was = u32::from_le_bytes(fresh[at..at + 4].try_into().unwrap());
                let mask = if at == 0x40 { 0x3fff_ffff & mask } else { mask };
                prop_assert_eq!(g.r32(pci(at as u64)) & mask, was & mask, "{:#x}", at);
            }
        }
        g.part.reset().unwrap();
        let again = g.read::<256>(pci(0));
        prop_assert_eq!(&again[..], &fresh[..]);
        g.discover_again();
        g.boot();
        g.config_write(0, &[1]);
        prop_assert_eq!(g.status() & (NEEDS_RESET | DRIVER_OK), DRIVER_OK);
    }
}

/// Registers of four bytes each, which keep what is stored.
#[derive(Default)]
struct Cells(crate::sys::Lock<std::collections::BTreeMap<u64, Vec<u8>>>);

impl Mmio for Cells {
    fn read(&self, offset: u64, data: &mut [u8]) {
        self.0.lock().get(&offset).into_iter().for_each(|kept| data.copy_from_slice(&kept[..data.len()]));
    }

    fn write(&self, offset: u64, data: &[u8]) {
        self.0.lock().insert(offset, data.to_vec());
    }
}

#[test]
fn a_graphics_card_has_video_memory_and_registers_before_its_structures() {
    let (video, registers) = (Arc::new(Cells::default()), Arc::new(Cells::default()));
    let moved = Arc::new(Lock::new(Vec::new()));
    let notes = moved.clone();
    let graphics = Graphics {
        len: 16 << 20,
        video: video.clone(),
        registers: registers.clone(),
        moved: Box::new(move |at| notes.lock().push(at)),
    };
    let g = Guest::with_graphics(Box::new(Toy::new()), Over::Pci, Some(graphics));
    let at = |bar: u64| u64::from(g.r32(pci(0x10 + 4 * bar)) & !0xf);
    assert_eq!(g.read::<4>(pci(8)), [1, 0, 0, 3], "a VGA");
    assert_eq!((g.r32(pci(0x10)) & 0xf, g.r32(pci(0x18)) & 0xf), (8, 0), "prefetchable, and not");
    assert_eq!(g.read::<1>(pci(0x30)), [0], "no ROM");
    assert_eq!(moved.lock().as_slice(), [Some(at(0))]);

    g.bus.write(at(0) + 0x1234, &[1, 2]);
    g.bus.write(at(2) + 0x504, &[3, 4]);
    g.bus.write(at(2) + 0xffe, &[5, 6]);
    assert_eq!(g.read(at(0) + 0x1234), [1, 2]);
    assert_eq!(video.0.lock().len(), 1);
    assert_eq!(*registers.0.lock(), [(0x504, vec![3, 4]), (0xffe, vec![5, 6])].into());
    for (kind, offset) in [(1, 0x1000), (2, 0x4000), (3, 0x2000), (4, 0x3000)] {
        let place = capability(&g, 9, kind);
        assert_eq!((g.read(place + 4), g.r32(place + 8)), ([2], offset), "structure {kind}");
    }
    let msix = capability(&g, 0x11, 0);
    assert_eq!((g.r32(msix + 4), g.r32(msix + 8)), (0x5002, 0x6002));
    g.bus.write(at(2) + 0x1014, &[1]);
    assert_eq!((g.read(at(2) + 0x1014), g.r16(at(2) + 0x1018)), ([1], 64));

    g.bus.write(pci(0x10), &0xd800_0000u32.to_le_bytes());
    g.bus.write(pci(4), &[0, 0]);
    g.bus.write(pci(4), &[2, 0]);
    let places = [Some(0xc100_0000), Some(0xd800_0000), None, Some(0xd800_0000)];
    assert_eq!(moved.lock().as_slice(), places);
}
