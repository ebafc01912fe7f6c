//! Sizes and rectangles, in pixels from the top left corner.

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Rect {
    /// The part that lies in a picture of this size; `None`: nothing does.
    pub fn within(self, size: Size) -> Option<Rect> {
        let width = size.width.checked_sub(self.x)?.min(self.width);
        let height = size.height.checked_sub(self.y)?.min(self.height);
        (width > 0 && height > 0).then_some(Rect { width, height, ..self })
    }
}
