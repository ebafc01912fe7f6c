//! The colours of a few pixels, if they are few.

/// The most colours of a palette.
pub const MOST: usize = 256;
const SLOTS: usize = 1024;

/// Colours in the order in which they first appear.
pub struct Palette {
    colours: Vec<u32>,
    /// A table by hash: number of a colour plus one, 0: free.
    slots: [u16; SLOTS],
}

impl Default for Palette {
    fn default() -> Palette {
        Palette { colours: Vec::with_capacity(MOST), slots: [0; SLOTS] }
    }
}

impl Palette {
    /// Takes the colours of these pixels. False: they have more than `most` (256 at the most).
    pub fn look(&mut self, pixels: &[u32], most: usize) -> bool {
        self.colours.clear();
        self.slots.fill(0);
        let mut last = None;
        for &pixel in pixels {
            if last != Some(pixel) {
                last = Some(pixel);
                if !self.add(pixel, most.min(MOST)) {
                    return false;
                }
            }
        }
        true
    }

    fn add(&mut self, colour: u32, most: usize) -> bool {
        let mut slot = hash(colour);
        // There are always free slots.
        for _ in 0..SLOTS {
            let Some(number) = self.slots.get_mut(slot) else { return false };
            match *number {
                0 if self.colours.len() == most => return false,
                0 => {
                    self.colours.push(colour);
                    *number = self.colours.len() as u16;
                    return true;
                }
                n if self.colours.get(usize::from(n) - 1) == Some(&colour) => return true,
                _ => slot = (slot + 1) % SLOTS,
            }
        }
        false
    }

    /// The number of a colour that is in it.
    pub fn number(&self, colour: u32) -> u8 {
        let mut slot = hash(colour);
        for _ in 0..SLOTS {
            match self.slots.get(slot) {
                None | Some(0) => break,
                Some(&n) if self.colours.get(usize::from(n) - 1) == Some(&colour) => return (n - 1) as u8,
                _ => slot = (slot + 1) % SLOTS,
            }
        }
        0
    }

    pub fn colours(&self) -> &[u32] {
        &self.colours
    }
}

fn hash(colour: u32) -> usize {
    (colour.wrapping_mul(0x9e37_79b1) >> 22) as usize
}

/// Appends the numbers of a row's pixels with `bits` each (1, 2, 4 or 8), the first in the highest bits; the last byte
/// is filled with zeros.
pub fn pack(numbers: impl Iterator<Item = u8>, bits: u32, out: &mut Vec<u8>) {
    let (mut byte, mut free) = (0, 8);
    for number in numbers {
        free -= bits;
        byte |= number << free;
        if free == 0 {
            out.push(byte);
            (byte, free) = (0, 8);
        }
    }
    if free < 8 {
        out.push(byte);
    }
}

/// Calls `number` only where the colour changes.
pub fn numbers<'a>(palette: &'a Palette, pixels: &'a [u32]) -> impl Iterator<Item = u8> + 'a {
    let mut last = (pixels.first().copied().unwrap_or(0), 0);
    last.1 = palette.number(last.0);
    pixels.iter().map(move |&pixel| {
        if pixel != last.0 {
            last = (pixel, palette.number(pixel));
        }
        last.1
    })
}
