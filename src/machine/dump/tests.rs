use super::*;

#[test]
fn low_memory_is_a_segment_of_its_own() {
    let ranges = |start, end| split(start, end).map(|r| (r.start, r.end)).collect::<Vec<_>>();
    assert_eq!(ranges(0, 0x100_0000), [(0, LOW), (LOW, 0x100_0000)]);
    assert_eq!(ranges(0x1_0000_0000, 0x1_4000_0000), [(0x1_0000_0000, 0x1_4000_0000)]);
    assert_eq!(ranges(0, 0x8_0000), [(0, 0x8_0000)]);
}

/// Lengths and places that readers rely on; the whole file is read by readelf in tests/dump.rs.
#[test]
fn notes_have_the_size_their_readers_expect() {
    let mut cpu = Registers { kernel_gs_base: 0x77, ..Default::default() };
    (cpu.regs.rip, cpu.regs.r15, cpu.sregs.gs.base, cpu.sregs.cr3) = (0x1111, 0x2222, 0x3333, 0x4444);
    let notes = notes::encode(&[cpu, cpu], Some(b"OSRELEASE=1\n"));
    let word = |at: usize| u32::from_le_bytes(notes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(notes[at..at + 8].try_into().unwrap());
    let prstatus = 12 + 8 + 336;
    assert_eq!([word(0), word(4), word(8)], [5, 336, 1]);
    assert_eq!((word(20 + 32), word(prstatus + 20 + 32)), (1, 2));
    assert_eq!((long(20 + 112), long(20 + 112 + 16 * 8), long(20 + 112 + 22 * 8)), (0x2222, 0x1111, 0x3333));
    let qemu = 2 * prstatus;
    assert_eq!([word(qemu), word(qemu + 4), word(qemu + 8)], [5, 440, 0]);
    assert_eq!(
        (long(qemu + 20 + 8 + 16 * 8), long(qemu + 20 + 440 - 24), long(qemu + 20 + 432)),
        (0x1111, 0x4444, 0x77)
    );
    let info = qemu + 2 * (12 + 8 + 440);
    assert_eq!(&notes[info..], b"\x0b\0\0\0\x0c\0\0\0\0\0\0\0VMCOREINFO\0\0OSRELEASE=1\n");
}
