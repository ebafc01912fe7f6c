use super::*;

fn memory() -> Memory {
    let memory = Memory::new(&[(0, 0x4000)], None).unwrap();
    memory.write(0x1000, b"abcdef").unwrap();
    memory
}

fn seen(b: &Breakpoints, m: &Memory, at: u64) -> [u8; 6] {
    let mut data = m.read(at).unwrap();
    b.hide(at, &mut data);
    data
}

fn watch(at: u64, len: u64) -> Request {
    Request { at, len, kind: Kind::Write }
}

#[test]
fn an_int3_is_invisible_and_goes_without_a_trace() {
    let (m, mut b) = (memory(), Breakpoints::default());
    assert!(b.patch(&m, 0xffff_0002, 0x1002) && b.patch(&m, 0xffff_0002, 0x1002));
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"ab\xccdef");
    for at in [0xffd, 0x1000, 0x1002] {
        let plain: [u8; 6] = memory().read(at).unwrap();
        assert_eq!(seen(&b, &m, at), plain);
    }
    // Another address of the same page.
    assert!(b.patch(&m, 0x8000_0002, 0x1002));
    assert!(b.unpatch(&m, 0xffff_0002));
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"ab\xccdef");
    assert!(b.unpatch(&m, 0x8000_0002) && !b.unpatch(&m, 0x8000_0002));
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"abcdef");
    assert!(!b.patch(&m, 0, 0x4000));
}

#[test]
fn writes_around_an_int3_are_kept_for_later() {
    let (m, mut b) = (memory(), Breakpoints::default());
    b.patch(&m, 0x1002, 0x1002);
    m.write(0x1000, b"ABCDEF").unwrap();
    b.written(&m, 0x1000, b"ABCDEF");
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"AB\xccDEF");
    assert_eq!(&seen(&b, &m, 0x1000), b"ABCDEF");
    b.clear(&m);
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"ABCDEF");
}

#[test]
fn what_the_guest_put_over_an_int3_stays() {
    let (m, mut b) = (memory(), Breakpoints::default());
    b.patch(&m, 0x1002, 0x1002);
    m.write(0x1002, b"!").unwrap();
    assert_eq!(&seen(&b, &m, 0x1000), b"ab!def");
    b.unpatch(&m, 0x1002);
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"ab!def");
}

#[test]
fn after_a_reset_they_are_there_again() {
    let (m, mut b) = (memory(), Breakpoints::default());
    b.patch(&m, 0x1002, 0x1002);
    b.patch(&m, 0x9002, 0x1002);
    m.clear().unwrap();
    m.write(0x1000, b"ABCDEF").unwrap();
    b.again(&m);
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"AB\xccDEF");
    b.clear(&m);
    assert_eq!(&m.read::<6>(0x1000).unwrap(), b"ABCDEF");
}

#[test]
fn a_client_cannot_set_them_without_end() {
    let memory = Memory::new(&[(0, 0x10_0000)], None).unwrap();
    let mut b = Breakpoints::default();
    let set = (0..10_000).filter(|at| b.patch(&memory, *at, *at)).count();
    assert_eq!(set, MOST);
}

#[test]
fn debug_registers_are_shared_out_and_given_back() {
    let mut b = Breakpoints::default();
    // 5..16: 1 + 2 + 8 bytes.
    assert!(b.take(watch(5, 11)));
    let points: Vec<_> = b.stops(false).points.iter().flatten().map(|p| (p.at, p.len)).collect();
    assert_eq!(points, [(5, 1), (6, 2), (8, 8)]);
    let hardware = Request { at: 0xfff1, len: 1, kind: Kind::Execute };
    assert!(!b.take(watch(0x101, 2)) && b.take(hardware) && b.take(hardware) && !b.take(watch(0x200, 1)));
    let trap = |dr6| Trap { exception: 1, pc: 0xfff1, dr6 };
    assert_eq!(b.hit(&trap(0b100)), Some(Hit::Watch(watch(5, 11))));
    assert_eq!(b.hit(&trap(0b1000)), Some(Hit::Hardware));
    assert_eq!(b.hit(&trap(1 << 14)), None);
    assert!(b.give(watch(5, 11)) && !b.give(watch(5, 11)) && b.take(watch(0, 24)));
    for (at, len) in [(0, 0), (0, 33), (0, u64::MAX), (u64::MAX, 2), (1, 100)] {
        assert!(!Breakpoints::default().take(watch(at, len)), "{at:#x}+{len:#x}");
    }
}

#[test]
fn only_our_own_int3s_are_hits() {
    let (m, mut b) = (memory(), Breakpoints::default());
    b.patch(&m, 0x1002, 0x1002);
    let trap = |pc| Trap { exception: 3, pc, dr6: 0 };
    assert_eq!((b.hit(&trap(0x1002)), b.hit(&trap(0x1003))), (Some(Hit::Software), None));
    assert!(b.stops(false).software);
    b.clear(&m);
    assert_eq!((b.hit(&trap(0x1002)), b.stops(true)), (None, Stops { step: true, ..Default::default() }));
}
