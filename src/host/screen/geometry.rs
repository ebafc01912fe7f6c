//! Sizes and rectangles, in pixels from the top left corner.

use std::fmt;
use std::str::FromStr;

/// The most pixels that a picture has: 64 MiB of them.
const MOST: u64 = 16 << 20;
/// The longest side of a picture.
const LONGEST: u32 = 16384;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    pub width: u32,
    pub height: u32,
}

impl Size {
    /// A size that a picture can have: neither empty, nor more than 16384 pixels a side, nor more than 2^24 of them.
    pub fn checked(width: u32, height: u32) -> Option<Size> {
        let size = Size { width, height };
        let area = u64::from(width) * u64::from(height);
        (!size.is_empty() && width <= LONGEST && height <= LONGEST && area <= MOST).then_some(size)
    }

    pub fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    pub fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    pub fn whole(self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }
}

/// `1280x800`
impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Size, &'static str> {
        let number = |text: &str| text.parse::<u32>().ok();
        let sides = text.split_once('x').and_then(|(width, height)| Some((number(width)?, number(height)?)));
        let (width, height) = sides.ok_or("want WIDTHxHEIGHT, such as 1280x800")?;
        Size::checked(width, height).ok_or("want at most 16384 pixels a side, and 2^24 in all")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Rect {
    /// Whether all of it lies in a picture of this size, and it is not empty.
    pub fn fits(self, size: Size) -> bool {
        self.within(size) == Some(self)
    }

    /// What both have in common; `None`: nothing.
    pub fn common(self, other: Rect) -> Option<Rect> {
        let end = |at: u32, len: u32| at.saturating_add(len);
        let (x, y) = (self.x.max(other.x), self.y.max(other.y));
        let right = end(self.x, self.width).min(end(other.x, other.width));
        let bottom = end(self.y, self.height).min(end(other.y, other.height));
        let (width, height) = (right.checked_sub(x)?, bottom.checked_sub(y)?);
        (width > 0 && height > 0).then_some(Rect { x, y, width, height })
    }

    /// The part that lies in a picture of this size; `None`: nothing does.
    pub fn within(self, size: Size) -> Option<Rect> {
        let width = size.width.checked_sub(self.x)?.min(self.width);
        let height = size.height.checked_sub(self.y)?.min(self.height);
        (width > 0 && height > 0).then_some(Rect { width, height, ..self })
    }

    /// The smallest one with both.
    pub fn around(self, other: Rect) -> Rect {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Rect { x, y, width: right - x, height: bottom - y }
    }

    /// Cuts it along the edges of `area`, into the part inside and the others.
    pub fn split(self, area: Rect, inside: &mut Vec<Rect>, outside: &mut Vec<Rect>) {
        let cuts = |from: u32, len: u32, at: u32, size: u32| {
            let end = from + len;
            let low = at.clamp(from, end);
            [
                (from, low),
                (low, at.saturating_add(size).clamp(low, end)),
                (at.saturating_add(size).clamp(low, end), end),
            ]
        };
        for (row, (top, bottom)) in cuts(self.y, self.height, area.y, area.height).into_iter().enumerate() {
            for (column, (left, right)) in cuts(self.x, self.width, area.x, area.width).into_iter().enumerate() {
                if bottom > top && right > left {
                    let part = Rect { x: left, y: top, width: right - left, height: bottom - top };
                    if (row, column) == (1, 1) { inside.push(part) } else { outside.push(part) }
                }
            }
        }
    }
}
