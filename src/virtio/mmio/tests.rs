use super::*;
use crate::virtio::guest::*;
use crate::virtio::toy::Toy;

const BASE: u64 = 0xf000_0000;

fn guest() -> Guest {
    Guest::with(Box::new(Toy::new()), Over::Mmio)
}

#[test]
fn a_register_is_four_bytes() {
    let g = guest();
    assert_eq!(g.read::<4>(BASE), *b"virt");
    assert_eq!(
        (g.read::<1>(BASE), g.read::<2>(BASE), g.read::<8>(BASE), g.read::<4>(BASE + 2)),
        ([0], [0; 2], [0; 8], [0; 4])
    );
    g.bus.write(BASE + 0x70, &[1]);
    g.bus.write(BASE + 0x70, &[1, 0]);
    g.bus.write(BASE + 0x70, &[1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(g.status(), 0);
    g.set_status(ACKNOWLEDGE);
    g.w32(BASE + 0x70, 0x100);
    assert_eq!(g.status(), ACKNOWLEDGE, "not a reset");
}

#[test]
fn what_is_not_there_reads_as_the_specification_says() {
    let g = guest();
    g.w32(BASE + 0xac, 0);
    assert_eq!([0xb0, 0xb4, 0xb8, 0xbc].map(|at| g.r32(BASE + at)), [u32::MAX; 4], "no shared memory");
    g.w32(BASE + 0x30, 0x1_0000);
    assert_eq!([0x34, 0x44].map(|at| g.r32(BASE + at)), [0; 2], "no such queue, nor its like modulo 65536");
    g.w32(BASE + 0x14, 2);
    assert_eq!((g.r32(BASE + 0x10), g.r32(BASE + 0x20), g.r32(BASE + 8)), (0, 0, 4));
}

#[test]
fn the_configuration_space_takes_any_width() {
    let g = guest();
    assert_eq!(g.read::<8>(BASE + 0x100), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((g.read::<2>(BASE + 0x103), g.read::<4>(BASE + 0x106)), ([4, 5], [7, 8, 0, 0]));
    g.config_write(1, &[0xb, 0xc]);
    g.config_write(7, &[1, 1]);
    assert_eq!(g.read::<8>(BASE + 0x100), [1, 0xb, 0xc, 4, 5, 6, 7, 8]);
}

#[test]
fn the_generation_changes_when_the_device_changes_its_configuration() {
    let mut toy = Toy::new();
    toy.on_queue = Box::new(|io| {
        io.config.update(0, &[9]);
        Ok(())
    });
    let mut g = Guest::with(Box::new(toy), Over::Mmio);
    let before = g.r32(BASE + 0xfc);
    g.boot();
    g.until("the driver is told", Guest::told);
    g.config_write(3, &[4]);
    assert_ne!(g.r32(BASE + 0xfc), before);
    assert_eq!(g.read::<1>(BASE + 0x100), [9]);
    g.set_status(0);
    assert_eq!(g.read::<8>(BASE + 0x100), [1, 2, 3, 4, 5, 6, 7, 8], "as new after a reset");
}

#[test]
fn every_notification_makes_an_edge_and_the_line_falls_when_all_is_acknowledged() {
    let line = Arc::new(crate::pci::fakes::Level::default());
    let i = Interrupts { line: line.clone(), status: Lock::new(0) };
    i.used(0);
    i.used(1);
    i.config_changed();
    assert_eq!((line.rises(), line.up(), *i.status.lock()), (3, true, 3));
    i.acknowledge(1);
    assert_eq!((line.rises(), line.up(), *i.status.lock()), (4, true, 2), "what is left comes again");
    i.acknowledge(1);
    assert_eq!(line.rises(), 4);
    i.acknowledge(u32::MAX);
    assert!(!line.up());
    i.used(0);
    Signals::reset(&i);
    assert_eq!((line.up(), *i.status.lock()), (false, 0));
}

#[test]
fn doorbells_are_told_apart_by_value() {
    let mut g = guest();
    g.boot();
    assert_eq!(g.doors.attached(), [0, 1].map(|queue| Door::Word(BASE + 0x50, queue)));
    g.kick(7);
    g.w32(BASE + 0x50, u32::MAX);
    assert_eq!(g.status() & NEEDS_RESET, 0);
}
