//! The pointer: its picture, and that drawn into the screen's.

use super::{Picture, Size};

/// The pointer's picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    pub size: Size,
    /// The pixel that points.
    pub hot: (u32, u32),
    /// 0xAARRGGBB, rows from the top; not multiplied by alpha.
    pub pixels: Vec<u32>,
}

impl Cursor {
    /// Draws what of it lies in `picture`; `at` is where its top left corner is.
    pub fn draw(&self, picture: &mut Picture, at: (i32, i32)) {
        let (width, height) = (picture.size.width as usize, picture.size.height as usize);
        let rows = self.pixels.chunks_exact((self.size.width as usize).max(1));
        for (row, y) in rows.zip(i64::from(at.1)..) {
            for (pixel, x) in row.iter().zip(i64::from(at.0)..) {
                let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { continue };
                if x < width
                    && y < height
                    && let Some(under) = picture.pixels.get_mut(y * width + x)
                {
                    *under = over(*pixel, *under);
                }
            }
        }
    }
}

/// `pixel` as its alpha has it, above `under`.
fn over(pixel: u32, under: u32) -> u32 {
    let alpha = pixel >> 24;
    let colour = |shift: u32| {
        let (above, below) = (pixel >> shift & 0xff, under >> shift & 0xff);
        ((above * alpha + below * (255 - alpha) + 127) / 255) << shift
    };
    colour(16) | colour(8) | colour(0)
}
