//! The encodings of rectangles: Raw, CopyRect, ZRLE, Tight (without JPEG and gradients).

use super::{COPY_RECT, RAW, TIGHT, ZRLE, broken};
use flate2::{Decompress, FlushDecompress};
use std::io::{self, Read};

#[derive(Clone, Copy)]
pub struct Rect {
    pub x: usize,
    pub y: usize,
    pub width: usize,
    pub height: usize,
}

/// The picture that is drawn on.
pub struct Canvas<'a> {
    pub pixels: &'a mut [u32],
    /// Pixels of a row.
    pub stride: usize,
}

impl Canvas<'_> {
    fn rows(&mut self, rect: Rect) -> impl Iterator<Item = &mut [u32]> {
        let (stride, Rect { x, y, width, height }) = (self.stride, rect);
        self.pixels.chunks_exact_mut(stride).skip(y).take(height).map(move |row| &mut row[x..x + width])
    }

    /// All of the rectangle, from what gives its pixels in order.
    fn fill(&mut self, rect: Rect, mut next: impl FnMut() -> io::Result<u32>) -> io::Result<()> {
        for row in self.rows(rect) {
            for pixel in row {
                *pixel = next()?;
            }
        }
        Ok(())
    }
}

/// The compressed streams of a connection.
pub struct Streams {
    zrle: Decompress,
    tight: [Decompress; 4],
    packed: Vec<u8>,
    bytes: Vec<u8>,
}

impl Default for Streams {
    fn default() -> Streams {
        let fresh = || Decompress::new(true);
        Streams { zrle: fresh(), tight: [(); 4].map(|()| fresh()), packed: Vec::new(), bytes: Vec::new() }
    }
}

fn byte(from: &mut impl Read) -> io::Result<u8> {
    let mut one = [0];
    from.read_exact(&mut one)?;
    Ok(one[0])
}

/// Everything that `packed` holds, at the end of `out`.
fn inflate(stream: &mut Decompress, packed: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let start = stream.total_in();
    loop {
        out.reserve(1 << 16);
        let done = (stream.total_in() - start) as usize;
        let before = out.len();
        stream.decompress_vec(&packed[done..], out, FlushDecompress::Sync).map_err(|_| broken("a zlib stream"))?;
        let all = (stream.total_in() - start) as usize == packed.len();
        if all && out.len() < out.capacity() {
            return Ok(());
        }
        if !all && out.len() == before {
            return Err(broken("a zlib stream that ends"));
        }
    }
}

/// Bytes of a buffer in turn.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> io::Result<u8> {
        let (first, rest) = self.0.split_first().ok_or_else(|| broken("too little data"))?;
        self.0 = rest;
        Ok(*first)
    }

    /// A CPIXEL: the three lower bytes, the lowest first.
    fn pixel(&mut self) -> io::Result<u32> {
        let (blue, green, red) = (self.byte()?, self.byte()?, self.byte()?);
        Ok(u32::from_be_bytes([0, red, green, blue]))
    }

    fn run(&mut self) -> io::Result<usize> {
        let mut len = 1;
        loop {
            let more = self.byte()?;
            len += usize::from(more);
            if more != 255 {
                return Ok(len);
            }
        }
    }
}

impl Streams {
    pub fn rect(&mut self, encoding: i32, from: &mut impl Read, to: &mut Canvas, rect: Rect) -> io::Result<()> {
        match encoding {
            RAW => {
                self.bytes.resize(rect.width * 4, 0);
                for row in to.rows(rect) {
                    from.read_exact(&mut self.bytes)?;
                    for (pixel, bytes) in row.iter_mut().zip(self.bytes.as_chunks::<4>().0) {
                        *pixel = u32::from_le_bytes(*bytes) & 0xff_ffff;
                    }
                }
                Ok(())
            }
            COPY_RECT => {
                let mut at = [0; 4];
                from.read_exact(&mut at)?;
                let [x, y] = [[at[0], at[1]], [at[2], at[3]]].map(|n| usize::from(u16::from_be_bytes(n)));
                let old: Vec<u32> = to.rows(Rect { x, y, ..rect }).flat_map(|row| row.to_vec()).collect();
                let mut old = old.into_iter();
                to.fill(rect, || old.next().ok_or_else(|| broken("a copy from outside")))
            }
            ZRLE => self.zrle(from, to, rect),
            TIGHT => self.tight(from, to, rect),
            other => Err(broken(&format!("encoding {other}"))),
        }
    }

    fn zrle(&mut self, from: &mut impl Read, to: &mut Canvas, rect: Rect) -> io::Result<()> {
        let mut len = [0; 4];
        from.read_exact(&mut len)?;
        self.packed.resize(u32::from_be_bytes(len) as usize, 0);
        from.read_exact(&mut self.packed)?;
        self.bytes.clear();
        inflate(&mut self.zrle, &self.packed, &mut self.bytes)?;
        let mut data = Cursor(&self.bytes);
        for y in (0..rect.height).step_by(64) {
            for x in (0..rect.width).step_by(64) {
                let (width, height) = ((rect.width - x).min(64), (rect.height - y).min(64));
                tile(&mut data, to, Rect { x: rect.x + x, y: rect.y + y, width, height })?;
            }
        }
        Ok(())
    }

    fn tight(&mut self, from: &mut impl Read, to: &mut Canvas, rect: Rect) -> io::Result<()> {
        let control = byte(from)?;
        for n in 0..4 {
            if control >> n & 1 == 1 {
                self.tight[n] = Decompress::new(true);
            }
        }
        if control >> 4 == 8 {
            let colour = colour(from)?;
            return to.fill(rect, || Ok(colour));
        }
        if control >> 7 == 1 {
            return Err(broken("Tight with JPEG"));
        }
        let filter = if control >> 6 & 1 == 1 { byte(from)? } else { 0 };
        let palette: Vec<u32> = match filter {
            0 => Vec::new(),
            1 => (0..=byte(from)?).map(|_| colour(from)).collect::<io::Result<_>>()?,
            _ => return Err(broken("Tight with a gradient")),
        };
        let row = match palette.len() {
            0 => rect.width * 3,
            2 => rect.width.div_ceil(8),
            _ => rect.width,
        };
        self.bytes.clear();
        if row * rect.height < 12 {
            self.bytes.resize(row * rect.height, 0);
            from.read_exact(&mut self.bytes)?;
        } else {
            self.packed.resize(compact(from)?, 0);
            from.read_exact(&mut self.packed)?;
            inflate(&mut self.tight[usize::from(control >> 4 & 3)], &self.packed, &mut self.bytes)?;
        }
        if self.bytes.len() != row * rect.height {
            return Err(broken("Tight with too much or too little data"));
        }
        for (to, bytes) in to.rows(rect).zip(self.bytes.chunks_exact(row)) {
            for (x, pixel) in to.iter_mut().enumerate() {
                *pixel = match palette.len() {
                    0 => u32::from_be_bytes([0, bytes[x * 3], bytes[x * 3 + 1], bytes[x * 3 + 2]]),
                    2 => palette[usize::from(bytes[x / 8] >> (7 - x % 8) & 1)],
                    _ => *palette.get(usize::from(bytes[x])).ok_or_else(|| broken("a colour outside the palette"))?,
                };
            }
        }
        Ok(())
    }
}

/// A TPIXEL: red, green, blue.
fn colour(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 3];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]))
}

fn compact(from: &mut impl Read) -> io::Result<usize> {
    let mut len = 0;
    for shift in [0, 7, 14] {
        let next = usize::from(byte(from)?);
        let last = shift == 14 || next & 0x80 == 0;
        len |= if shift == 14 { next } else { next & 0x7f } << shift;
        if last {
            break;
        }
    }
    Ok(len)
}

/// A tile of ZRLE (RFC 6143, 7.7.6).
fn tile(data: &mut Cursor, to: &mut Canvas, rect: Rect) -> io::Result<()> {
    let kind = data.byte()?;
    let colours = match kind {
        0 | 128 => 0,
        1 => 1,
        2..=16 => kind,
        130.. => kind - 128,
        _ => return Err(broken("a kind of tile that is not used")),
    };
    let palette: Vec<u32> = (0..colours).map(|_| data.pixel()).collect::<io::Result<_>>()?;
    let of = |n: u8| palette.get(usize::from(n)).copied().ok_or_else(|| broken("a colour outside the palette"));
    match kind {
        0 => to.fill(rect, || data.pixel()),
        1 => to.fill(rect, || of(0)),
        2..=16 => {
            let bits = if colours == 2 {
                1
            } else if colours <= 4 {
                2
            } else {
                4
            };
            for row in to.rows(rect) {
                let (mut left, mut word) = (0, 0);
                for pixel in row {
                    if left == 0 {
                        (left, word) = (8, data.byte()?);
                    }
                    left -= bits;
                    *pixel = of(word >> left & ((1 << bits) - 1))?;
                }
            }
            Ok(())
        }
        _ => {
            let (mut left, mut colour) = (0, 0);
            to.fill(rect, || {
                if left == 0 {
                    (colour, left) = match kind {
                        128 => (data.pixel()?, data.run()?),
                        _ => match data.byte()? {
                            n @ 128.. => (of(n - 128)?, data.run()?),
                            n => (of(n)?, 1),
                        },
                    };
                }
                left -= 1;
                Ok(colour)
            })
        }
    }
}
