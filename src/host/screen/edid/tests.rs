use super::*;
use proptest::prelude::*;

fn field(bytes: &[u8], low: usize, high: usize, shift: u32) -> u32 {
    u32::from(bytes[low]) | (u32::from(bytes[high]) >> shift & 0xf) << 8
}

/// Width, height and rate of the first detailed timing.
fn preferred(edid: &[u8]) -> (u32, u32, f64) {
    let mode = &edid[54..72];
    let (width, height) = (field(mode, 2, 4, 4), field(mode, 5, 7, 4));
    let total = (width + field(mode, 3, 4, 0)) * (height + field(mode, 6, 7, 0));
    (width, height, f64::from(u16::from_le_bytes([mode[0], mode[1]])) * 10_000.0 / f64::from(total))
}

#[test]
fn the_preferred_mode_is_the_first() {
    for (width, height) in [(1280, 800), (1920, 1080), (2560, 1440), (3840, 2160), (64, 64), (801, 603)] {
        let edid = edid(Size { width, height });
        let (w, h, rate) = preferred(&edid);
        assert_eq!((edid.len(), w, h), (BLOCK, width, height));
        assert!((59.0..61.0).contains(&rate), "{width}x{height}: {rate} Hz");
    }
}

#[test]
fn a_monitor_is_described() {
    let edid = edid(Size { width: 1280, height: 800 });
    assert_eq!(edid[..8], [0, 255, 255, 255, 255, 255, 255, 0]);
    assert_eq!(edid[8..10], [0x2d, 0x8e], "KLN");
    assert_eq!(edid[18..20], [1, 4]);
    assert_eq!(edid[21..23], [33, 21], "centimetres");
    // As every monitor for sRGB says it.
    assert_eq!(edid[25..35], [0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54]);
    // 1920x1080 and 1280x800, both at 60 Hz.
    assert_eq!((&edid[38..40], &edid[50..52]), (&[0xd1, 0xc0][..], &[0x81, 0x00][..]));
    assert_eq!(edid[90..108], *b"\0\0\0\xfc\0kiln\n        ");
}

#[test]
fn a_mode_that_is_too_large_for_the_first_block_is_in_the_second() {
    let edid = edid(Size { width: 5120, height: 2880 });
    assert_eq!((edid.len(), edid[126]), (2 * BLOCK, 1));
    assert_eq!(preferred(&edid).0, 1920);
    let mode = &edid[BLOCK + 8..];
    assert_eq!(edid[BLOCK + 5..BLOCK + 8], [3, 0, 20]);
    assert_eq!(mode[3] & 0x80, 0x80);
    assert_eq!((u16::from_le_bytes([mode[4], mode[5]]), u16::from_le_bytes([mode[12], mode[13]])), (5119, 2879));
    let section = edid[BLOCK + 1..2 * BLOCK - 1].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    assert_eq!(section, 0);
}

proptest! {
    #[test]
    fn every_block_adds_up(width in 1u32..=16384, height in 1u32..=16384) {
        let edid = edid(Size { width, height });
        prop_assert_eq!(edid.len(), BLOCK * (1 + usize::from(edid[126])));
        for block in edid.chunks(BLOCK) {
            prop_assert_eq!(block.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        }
    }
}
