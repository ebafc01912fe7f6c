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
        pixels.iter().all(|pixel| self.add(*pixel, most.min(MOST)))
    }

    /// Takes those of another one, if they are `most` together at the most.
    pub fn join(&mut self, other: &Palette, most: usize) -> bool {
        let new = other.colours.iter().filter(|colour| self.number(**colour).is_none()).count();
        let fits = self.colours.len() + new <= most.min(MOST);
        fits && other.colours.iter().all(|colour| self.add(*colour, MOST))
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

    /// The number of a colour, if it is in it.
    pub fn number(&self, colour: u32) -> Option<u8> {
        let mut slot = hash(colour);
        for _ in 0..SLOTS {
            match self.slots.get(slot) {
                None | Some(0) => break,
                Some(&n) if self.colours.get(usize::from(n) - 1) == Some(&colour) => return Some((n - 1) as u8),
                _ => slot = (slot + 1) % SLOTS,
            }
        }
        None
    }

    /// Those of pixels that are in it; one is looked for only where the colour changes.
    pub fn numbers(&self, pixels: &[u32]) -> impl Iterator<Item = u8> {
        let mut last = None;
        pixels.iter().map(move |&pixel| match last {
            Some((colour, number)) if colour == pixel => number,
            _ => {
                let number = self.number(pixel).unwrap_or_default();
                last = Some((pixel, number));
                number
            }
        })
    }

    pub fn colours(&self) -> &[u32] {
        &self.colours
    }
}

fn hash(colour: u32) -> usize {
    (colour.wrapping_mul(0x9e37_79b1) >> 22) as usize
}

/// Appends the numbers of a row's pixels with `bits` each (1, 2 or 4), the first in the highest bits; the last byte
/// is filled with zeros.
pub fn pack(numbers: &[u8], bits: u32, out: &mut Vec<u8>) {
    match bits {
        1 => pack_by::<8>(numbers, out),
        2 => pack_by::<4>(numbers, out),
        _ => pack_by::<2>(numbers, out),
    }
}

/// `N` of them in a byte.
fn pack_by<const N: usize>(numbers: &[u8], out: &mut Vec<u8>) {
    let byte = |some: &[u8; N]| some.iter().fold(0, |byte, number| byte << (8 / N) | number);
    let (whole, rest) = numbers.as_chunks::<N>();
    out.extend(whole.iter().map(byte));
    if !rest.is_empty() {
        let mut last = [0; N];
        last.iter_mut().zip(rest).for_each(|(to, number)| *to = *number);
        out.push(byte(&last));
    }
}
