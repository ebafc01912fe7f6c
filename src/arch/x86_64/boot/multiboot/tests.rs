use super::*;

fn word(memory: &Memory, at: u64) -> u32 {
    u32::from_le_bytes(memory.read(at).unwrap())
}

#[test]
fn the_information_leads_to_everything() {
    let memory = Memory::new(&[(0, 16 << 20)], None).unwrap();
    let mut low = Low::new(&memory);
    let strings = [low.string("one").unwrap(), low.string("two 2").unwrap()];
    let cmdline = low.string("kernel the arguments").unwrap();
    let modules = [0xe0_0000..0xe0_1234, 0xf0_0000..0xf0_0001];
    write(&memory, &mut low, cmdline, &modules, &strings, None).unwrap();

    let field = |at| word(&memory, layout::START_INFO + at);
    assert_eq!(field(0), 0b10_0100_1101);
    // KiB below 640 KiB, and above 1 MiB.
    assert_eq!((field(4), field(8)), (639, 15 << 10));
    assert_eq!((u64::from(field(16)), field(20)), (cmdline, 2));
    let list = u64::from(field(24));
    let list: Vec<u32> = (0..8).map(|i| word(&memory, list + 4 * i)).collect();
    assert_eq!(list, [0xe0_0000, 0xe0_1234, strings[0] as u32, 0, 0xf0_0000, 0xf0_0001, strings[1] as u32, 0]);

    // The map is walked by each entry's size, which does not count itself.
    let (mut at, end) = (u64::from(field(48)), u64::from(field(48) + field(44)));
    let mut map = Vec::new();
    while at < end {
        map.push((word(&memory, at + 4), word(&memory, at + 12), word(&memory, at + 20)));
        at += u64::from(word(&memory, at)) + 4;
    }
    assert_eq!(at, end);
    assert_eq!(map[..3], [(0, 0x9_fc00, 1), (0x9_fc00, 0x6_0400, 2), (0x10_0000, 15 << 20, 1)]);
    assert_eq!(&memory.read::<5>(u64::from(field(64))).unwrap(), b"kiln\0");
}

#[test]
fn a_screen_is_told_with_its_colours() {
    use crate::host::screen::Size;
    let memory = Memory::new(&[(0, 16 << 20)], None).unwrap();
    let size = Size { width: 1024, height: 768 };
    let screen = Framebuffer { base: 0xc000_0000, len: 16 << 20, size, pitch: 4096 };
    write(&memory, &mut Low::new(&memory), 0, &[], &[], Some(&screen)).unwrap();
    let field = |at| word(&memory, layout::START_INFO + at);
    assert_eq!(field(0) >> 12 & 1, 1);
    assert_eq!([88, 92, 96, 100, 104].map(field), [0xc000_0000, 0, 4096, 1024, 768]);
    assert_eq!(memory.read::<8>(layout::START_INFO + 108).unwrap(), [32, 1, 16, 8, 8, 8, 0, 8]);
}
