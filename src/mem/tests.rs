use super::*;

fn memory() -> Memory {
    Memory::new(&[(0, 0x4000), (0x10_0000, 0x2000)], None).unwrap()
}

#[test]
fn what_is_written_is_read_back_and_cleared() {
    let m = memory();
    m.write(0x10_0ffe, &[1, 2, 3, 4]).unwrap();
    assert_eq!(m.read::<4>(0x10_0ffe).unwrap(), [1, 2, 3, 4]);
    assert_eq!(m.size(), 0x6000);
    m.clear().unwrap();
    assert_eq!(m.read::<4>(0x10_0ffe).unwrap(), [0; 4]);
}

#[test]
fn nothing_outside_is_reached() {
    let m = memory();
    for (at, len) in
        [(0x3fff, 2), (0x4000, 1), (0xf_ffff, 1), (0x10_2000, 1), (u64::MAX, 1), (0, usize::MAX), (1, usize::MAX)]
    {
        assert!(m.slice(at, len).is_err(), "{at:#x}+{len:#x}");
    }
    assert_eq!(m.slice(0x4000, 0).unwrap().len(), 0);
}

#[test]
fn pieces_of_a_slice_stay_inside() {
    let s = memory().slice(0x100, 16).unwrap();
    s.fill(7);
    assert_eq!((s.skip(10).len(), s.skip(99).len(), s.take(4).len(), s.take(99).len()), (6, 0, 4, 16));
    let mut out = [0; 32];
    assert_eq!(s.copy_to(&mut out), 16);
    assert_eq!((out[15], out[16]), (7, 0));
    assert_eq!(s.copy_from(&[1; 32]), 16);
}

#[test]
fn a_file_is_read_into_the_slice_and_no_further() {
    use std::io::Write;
    let m = memory();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    assert_eq!(m.slice(0x100, 4).unwrap().read_from(&file, 3).unwrap(), 4);
    assert_eq!(&m.read::<6>(0x100).unwrap(), b"3456\0\0");
    assert_eq!(m.slice(0x200, 64).unwrap().read_from(&file, 7).unwrap(), 3);
    assert_eq!(m.slice(0x200, 64).unwrap().read_from(&file, 10).unwrap(), 0);
    assert!(m.slice(0x200, 64).unwrap().read_from(&file, u64::MAX).is_err());
}

#[test]
fn only_touched_memory_is_populated() {
    let m = memory();
    assert_eq!(m.populated(0).unwrap(), None);
    m.write(0x1ffe, &[1, 2, 3, 4]).unwrap();
    m.write(0x10_1000, &[1]).unwrap();
    assert_eq!(m.populated(0).unwrap(), Some(0x1000..0x3000));
    assert_eq!(m.populated(0x2010).unwrap(), Some(0x2010..0x3000));
    // 0x3000 and 0x10_1000 are not neighbours, though 0x4000 and 0x10_0000 are in the file.
    m.write(0x3000, &[1]).unwrap();
    m.write(0x10_0000, &[1]).unwrap();
    assert_eq!(m.populated(0x2fff).unwrap(), Some(0x2fff..0x4000));
    assert_eq!(m.populated(0x4000).unwrap(), Some(0x10_0000..0x10_2000));
    for beyond in [0x10_2000, u64::MAX] {
        assert_eq!(m.populated(beyond).unwrap(), None);
    }
    m.clear().unwrap();
    assert_eq!(m.populated(0).unwrap(), None);
}
