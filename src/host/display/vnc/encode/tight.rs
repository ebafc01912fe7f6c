//! Tight (rfbproto, "Tight Encoding") without its lossy parts: one colour, a palette, or all the pixels, by zlib.

use super::palette::{MOST, numbers, pack};
use super::{Block, Encoder, Kind, TILE, Wish, header};
use crate::host::screen::Rect;

/// Compression control: which of the streams, the filter that follows, and no stream at all.
const FILTER: u8 = 0x40;
const FILL: u8 = 0x80;
const PALETTE_FILTER: u8 = 1;
/// Less is not compressed, and has no length.
const SHORTEST: usize = 12;

/// Streams: what is alike shares one.
const FULL: u8 = 0;
const TWO: u8 = 1;
const INDEXED: u8 = 2;

impl Encoder {
    pub(super) fn tight(&mut self, wish: Wish, block: Block<'_>, out: &mut Vec<u8>) {
        let rect = block.rect;
        let few = self.palette.look(block.pixels, MOST);
        let large = rect.width > TILE || rect.height > TILE;
        if few {
            header(rect, Kind::Tight.number(), out);
            match self.palette.colours().len() {
                0 | 1 => {
                    out.push(FILL);
                    self.format.tight().put(self.palette.colours(), out);
                }
                _ => self.indexed(wish, block, out),
            }
        } else if wish.many && large {
            self.halves(wish, block, out);
        } else if wish.hasty {
            self.raw(block, out);
        } else {
            header(rect, Kind::Tight.number(), out);
            out.push(FULL << 4);
            self.bytes.clear();
            self.format.tight().put(block.pixels, &mut self.bytes);
            self.squeeze(wish, FULL, out);
        }
    }

    /// Each half may have few colours.
    fn halves(&mut self, wish: Wish, block: Block<'_>, out: &mut Vec<u8>) {
        let Rect { x, y, width, height } = block.rect;
        if width <= TILE {
            let top = (height / 2).next_multiple_of(8).min(height - 1);
            let (above, below) = block.pixels.split_at((top * width) as usize);
            self.tight(wish, Block { rect: Rect { height: top, ..block.rect }, pixels: above }, out);
            let rect = Rect { y: y + top, height: height - top, ..block.rect };
            return self.tight(wish, Block { rect, pixels: below }, out);
        }
        let left = (width / 2).next_multiple_of(TILE.min(width / 2)).min(width - 1);
        for (from, to) in [(0, left), (left, width)] {
            let rows = block.pixels.chunks(width as usize);
            let part = rows.flat_map(|row| row.get(from as usize..to as usize).unwrap_or_default()).copied();
            let part: Vec<u32> = part.collect();
            let rect = Rect { x: x + from, width: to - from, ..block.rect };
            self.tight(wish, Block { rect, pixels: &part }, out);
        }
    }

    fn indexed(&mut self, wish: Wish, block: Block<'_>, out: &mut Vec<u8>) {
        let Encoder { palette, bytes, .. } = self;
        let colours = palette.colours();
        let stream = if colours.len() == 2 { TWO } else { INDEXED };
        out.extend_from_slice(&[stream << 4 | FILTER, PALETTE_FILTER, (colours.len() - 1) as u8]);
        self.format.tight().put(colours, out);
        bytes.clear();
        if stream == TWO {
            for row in block.pixels.chunks(block.rect.width as usize) {
                pack(numbers(palette, row), 1, bytes);
            }
        } else {
            bytes.extend(numbers(palette, block.pixels));
        }
        self.squeeze(wish, stream, out);
    }

    /// Appends the bytes, compressed by this stream, with their length.
    fn squeeze(&mut self, wish: Wish, stream: u8, out: &mut Vec<u8>) {
        if self.bytes.len() < SHORTEST {
            return out.extend_from_slice(&self.bytes);
        }
        let Some(stream) = self.tight.get_mut(usize::from(stream)) else { return };
        let mut squeezed = std::mem::take(&mut self.squeezed);
        squeezed.clear();
        stream.put(&self.bytes, wish.level, &mut squeezed);
        length(squeezed.len(), out);
        out.extend_from_slice(&squeezed);
        self.squeezed = squeezed;
    }
}

/// Seven bits a byte, the lowest first, the third byte with eight ("compact representation").
fn length(length: usize, out: &mut Vec<u8>) {
    let [low, middle, high] = [length & 0x7f, length >> 7 & 0x7f, length >> 14].map(|part| part as u8);
    match length {
        ..0x80 => out.push(low),
        0x80..0x4000 => out.extend_from_slice(&[low | 0x80, middle]),
        _ => out.extend_from_slice(&[low | 0x80, middle | 0x80, high]),
    }
}
