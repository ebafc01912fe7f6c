//! Tight (rfbproto, "Tight Encoding") without its lossy parts: one colour, a palette, or all the pixels, by zlib.

use super::palette::{MOST, pack};
use super::{Block, Encoder, Kind, Wish, header};
use crate::host::screen::Rect;

/// Compression control: which of the streams, the filter that follows, and no stream at all.
const FILTER: u8 = 0x40;
const FILL: u8 = 0x80;
const PALETTE_FILTER: u8 = 1;
/// Pixels across of what is looked at, at a time: the narrower, the fewer colours each has, and the fewer bytes it takes.
const STRIP: u32 = 16;
/// The most colours of a strip that gets a palette when work costs more than bytes: what has more is mostly a photograph.
const HASTY_MOST: usize = 128;
/// Less is not compressed, and has no length.
const SHORTEST: usize = 12;

/// Streams: what is alike shares one.
const FULL: u8 = 0;
const TWO: u8 = 1;
const INDEXED: u8 = 2;

/// What a piece is made of, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// One colour.
    Flat,
    Two,
    /// A palette's.
    Few,
    /// Anything.
    Many,
}

impl Class {
    /// Of so many colours.
    fn of(colours: usize) -> Class {
        match colours {
            ..=1 => Class::Flat,
            2 => Class::Two,
            3..=MOST => Class::Few,
            _ => Class::Many,
        }
    }
}

impl Encoder {
    /// Strips side by side that are written alike become one rectangle, if there may be many; else all is one.
    pub(super) fn tight(&mut self, wish: Wish, block: Block<'_>, out: &mut Vec<u8>) {
        let Rect { width, height, .. } = block.rect;
        if !wish.many {
            let class = self.class(wish, block);
            std::mem::swap(&mut self.palette, &mut self.strip);
            return self.piece(wish, class, block, out);
        }
        let mut open: Option<(u32, Class)> = None;
        for x in (0..width).step_by(STRIP as usize) {
            let class = self.class(wish, block.part(x, 0, STRIP, height));
            open = match open {
                Some((start, before)) if self.joins(before, class) => Some((start, before.max(class))),
                before => {
                    if let Some((start, class)) = before {
                        self.piece(wish, class, block.part(start, 0, x - start, height), out);
                    }
                    std::mem::swap(&mut self.palette, &mut self.strip);
                    Some((x, class))
                }
            };
        }
        if let Some((start, class)) = open {
            self.piece(wish, class, block.part(start, 0, width, height), out);
        }
    }

    /// Looks at a strip: its colours are in `strip` then.
    fn class(&mut self, wish: Wish, strip: Block<'_>) -> Class {
        self.runs.look(strip.distinct_rows().map(|(row, _)| row));
        let few = self.strip.look(self.runs.colours(), if wish.hasty { HASTY_MOST } else { MOST });
        if few { Class::of(self.strip.colours().len()) } else { Class::Many }
    }

    /// Whether the strip that was looked at goes with what is before it; then the palette has its colours, too.
    fn joins(&mut self, before: Class, class: Class) -> bool {
        match before.max(class) {
            Class::Many => before == class,
            Class::Few => before == class && self.palette.join(&self.strip, MOST),
            Class::Two => self.palette.join(&self.strip, 2),
            Class::Flat => self.palette.join(&self.strip, 1),
        }
    }

    /// One rectangle, whose colours are in the palette, if they are few.
    fn piece(&mut self, wish: Wish, class: Class, block: Block<'_>, out: &mut Vec<u8>) {
        if class == Class::Many && wish.hasty {
            return self.raw(block, out);
        }
        header(block.rect, Kind::Tight.number(), out);
        match class {
            Class::Flat => {
                out.push(FILL);
                self.format.tight().put(self.palette.colours(), out);
            }
            Class::Two | Class::Few => self.indexed(wish, block, out),
            Class::Many => {
                out.push(FULL << 4);
                self.bytes.clear();
                block.rows().for_each(|row| self.format.tight().put(row, &mut self.bytes));
                self.squeeze(wish, FULL, out);
            }
        }
    }

    fn indexed(&mut self, wish: Wish, block: Block<'_>, out: &mut Vec<u8>) {
        let Encoder { palette, bytes, numbers, .. } = self;
        let colours = palette.colours();
        let stream = if colours.len() == 2 { TWO } else { INDEXED };
        out.extend_from_slice(&[stream << 4 | FILTER, PALETTE_FILTER, (colours.len() - 1) as u8]);
        self.format.tight().put(colours, out);
        bytes.clear();
        for (row, times) in block.distinct_rows() {
            let start = bytes.len();
            match colours {
                [first, _] => {
                    numbers.clear();
                    numbers.extend(row.iter().map(|pixel| u8::from(pixel != first)));
                    pack(numbers, 1, bytes);
                }
                _ => bytes.extend(palette.numbers(row)),
            }
            let end = bytes.len();
            (1..times).for_each(|_| bytes.extend_from_within(start..end));
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
