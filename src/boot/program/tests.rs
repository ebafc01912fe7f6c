use super::super::sample::{Part, Temp, elf, multiboot, note};
use super::super::{Image, Placed, Protocol};
use super::*;

const TAKEN: [Range<u64>; 2] = [0x7000..0x4_0000, 0x9_fc00..0x10_0000];

fn memory() -> Memory {
    Memory::new(&[(0, 4 << 20)], None).unwrap()
}

fn place(file: &[u8]) -> Result<Placed> {
    Image::open(&Temp::new(file).path)?.load(&memory(), &TAKEN, false)
}

fn refusal(parts: &[Part]) -> String {
    format!("{:#}", place(&elf(true, parts[0].paddr, parts)).unwrap_err())
}

#[test]
fn segments_land_where_they_belong_and_nothing_else_changes() {
    let memory = memory();
    let mut text = Part::load(0x10_0000, b"the text");
    text.memsz = 0x2000;
    let low = Part::load(0x5000, b"below");
    let file = Temp::new(&elf(true, 0x10_0004, &[text, low]));
    memory.write(0x10_2000, &[9]).unwrap();
    let placed = Image::open(&file.path).unwrap().load(&memory, &TAKEN, false).unwrap();
    assert_eq!(placed.ranges, [0x10_0000..0x10_2000, 0x5000..0x5005]);
    assert_eq!((placed.entry, placed.protocol), (0x10_0004, Protocol::Linux64));
    assert_eq!(&memory.read::<10>(0x10_0000).unwrap(), b"the text\0\0");
    assert_eq!(&memory.read::<6>(0x5000).unwrap(), b"below\0");
    assert_eq!(memory.read::<1>(0x10_2000).unwrap(), [9]);
}

#[test]
fn segments_that_do_not_fit_are_named() {
    let at = |paddr| refusal(&[Part::load(paddr, b"code")]);
    assert!(at(0x40_0000).contains("needs at least 5 MiB of guest memory, which has 4; give --memory 5M or more"));
    assert!(at(0x3f_fffe).contains("needs at least 5 MiB"));
    assert!(at(0xf000_0000).contains("segment 0xf0000000..0xf0000004 is outside the guest's memory of 4 MiB"));
    assert!(at(0x7000).contains("where the boot data is"));
    assert!(at(0x6fff).contains("where the boot data is"));
    assert!(at(0xf_fffc).contains("where the boot data is"));
    assert!(at(0x1_0000_0000).contains("above 4 GiB"));
    assert!(at(u64::MAX).contains("wraps around"));
    let two = refusal(&[Part::load(0x10_0000, b"code"), Part::load(0x10_0003, b"code")]);
    assert!(two.contains("segments overlap"), "{two}");
    let mut small = Part::load(0x10_0000, b"code");
    small.memsz = 3;
    assert!(refusal(&[small]).contains("larger in the file"));
    let mut bss = Part::load(0x10_0000, b"code");
    bss.memsz = u64::MAX - 0x10_0000;
    assert!(refusal(&[bss]).contains("above 4 GiB"));
    let whole = elf(true, 0x10_0000, &[Part::load(0x10_0000, &[1; 0x1000])]);
    assert!(format!("{:#}", place(&whole[..whole.len() - 1]).unwrap_err()).contains("truncated"));
}

#[test]
fn an_entry_may_be_virtual_but_must_be_loaded() {
    let mut text = Part::load(0x10_0000, &[0x90; 64]);
    text.vaddr = 0xffff_ffff_8010_0000;
    assert_eq!(place(&elf(true, text.vaddr + 8, &[text.clone()])).unwrap().entry, 0x10_0008);
    assert_eq!(place(&elf(true, 0x10_0008, &[text.clone()])).unwrap().entry, 0x10_0008);
    for entry in [0x10_0040, text.vaddr + 64, 0] {
        let said = format!("{:#}", place(&elf(true, entry, &[text.clone()])).unwrap_err());
        assert!(said.contains("is in none of its segments"), "{said}");
    }
}

/// Which protocol a kernel gets that has each of these.
#[test]
fn the_protocol_follows_from_what_the_kernel_has() {
    let pvh = note("Xen", 18, &0x10_0010u32.to_le_bytes());
    let linux = note("Linux", 0x100, b"salt");
    let header = multiboot(0, None);
    let protocol = |wide: bool, notes: &[&[u8]], multiboot: bool| {
        let text = Part::load(0x10_0000, if multiboot { &header } else { &[0x90; 64] });
        let text = Part { memsz: 64, ..text };
        // The notes are loaded with a segment, or only in the file.
        let apart = place(&elf(wide, 0x10_0000, &[text.clone(), Part::note(notes.concat())])).unwrap();
        let mut file =
            elf(wide, 0x10_0000, &[text, Part::note(notes.concat()), Part::load(0x20_0000, &notes.concat())]);
        let (size, offset) = if wide { (56, 8) } else { (32, 4) };
        let header = if wide { 64 } else { 52 };
        let load = file[header + 2 * size + offset..][..4].to_vec();
        file[header + size + offset..][..4].copy_from_slice(&load);
        assert_eq!(apart, Placed { ranges: apart.ranges.clone(), ..place(&file).unwrap() });
        (apart.protocol, apart.entry)
    };
    assert_eq!(protocol(true, &[], false), (Protocol::Linux64, 0x10_0000));
    assert_eq!(protocol(false, &[], false), (Protocol::Linux32, 0x10_0000));
    assert_eq!(protocol(true, &[&pvh], false), (Protocol::Pvh, 0x10_0010));
    assert_eq!(protocol(false, &[&pvh], false), (Protocol::Pvh, 0x10_0010));
    assert_eq!(protocol(true, &[&pvh, &linux], false), (Protocol::Linux64, 0x10_0000));
    assert_eq!(protocol(false, &[&pvh, &linux], false), (Protocol::Linux32, 0x10_0000));
    assert_eq!(protocol(false, &[], true), (Protocol::Multiboot, 0x10_0000));
    assert_eq!(protocol(true, &[], true), (Protocol::Multiboot, 0x10_0000));
    assert_eq!(protocol(false, &[&pvh], true), (Protocol::Multiboot, 0x10_0000));
    assert_eq!(protocol(true, &[&pvh], true), (Protocol::Pvh, 0x10_0010));
}
