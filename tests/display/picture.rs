//! The pictures that the guest of the display tests draws, as both sides compute them: every pixel tells its place, and two pictures differ
//! in every pixel. They are made like a desktop, so that what they cost to send says something: a shaded ground, flat windows, writing.
#![allow(dead_code, reason = "one side draws the pointer, the other looks at the picture")]

/// The colour (0x00RRGGBB) of a pixel of picture `n`.
pub fn pixel(n: u32, x: u32, y: u32) -> u32 {
    // Odd, and even every other time: neighbours in time differ in the lowest bit of every colour.
    let tint = (n.wrapping_mul(0x0b_0d_11) & 0x3e_3e_3e) | ((n & 1) * 0x01_01_01);
    (ground(x, y) & 0x7e_7e_7e) + tint
}

fn ground(x: u32, y: u32) -> u32 {
    // Windows of 480 by 270 pixels, of which the upper left three quarters are flat, with a title bar.
    let (column, row) = (x / 480, y / 270);
    let (inside_x, inside_y) = (x % 480, y % 270);
    if inside_x >= 400 || inside_y >= 230 {
        // The shaded ground between them.
        return ((y / 8) & 0x7f) << 16 | (((x + y) / 16) & 0x7f) << 8 | 0x40;
    }
    if inside_y < 20 {
        return 0x20_30_60 + ((column * 0x10_00_04 + row * 0x08_10_00) & 0x3f_3f_1f);
    }
    // Writing: cells of 8 by 16 pixels, of which some dots are black; every third line is empty.
    let (cell_x, cell_y) = (inside_x / 8, inside_y / 16);
    let glyph = hash(cell_x | cell_y << 8 | column << 16 | row << 24);
    let dot = (glyph >> (inside_x % 8 / 2 * 4 + inside_y % 16 / 4)) & 1;
    let written = cell_y % 3 != 0 && cell_x % 7 != 0 && cell_x < 40;
    if written && dot == 1 { 0x10_10_10 } else { 0x70_72_74 }
}

fn hash(value: u32) -> u32 {
    let value = (value ^ (value >> 15)).wrapping_mul(0x2c1b_3c6d);
    (value ^ (value >> 12)).wrapping_mul(0x297a_2d39) >> 7
}

/// The picture of the pointer: 16 by 16 pixels, 0xAARRGGBB, of which the lower right half is not there.
pub const CURSOR: u32 = 64;
pub fn cursor(x: u32, y: u32) -> u32 {
    if x + y < 16 { 0xff_00_00_00 | x << 20 | y << 12 | 0xff } else { 0 }
}
