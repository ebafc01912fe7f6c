//! Pixels as the client wants them (RFC 6143, section 7.4), and the short forms of them that encodings use.

use anyhow::{Result, bail, ensure};

/// A true-colour format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// 8, 16 or 32.
    bits: u8,
    depth: u8,
    big: bool,
    /// Red, green, blue.
    max: [u16; 3],
    shift: [u8; 3],
}

/// How pixel values become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    One,
    Two { big: bool },
    Four { big: bool },
    /// Three of the four bytes: without the highest, or without the lowest.
    Three { big: bool, high: bool },
    /// Red, green and blue, each at its shift.
    Rgb([u8; 3]),
}

impl Format {
    /// What the screen itself has: 0x00RRGGBB, little endian.
    pub const OWN: Format =
        Format { bits: 32, depth: 24, big: false, max: [255; 3], shift: [16, 8, 0] };

    /// PIXEL_FORMAT of a SetPixelFormat message.
    pub fn parse(bytes: &[u8; 16]) -> Result<Format> {
        let &[bits, depth, big, true_colour, r1, r2, g1, g2, b1, b2, rs, gs, bs, ..] = bytes;
        if true_colour == 0 {
            bail!("it wants a colour map; kiln has true colour only: choose at least 8 bits of true colour there");
        }
        ensure!(matches!(bits, 8 | 16 | 32), "pixels of {bits} bits; there are 8, 16 and 32");
        let max = [[r1, r2], [g1, g2], [b1, b2]].map(u16::from_be_bytes);
        let shift = [rs, gs, bs];
        for (max, shift) in max.iter().zip(shift) {
            let used = u32::from(max.checked_add(1).is_some_and(u16::is_power_of_two)) * max.count_ones();
            let fits = (1..=16).contains(&used) || *max == u16::MAX;
            ensure!(fits && u32::from(shift) + max.count_ones() <= u32::from(bits), "colours that do not fit into {bits} bits");
        }
        Ok(Format { bits, depth, big: big != 0, max, shift })
    }

    /// As ServerInit has it.
    pub fn bytes(self) -> [u8; 16] {
        let [[r1, r2], [g1, g2], [b1, b2]] = self.max.map(u16::to_be_bytes);
        let [rs, gs, bs] = self.shift;
        [self.bits, self.depth, self.big.into(), 1, r1, r2, g1, g2, b1, b2, rs, gs, bs, 0, 0, 0]
    }

    /// Makes values of this format of 0x00RRGGBB.
    pub fn translate(self, pixels: &mut [u32]) {
        match (self.max, self.shift) {
            ([255, 255, 255], [16, 8, 0]) => {}
            ([255, 255, 255], [0, 8, 16]) => pixels.iter_mut().for_each(|p| *p = p.swap_bytes() >> 8),
            _ => pixels.iter_mut().for_each(|p| *p = self.value(*p)),
        }
    }

    fn value(self, pixel: u32) -> u32 {
        let [_, r, g, b] = pixel.to_be_bytes();
        let parts = [r, g, b].into_iter().zip(self.max).zip(self.shift);
        let placed = parts.map(|((part, max), shift)| {
            let scaled = (u32::from(part) * u32::from(max) + 127) / 255;
            scaled << shift
        });
        placed.fold(0, |all, part| all | part)
    }

    /// PIXEL.
    pub fn plain(self) -> Layout {
        match self.bits {
            8 => Layout::One,
            16 => Layout::Two { big: self.big },
            _ => Layout::Four { big: self.big },
        }
    }

    /// CPIXEL of ZRLE (section 7.7.5).
    pub fn compact(self) -> Layout {
        let used = self.max.iter().zip(self.shift).fold(0, |all, (max, shift)| all | u32::from(*max) << shift);
        match self.bits {
            32 if self.depth <= 24 && used >> 24 == 0 => Layout::Three { big: self.big, high: false },
            32 if self.depth <= 24 && used & 0xff == 0 => Layout::Three { big: self.big, high: true },
            _ => self.plain(),
        }
    }

    /// TPIXEL of Tight (rfbproto, "Tight Encoding").
    pub fn tight(self) -> Layout {
        match (self.bits, self.depth, self.max) {
            (32, 24, [255, 255, 255]) => Layout::Rgb(self.shift),
            _ => self.plain(),
        }
    }
}

impl Layout {
    /// Of a pixel.
    pub fn bytes(self) -> usize {
        match self {
            Layout::One => 1,
            Layout::Two { .. } => 2,
            Layout::Three { .. } | Layout::Rgb(_) => 3,
            Layout::Four { .. } => 4,
        }
    }

    /// Appends these values.
    pub fn put(self, pixels: &[u32], out: &mut Vec<u8>) {
        match self {
            Layout::One => out.extend(pixels.iter().map(|p| *p as u8)),
            Layout::Two { big: false } => each(pixels, out, |p| (p as u16).to_le_bytes()),
            Layout::Two { big: true } => each(pixels, out, |p| (p as u16).to_be_bytes()),
            Layout::Four { big: false } => each(pixels, out, u32::to_le_bytes),
            Layout::Four { big: true } => each(pixels, out, u32::to_be_bytes),
            Layout::Three { big, high } => {
                let down = if high { 8 } else { 0 };
                match big {
                    false => each(pixels, out, |p| little(p >> down)),
                    true => each(pixels, out, |p| {
                        let [a, b, c] = little(p >> down);
                        [c, b, a]
                    }),
                }
            }
            Layout::Rgb([16, 8, 0]) => each(pixels, out, |p| {
                let [a, b, c] = little(p);
                [c, b, a]
            }),
            Layout::Rgb([r, g, b]) => each(pixels, out, |p| [(p >> r) as u8, (p >> g) as u8, (p >> b) as u8]),
        }
    }
}

fn little(pixel: u32) -> [u8; 3] {
    let [a, b, c, _] = pixel.to_le_bytes();
    [a, b, c]
}

fn each<const N: usize>(pixels: &[u32], out: &mut Vec<u8>, bytes: impl Fn(u32) -> [u8; N]) {
    let start = out.len();
    out.resize(start + pixels.len() * N, 0);
    let (to, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut();
    for (to, pixel) in to.iter_mut().zip(pixels) {
        *to = bytes(*pixel);
    }
}
