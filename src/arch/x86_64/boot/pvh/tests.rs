use super::*;
use std::array;

fn words<const N: usize>(memory: &Memory, at: u64) -> [u64; N] {
    array::from_fn(|i| u64::from_le_bytes(memory.read(at + 8 * i as u64).unwrap()))
}

#[test]
fn start_info_leads_to_everything() {
    let memory = Memory::new(&[(0, 16 << 20)], None).unwrap();
    let mut low = Low::new(&memory);
    let strings = [low.string("one").unwrap(), low.string("two").unwrap()];
    let cmdline = low.string("the arguments").unwrap();
    let modules = [0xe0_0000..0xe0_1234, 0xf0_0000..0xf0_0001];
    write(&memory, &mut low, cmdline, &modules, &strings).unwrap();

    let [magic, count, modlist, line, rsdp, memmap, entries] = words::<7>(&memory, layout::START_INFO);
    assert_eq!((magic, count), (0x1_336e_c578, 2 << 32));
    assert_eq!((line, rsdp, entries), (cmdline, layout::ACPI, 5));
    assert_eq!(words(&memory, modlist), [0xe0_0000, 0x1234, strings[0], 0, 0xf0_0000, 1, strings[1], 0]);
    assert_eq!(words(&memory, memmap), [0, 0x9_fc00, 1, 0x9_fc00, 0x6_0400, 2, 0x10_0000, 15 << 20, 1]);
    assert_eq!(&memory.read::<14>(line).unwrap(), b"the arguments\0");
}

#[test]
fn without_modules_there_is_no_list() {
    let memory = Memory::new(&[(0, 16 << 20)], None).unwrap();
    write(&memory, &mut Low::new(&memory), 0x2_0000, &[], &[]).unwrap();
    let [_, count, modlist] = words::<3>(&memory, layout::START_INFO);
    assert_eq!((count, modlist), (0, 0));
}
