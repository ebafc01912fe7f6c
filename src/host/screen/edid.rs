//! What a monitor says about itself (VESA E-EDID 1.4): one block of 128 bytes, and where the preferred mode is too large for
//! that a second one with it in DisplayID's form.
//!
//! ```text
//! 0x00  header, manufacturer, version       0x36  four descriptors of 18 bytes: the preferred mode, ranges, name,
//! 0x14  input, size, colours                      and nothing
//! 0x23  the usual modes                     0x7e  blocks that follow, checksum
//! ```

use super::Size;

/// Bytes of a block.
pub const BLOCK: usize = 128;
/// Pictures a second, where the pixel clock allows it.
const RATE: u64 = 60;
/// The highest pixel clock that a detailed timing has, in units of 10 kHz.
const FASTEST: u64 = 0xffff;
/// The longest side that a detailed timing has: 12 bits.
const LONGEST: u32 = 0xfff;
/// Tenths of a millimetre that a pixel takes: about 96 dots an inch.
const PITCH: u32 = 264;

/// Of a monitor that prefers this size.
pub fn edid(preferred: Size) -> Vec<u8> {
    let timing = Timing::of(preferred);
    let large = preferred.width > LONGEST || preferred.height > LONGEST;
    let mut bytes = Vec::with_capacity(2 * BLOCK);
    bytes.extend([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
    bytes.extend(manufacturer(*b"KLN"));
    // Product, serial number; week and year (since 1990) of manufacture; version 1.4.
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 36, 1, 4]);
    // Digital, 8 bits a colour; size in centimetres; gamma 2.2; sRGB, and the first mode is the native one.
    let centimetres = |pixels: u32| (millimetres(pixels) / 10).clamp(1, 255) as u8;
    bytes.extend([0xa0, centimetres(preferred.width), centimetres(preferred.height), 120, 0x06]);
    bytes.extend(chromaticity());
    bytes.extend(usual());
    // A mode that is too large for the first descriptor follows in the second block; a smaller one stands in for it.
    let fallback = Size { width: 1920, height: 1080 };
    let (shown, size) = if large { (Timing::of(fallback), fallback) } else { (timing, preferred) };
    bytes.extend(shown.detailed(size));
    bytes.extend(ranges());
    bytes.extend(text(0xfc, "kiln"));
    bytes.extend(text(0x10, ""));
    bytes.push(u8::from(large));
    bytes.push(checksum(&bytes));
    if large {
        bytes.extend(timing.display_id());
    }
    bytes
}

/// What makes the sum of a block 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

/// Three letters in five bits each.
fn manufacturer(letters: [u8; 3]) -> [u8; 2] {
    letters.iter().fold(0u16, |sum, letter| sum << 5 | u16::from(letter & 0x1f)).to_be_bytes()
}

fn millimetres(pixels: u32) -> u32 {
    pixels.saturating_mul(PITCH) / 1000
}

/// Red, green, blue and white of sRGB, in 1024ths: first the low bits, then the high ones.
fn chromaticity() -> [u8; 10] {
    const POINTS: [(u32, u32); 4] = [(6400, 3300), (3000, 6000), (1500, 600), (3127, 3290)];
    let share = |tenthousandths: u32| (tenthousandths * 1024 + 5000) / 10_000;
    let mut bytes = [0; 10];
    let (low, high) = bytes.split_at_mut(2);
    for (i, (x, y)) in POINTS.iter().map(|(x, y)| (share(*x), share(*y))).enumerate() {
        let four = ((x & 3) << 2 | y & 3) as u8;
        if let (Some(low), Some([a, b])) = (low.get_mut(i / 2), high.get_mut(2 * i..2 * i + 2)) {
            *low |= four << (4 * (1 - i % 2));
            (*a, *b) = ((x >> 2) as u8, (y >> 2) as u8);
        }
    }
    bytes
}

/// Established and standard timings: the modes that a desktop's settings should have, all at 60 Hz.
fn usual() -> [u8; 19] {
    /// Width, and which shape: 0 is 16:10, 1 is 4:3, 2 is 5:4, 3 is 16:9.
    const MODES: [(u32, u8); 8] =
        [(1920, 3), (1680, 0), (1600, 3), (1600, 1), (1440, 0), (1280, 2), (1280, 0), (1280, 3)];
    let mut bytes = [0; 19];
    // 640x480 and 800x600, 1024x768.
    let (established, standard) = bytes.split_at_mut(3);
    established.copy_from_slice(&[1 << 5 | 1, 1 << 3, 0]);
    for (to, (width, shape)) in standard.chunks_exact_mut(2).zip(MODES) {
        to.copy_from_slice(&[(width / 8 - 31) as u8, shape << 6 | (RATE - 60) as u8]);
    }
    bytes
}

/// What rates there are: the graphics of a virtual machine take any. A graphics stack goes by the modes alone.
fn ranges() -> [u8; 18] {
    // 1 to 125 Hz, 30 to 255 kHz, 650 MHz; no more is said.
    [0, 0, 0, 0xfd, 0, 1, 125, 30, 255, 65, 1, b'\n', b' ', b' ', b' ', b' ', b' ', b' ']
}

/// A descriptor with text of up to 13 characters.
fn text(kind: u8, text: &str) -> [u8; 18] {
    let mut bytes = [0; 18];
    let content = text.bytes().chain(text.bytes().next().map(|_| b'\n')).chain(std::iter::repeat(b' '));
    let fill = content.map(|byte| if text.is_empty() { 0 } else { byte });
    bytes.iter_mut().skip(5).zip(fill).for_each(|(to, from)| *to = from);
    if let Some(at) = bytes.get_mut(3) {
        *at = kind;
    }
    bytes
}

/// One direction of a mode, in pixels or lines.
#[derive(Debug, Clone, Copy)]
struct Span {
    active: u32,
    blank: u32,
    /// From the end of the picture to the synchronising pulse, and that pulse.
    front: u32,
    sync: u32,
}

/// A mode with little blanking, as VESA's CVT has it for flat screens (CVT 1.2, reduced blanking).
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// In 10 kHz.
    clock: u64,
    across: Span,
    down: Span,
}

impl Timing {
    fn of(size: Size) -> Timing {
        // At least 460 microseconds of blanking.
        const BLANK: u64 = 460;
        let picture = 1_000_000 / RATE;
        let blank = (BLANK * u64::from(size.height) / (picture - BLANK) + 1).max(3 + 6 + 6) as u32;
        let across = Span { active: size.width, blank: 160, front: 48, sync: 32 };
        let down = Span { active: size.height, blank, front: 3, sync: 6 };
        let pixels = u64::from(size.width + across.blank) * u64::from(size.height + blank);
        Timing { clock: (pixels * RATE / 10_000).max(1), across, down }
    }

    /// A detailed timing descriptor (E-EDID 1.4, 3.10.2).
    fn detailed(&self, size: Size) -> [u8; 18] {
        let [c0, c1, ..] = self.clock.min(FASTEST).to_le_bytes();
        let (x, y) = (self.across, self.down);
        let (wide, high) = (millimetres(size.width).min(LONGEST), millimetres(size.height).min(LONGEST));
        let upper = |a: u32, b: u32| ((a >> 8 & 0xf) << 4 | b >> 8 & 0xf) as u8;
        [
            c0,
            c1,
            x.active as u8,
            x.blank as u8,
            upper(x.active, x.blank),
            y.active as u8,
            y.blank as u8,
            upper(y.active, y.blank),
            x.front as u8,
            x.sync as u8,
            ((y.front & 0xf) << 4 | y.sync & 0xf) as u8,
            ((x.front >> 8 & 3) << 6 | (x.sync >> 8 & 3) << 4 | (y.front >> 4 & 3) << 2 | y.sync >> 4 & 3) as u8,
            wide as u8,
            high as u8,
            upper(wide, high),
            0,
            0,
            // Separate digital synchronisation, horizontally positive.
            0x1a,
        ]
    }

    /// An extension block with this as its only mode (DisplayID 1.3, 4.4.1).
    fn display_id(&self) -> Vec<u8> {
        let mut mode = self.clock.saturating_sub(1).to_le_bytes()[..3].to_vec();
        // Preferred.
        mode.push(0x80);
        for span in [self.across, self.down] {
            for field in [span.active, span.blank, span.front, span.sync] {
                mode.extend((field.saturating_sub(1) as u16).to_le_bytes());
            }
        }
        // The section: version 1.3, bytes, a monitor of any kind, no more sections; its only block: kind 3, revision, bytes.
        let blocks = [&[0x03, 0, mode.len() as u8][..], &mode].concat();
        let mut section = [&[0x13, (BLOCK - 7) as u8, 0, 0][..], &blocks].concat();
        section.resize(4 + BLOCK - 7, 0);
        section.push(checksum(&section));
        let mut block = [&[0x70][..], &section].concat();
        block.push(checksum(&block));
        block
    }
}

#[cfg(test)]
mod tests;
