//! Which parts of a picture have changed: one bit for every 16 pixels of a row.

use super::{Rect, Size};
use std::ops::Range;

/// Pixels of a row that have one bit.
const CELL: u32 = 16;

#[derive(Debug, Default)]
pub struct Damage {
    size: Size,
    /// 64-bit words of a row.
    words: usize,
    bits: Vec<u64>,
    /// Rows that may have bits set: from, and up to.
    rows: (u32, u32),
}

/// The parts of a row's stretch that begin or end where cells do, as offsets from `x`.
pub fn cells(x: u32, width: u32) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        (at < width).then(|| {
            let end = width.min(at + CELL - (x + at) % CELL);
            std::mem::replace(&mut at, end) as usize..end as usize
        })
    })
}

impl Damage {
    /// None, in a picture of this size.
    pub fn new(size: Size) -> Damage {
        let words = size.width.div_ceil(CELL * u64::BITS) as usize;
        Damage { size, words, bits: vec![0; words * size.height as usize], rows: (0, 0) }
    }

    /// All of the picture has changed.
    pub fn all(&mut self) {
        self.bits.fill(u64::MAX);
        self.rows = (0, self.size.height);
    }

    /// The cell of this pixel has changed.
    pub fn cell(&mut self, x: u32, y: u32) {
        let cell = x / CELL;
        let at = y as usize * self.words + (cell / u64::BITS) as usize;
        if let Some(word) = self.bits.get_mut(at) {
            *word |= 1 << (cell % u64::BITS);
            self.rows = match self.rows {
                (0, 0) => (y, y + 1),
                (from, to) => (from.min(y), to.max(y + 1)),
            };
        }
    }

    /// All cells of this rectangle, which lies in the picture, have changed.
    pub fn add(&mut self, rect: Rect) {
        for y in rect.y..rect.y + rect.height {
            for cell in rect.x / CELL..(rect.x + rect.width).div_ceil(CELL) {
                self.cell(cell * CELL, y);
            }
        }
    }

    /// What has changed, without overlaps, as few rectangles as rows of one shape allow. Afterwards nothing has.
    pub fn take(&mut self) -> Vec<Rect> {
        let (from, to) = std::mem::take(&mut self.rows);
        let mut done: Vec<Rect> = Vec::new();
        // Those that end at the row above, and its bits.
        let (mut open, mut above): (Vec<Rect>, &[u64]) = (Vec::new(), &[]);
        for y in from..to {
            let start = y as usize * self.words;
            let Some(row) = self.bits.get(start..start + self.words) else { break };
            if row != above {
                done.append(&mut open);
                open.extend(spans(row, self.size.width).into_iter().map(|(x, width)| Rect { x, y, width, height: 0 }));
                above = row;
            }
            open.iter_mut().for_each(|rect| rect.height += 1);
        }
        done.append(&mut open);
        let rows = from as usize * self.words..(to as usize * self.words).min(self.bits.len());
        self.bits.get_mut(rows).unwrap_or_default().fill(0);
        done
    }
}

/// Runs of set bits in a row, as (x, width) in pixels.
fn spans(row: &[u64], width: u32) -> Vec<(u32, u32)> {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    if row.iter().all(|word| *word == 0) {
        return spans;
    }
    for cell in 0..width.div_ceil(CELL) {
        let word = row.get((cell / u64::BITS) as usize).copied().unwrap_or(0);
        if word >> (cell % u64::BITS) & 1 == 0 {
            continue;
        }
        let (x, end) = (cell * CELL, width.min((cell + 1) * CELL));
        match spans.last_mut().filter(|(start, width)| start + width == x) {
            Some((start, width)) => *width = end - *start,
            None => spans.push((x, end - x)),
        }
    }
    spans
}
