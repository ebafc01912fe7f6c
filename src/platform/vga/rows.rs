//! From pages that were written to rows of the picture, and from bytes of video memory to pixels.

use super::PAGE;
use super::dispi::{Format, Mode};
use crate::mem::Video;
use std::ops::Range;

/// Every row, as [`written`] has them.
pub fn all(mode: &Mode) -> Vec<Range<u32>> {
    std::iter::once(0..mode.size.height).collect()
}

/// The rows of which a page was written, from the top, without overlaps. A bit of `dirty` is a page.
pub fn written(mode: &Mode, dirty: &[u64]) -> Vec<Range<u32>> {
    let mut parts: Vec<Range<u32>> = Vec::new();
    let (pitch, height) = (u64::from(mode.pitch), u64::from(mode.size.height));
    let end = mode.start + pitch * height;
    for page in mode.start / PAGE..end.div_ceil(PAGE) {
        let word = usize::try_from(page / 64).ok().and_then(|word| dirty.get(word)).copied().unwrap_or(0);
        if word >> (page % 64) & 1 == 0 {
            continue;
        }
        let row = |at: u64| at.saturating_sub(mode.start).checked_div(pitch).unwrap_or(0);
        let rows = row(page * PAGE)..(row(page * PAGE + PAGE - 1) + 1).min(height);
        let rows = rows.start as u32..rows.end as u32;
        match parts.last_mut().filter(|last| last.end >= rows.start) {
            Some(last) => last.end = last.end.max(rows.end),
            None => parts.push(rows),
        }
    }
    parts.retain(|rows| !rows.is_empty());
    parts
}

/// A row as it is in memory.
#[derive(Default)]
pub struct Buffers(Vec<u8>);

impl Buffers {
    /// Row `y` of the picture, from its left edge on.
    pub fn fill(&mut self, memory: &Video, mode: &Mode, y: u32, row: &mut [u32]) {
        self.0.resize(row.len() * mode.format.bytes() as usize, 0);
        memory.read(mode.start + u64::from(mode.pitch) * u64::from(y), &mut self.0);
        convert(mode.format, &self.0, row);
    }
}

/// To 0x00RRGGBB; of a pixel's lowest bits that are not there the highest stand in, so that white is white.
fn convert(format: Format, bytes: &[u8], row: &mut [u32]) {
    let wider = |value: u32, bits: u32| value << (8 - bits) | value >> (2 * bits - 8);
    match format {
        Format::Xrgb8888 => {
            let (pixels, _) = bytes.as_chunks::<4>();
            row.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = u32::from_le_bytes(*pixel) & 0xff_ffff);
        }
        Format::Rgb888 => {
            let (pixels, _) = bytes.as_chunks::<3>();
            row.iter_mut().zip(pixels).for_each(|(to, [b, g, r])| *to = u32::from_le_bytes([*b, *g, *r, 0]));
        }
        Format::Rgb565 | Format::Rgb555 => {
            let green = if format == Format::Rgb565 { 6 } else { 5 };
            let (pixels, _) = bytes.as_chunks::<2>();
            for (to, pixel) in row.iter_mut().zip(pixels) {
                let pixel = u32::from(u16::from_le_bytes(*pixel));
                let field = |at: u32, bits: u32| wider(pixel >> at & ((1 << bits) - 1), bits);
                *to = field(5 + green, 5) << 16 | field(5, green) << 8 | field(0, 5);
            }
        }
    }
}

#[cfg(test)]
mod tests;
