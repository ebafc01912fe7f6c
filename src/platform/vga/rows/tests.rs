use super::*;
use crate::host::screen::Size;

fn mode(width: u32, height: u32, format: Format, start: u64) -> Mode {
    Mode { size: Size { width, height }, format, pitch: width * format.bytes(), start }
}

/// First rows, and those after the last.
fn rows(mode: &Mode, dirty: &[u64]) -> Vec<(u32, u32)> {
    written(mode, dirty).into_iter().map(|rows| (rows.start, rows.end)).collect()
}

#[test]
fn a_page_is_the_rows_that_lie_in_it() {
    // 1280 pixels are 5120 bytes: a page and a quarter.
    let m = mode(1280, 800, Format::Xrgb8888, 0);
    assert_eq!(rows(&m, &[0; 64]), []);
    assert_eq!(rows(&m, &[1 << 0]), [(0, 1)]);
    assert_eq!(rows(&m, &[1 << 1]), [(0, 2)]);
    assert_eq!(rows(&m, &[1 << 1 | 1 << 2 | 1 << 9]), [(0, 3), (7, 8)]);
    // 100 pixels of 2 bytes: many rows in a page, and the last page is not full.
    let m = mode(100, 50, Format::Rgb565, 0);
    assert_eq!(rows(&m, &[0b100]), [(40, 50)]);
    assert_eq!(rows(&m, &[u64::MAX; 64]), [(0, 50)]);
}

#[test]
fn what_is_not_shown_is_not_drawn() {
    let m = mode(1024, 4, Format::Xrgb8888, 4096);
    assert_eq!(rows(&m, &[1]), []);
    assert_eq!(rows(&m, &[1 << 1 | 1 << 4 | 1 << 5]), [(0, 1), (3, 4)]);
    assert_eq!(rows(&m, &[]), []);
}

#[test]
fn white_is_white_and_colours_are_where_they_belong() {
    for (format, red, green, blue) in [
        (Format::Rgb555, 0x7c00u32, 0x03e0, 0x001f),
        (Format::Rgb565, 0xf800, 0x07e0, 0x001f),
        (Format::Rgb888, 0xff_0000, 0xff00, 0xff),
        (Format::Xrgb8888, 0xff_0000, 0xff00, 0xff),
    ] {
        let pixels = [red, green, blue, red | green | blue, u32::MAX, 0];
        let bytes: Vec<u8> =
            pixels.iter().flat_map(|p| p.to_le_bytes().into_iter().take(format.bytes() as usize)).collect();
        let mut row = [7; 6];
        convert(format, &bytes, &mut row);
        assert_eq!(row, [0xff_0000, 0xff00, 0xff, 0xff_ffff, 0xff_ffff, 0], "{format:?}");
    }
}
