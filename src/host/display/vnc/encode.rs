//! Rectangles as the client wants them: Raw, ZRLE and Tight, each losslessly.
//!
//! The zlib streams of a connection live as long as it does, so what is alike in one rectangle helps the next.

mod palette;
mod runs;
mod stream;
mod tight;
mod zrle;

use super::pixel::Format;
use crate::host::screen::Rect;
use palette::Palette;
use runs::Runs;
use stream::Stream;

/// The side of a tile of ZRLE, and the height of rectangles.
const TILE: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Raw,
    Tight,
    Zrle,
}

impl Kind {
    pub fn of(number: i32) -> Option<Kind> {
        Some(match number {
            0 => Kind::Raw,
            7 => Kind::Tight,
            16 => Kind::Zrle,
            _ => return None,
        })
    }

    fn number(self) -> i32 {
        match self {
            Kind::Raw => 0,
            Kind::Tight => 7,
            Kind::Zrle => 16,
        }
    }
}

/// What a client asked for, as far as it matters here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    pub kind: Kind,
    /// zlib's, 0 to 9.
    pub level: u32,
    /// One rectangle may become many.
    pub many: bool,
    /// Work costs more than bytes: what does not get much smaller by it goes as it is.
    pub hasty: bool,
}

pub struct Encoder {
    format: Format,
    zrle: Stream,
    tight: [Stream; 3],
    runs: Runs,
    palette: Palette,
    /// Of the strip of Tight that is looked at.
    strip: Palette,
    /// Of one rectangle, before they are compressed.
    bytes: Vec<u8>,
    numbers: Vec<u8>,
    squeezed: Vec<u8>,
}

/// The pixels of a rectangle.
#[derive(Clone, Copy)]
struct Block<'a> {
    rect: Rect,
    /// From the first one on.
    pixels: &'a [u32],
    /// Pixels from one row to the next.
    stride: usize,
}

impl<'a> Block<'a> {
    fn rows(self) -> impl Iterator<Item = &'a [u32]> {
        let rows = self.pixels.chunks(self.stride.max(1)).take(self.rect.height as usize);
        rows.filter_map(move |row| row.get(..self.rect.width as usize))
    }

    /// Rows that are alike, one below the other, are given once, with how many they are.
    fn distinct_rows(self) -> impl Iterator<Item = (&'a [u32], usize)> {
        let mut rows = self.rows().peekable();
        std::iter::from_fn(move || {
            let row = rows.next()?;
            let mut times = 1;
            while rows.next_if_eq(&row).is_some() {
                times += 1;
            }
            Some((row, times))
        })
    }

    /// What of it begins `x` and `y` pixels from its corner, of this size at the most.
    fn part(self, x: u32, y: u32, width: u32, height: u32) -> Block<'a> {
        let rect = Rect {
            x: self.rect.x + x,
            y: self.rect.y + y,
            width: width.min(self.rect.width.saturating_sub(x)),
            height: height.min(self.rect.height.saturating_sub(y)),
        };
        let pixels = self.pixels.get(y as usize * self.stride + x as usize..).unwrap_or_default();
        Block { rect, pixels, ..self }
    }
}

impl Encoder {
    pub fn new() -> Encoder {
        Encoder {
            format: Format::OWN,
            zrle: Stream::default(),
            tight: Default::default(),
            runs: Runs::default(),
            palette: Palette::default(),
            strip: Palette::default(),
            bytes: Vec::new(),
            numbers: Vec::new(),
            squeezed: Vec::new(),
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    pub fn set_format(&mut self, format: Format) {
        self.format = format;
    }

    /// Appends `rect`, whose pixels (0x00RRGGBB) are these; they are overwritten. One rectangle on the wire, or if there
    /// may be many, at least one.
    pub fn put(&mut self, wish: Wish, rect: Rect, pixels: &mut [u32], out: &mut Vec<u8>) {
        self.format.translate(pixels);
        let block = Block { rect, pixels, stride: rect.width as usize };
        match wish.kind {
            Kind::Raw => self.raw(block, out),
            Kind::Zrle => self.zrle(wish, block, out),
            Kind::Tight => self.tight(wish, block, out),
        }
    }

    fn raw(&mut self, block: Block<'_>, out: &mut Vec<u8>) {
        header(block.rect, Kind::Raw.number(), out);
        block.rows().for_each(|row| self.format.plain().put(row, out));
    }
}

/// What every rectangle of an update begins with (RFC 6143, section 7.6.1).
pub fn header(rect: Rect, encoding: i32, out: &mut Vec<u8>) {
    for part in [rect.x, rect.y, rect.width, rect.height] {
        // No picture has a side that does not fit.
        out.extend_from_slice(&(part as u16).to_be_bytes());
    }
    out.extend_from_slice(&encoding.to_be_bytes());
}

/// Cuts rectangles into those that [`Encoder::put`] takes, of 2^17 pixels at the most: their bytes are what a client that
/// does not read costs. (Those of Tight may be 2048 pixels wide.)
pub fn cut(wish: Wish, rects: &[Rect]) -> Vec<Rect> {
    let width = match (wish.kind, wish.many) {
        (Kind::Tight, false) => 2 * TILE,
        (Kind::Tight, true) | (Kind::Raw, _) => 16 * TILE,
        (Kind::Zrle, _) => 32 * TILE,
    };
    let mut cut = Vec::new();
    for rect in rects {
        for y in (0..rect.height).step_by(TILE as usize) {
            for x in (0..rect.width).step_by(width as usize) {
                let (width, height) = (width.min(rect.width - x), TILE.min(rect.height - y));
                cut.push(Rect { x: rect.x + x, y: rect.y + y, width, height });
            }
        }
    }
    cut
}
