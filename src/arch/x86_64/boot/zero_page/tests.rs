use super::super::low_end;
use super::*;
use crate::boot::sample;

const MIB: u64 = 1 << 20;

fn page(memory: &Memory) -> [u8; 4096] {
    memory.read::<4096>(layout::ZERO_PAGE).unwrap()
}

fn u32_at(page: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(page[at..at + 4].try_into().unwrap())
}

fn u64_at(page: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(page[at..at + 8].try_into().unwrap())
}

/// Offsets are those of boot.rst and zero-page.rst.
#[test]
fn a_setup_header_is_kept_and_completed() {
    let memory = Memory::new(&[(0, 16 * MIB), (1 << 32, MIB)], None).unwrap();
    let file = sample::bzimage(&[1; 50]);
    let setup = Setup::parse(&file, file.len() as u64).unwrap();
    write(&memory, Some(&setup), 0x2_0000, 0x1_2345_6000..0x1_2345_6000 + 0x1_0000_0005, 0x100_0000, None).unwrap();
    let page = page(&memory);

    assert_eq!(&page[0x202..0x206], b"HdrS");
    assert_eq!((page[0x206], page[0x207], page[0x210], page[0x211]), (0x0f, 2, 0xff, 1));
    // Not touched: alignment, preferred address and room as the kernel has them.
    assert_eq!(page[0x230..0x236], file[0x230..0x236]);
    assert_eq!(page[0x258..0x264], file[0x258..0x264]);
    assert_eq!((u32_at(&page, 0x214), u32_at(&page, 0x228)), (0x100_0000, 0x2_0000));
    assert_eq!((u32_at(&page, 0x218), u32_at(&page, 0x21c)), (0x2345_6000, 5));
    assert_eq!((u32_at(&page, 0xc0), u32_at(&page, 0xc4), u32_at(&page, 0xc8)), (1, 1, 0));
    assert_eq!(u64_at(&page, 0x70), 0xe_0000);
    // Nothing before and behind the header but what is set: sanitize_boot_params would clear more if sentinel were set.
    assert_eq!((page[0x1ef], page[0x1f0]), (0, 0));
    assert!(page[0x26c..0x2d0].iter().all(|b| *b == 0));

    let entries = usize::from(page[0x1e8]);
    let map: Vec<_> = (0..entries)
        .map(|i| (u64_at(&page, 0x2d0 + 20 * i), u64_at(&page, 0x2d8 + 20 * i), u32_at(&page, 0x2e0 + 20 * i)))
        .collect();
    let expected = [
        (0, 0x9_fc00, 1),
        (0x9_fc00, 0x6_0400, 2),
        (0x10_0000, 15 * MIB, 1),
        (0xe000_0000, 0x10_0000, 2),
        (0xfffb_c000, 0x4000, 2),
        (1 << 32, MIB, 1),
    ];
    assert_eq!(map, expected);
    assert!(page[0x2d0 + 20 * entries..].iter().all(|b| *b == 0));
    assert_eq!(low_end(&memory).unwrap(), 16 * MIB);
}

#[test]
fn a_bare_kernel_gets_a_header() {
    let memory = Memory::new(&[(0, 16 * MIB)], None).unwrap();
    write(&memory, None, 0x2_0000, 0..0, 0x100_0000, None).unwrap();
    let page = page(&memory);
    assert_eq!((&page[0x1fe..0x200], &page[0x202..0x208]), (&[0x55, 0xaa][..], &b"HdrS\x0f\x02"[..]));
    assert_eq!((page[0x210], page[0x211], u32_at(&page, 0x218), u32_at(&page, 0x21c)), (0xff, 1, 0, 0));
}

#[test]
fn a_screen_is_a_linear_framebuffer_as_vesa_has_it() {
    use crate::host::screen::Size;
    let memory = Memory::new(&[(0, 16 * MIB)], None).unwrap();
    let size = Size { width: 1280, height: 800 };
    let screen = Framebuffer { base: 0xc000_0000, len: 16 * MIB, size, pitch: 5120 };
    write(&memory, None, 0x2_0000, 0..0, 0x100_0000, Some(&screen)).unwrap();
    let page = page(&memory);
    let u16_at = |at: usize| u16::from_le_bytes([page[at], page[at + 1]]);
    assert_eq!((page[0x0f], u32_at(&page, 0x18), u32_at(&page, 0x1c)), (0x23, 0xc000_0000, 256));
    assert_eq!([0x12, 0x14, 0x16, 0x24].map(u16_at), [1280, 800, 32, 5120]);
    assert_eq!(page[0x26..0x2e], [8, 16, 8, 8, 8, 0, 8, 24]);
    assert_eq!((u16_at(0x32), u32_at(&page, 0x36), u32_at(&page, 0x3a)), (1, 2, 0));
    assert!(page[0x3e..0x70].iter().all(|b| *b == 0));
}
