//! A viewer for tests, written from the specifications: it understands what the server may send, and draws it.

use super::super::pixel::Format;
use crate::host::screen::{Rect, Size};
use flate2::{Decompress, FlushDecompress};
use std::io::{Read, Write};

/// Pixel values as the client's format has them.
#[derive(Debug, PartialEq, Eq)]
pub struct Canvas {
    pub size: Size,
    pub pixels: Vec<u32>,
}

/// Rectangles as bytes.
pub struct Decoder {
    pub format: [u8; 16],
    streams: Vec<Decompress>,
}

impl Decoder {
    pub fn new() -> Decoder {
        Decoder { format: Format::OWN.bytes(), streams: (0..5).map(|_| Decompress::new(true)).collect() }
    }

    fn bytes_per_pixel(&self) -> usize {
        usize::from(self.format[0] / 8)
    }

    fn value(&self, bytes: &[u8]) -> u32 {
        let join = |all: u32, byte: &u8| all << 8 | u32::from(*byte);
        if self.format[2] != 0 { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
    }

    fn plain(&self, from: &mut impl Read) -> u32 {
        self.value(&take(from, self.bytes_per_pixel()))
    }

    /// 32 bits of which 24 are used, with eight for each colour.
    fn is_full(&self) -> bool {
        let max = &self.format[4..10];
        self.format[0] == 32 && self.format[1] == 24 && max == [0, 255, 0, 255, 0, 255]
    }

    fn compact(&self, from: &mut impl Read) -> u32 {
        let used: u32 = (0..3).map(|n| u32::from(self.max(n)) << self.format[10 + n]).sum();
        if self.format[0] != 32 || self.format[1] > 24 {
            return self.plain(from);
        }
        match used {
            0..=0xff_ffff => self.value(&take(from, 3)),
            _ if used & 0xff == 0 => self.value(&take(from, 3)) << 8,
            _ => self.plain(from),
        }
    }

    fn max(&self, n: usize) -> u16 {
        u16::from_be_bytes([self.format[4 + 2 * n], self.format[5 + 2 * n]])
    }

    fn tight(&self, from: &mut impl Read) -> u32 {
        if !self.is_full() {
            return self.plain(from);
        }
        let rgb = take(from, 3);
        (0..3).map(|n| u32::from(rgb[n]) << self.format[10 + n]).sum()
    }

    fn inflate(&mut self, stream: usize, data: &[u8]) -> Vec<u8> {
        let zlib = &mut self.streams[stream];
        let mut out = Vec::with_capacity(1 << 20);
        let start = zlib.total_in();
        loop {
            let done = (zlib.total_in() - start) as usize;
            out.reserve(1 << 16);
            let before = out.len();
            zlib.decompress_vec(&data[done..], &mut out, FlushDecompress::Sync).unwrap();
            if (zlib.total_in() - start) as usize == data.len() && out.len() == before {
                return out;
            }
        }
    }

    /// One rectangle's pixels, in rows.
    pub fn rect(&mut self, rect: Rect, encoding: i32, from: &mut impl Read) -> Vec<u32> {
        let count = (rect.width * rect.height) as usize;
        match encoding {
            0 => (0..count).map(|_| self.plain(from)).collect(),
            7 => self.tight_rect(rect, from),
            16 => {
                let length = u32::from_be_bytes(take(from, 4).try_into().unwrap());
                let data = take(from, length as usize);
                let data = self.inflate(4, &data);
                let mut bytes = &data[..];
                let pixels = self.zrle_rect(rect, &mut bytes);
                assert!(bytes.is_empty(), "{} bytes too many", bytes.len());
                pixels
            }
            other => panic!("encoding {other}"),
        }
    }

    fn tight_rect(&mut self, rect: Rect, from: &mut impl Read) -> Vec<u32> {
        let (width, count) = (rect.width as usize, (rect.width * rect.height) as usize);
        assert!(width <= 2048);
        let control = take(from, 1)[0];
        if control == 0x80 {
            return vec![self.tight(from); count];
        }
        assert!(control < 0x80 && control & 0xf == 0, "control {control:#x}");
        let stream = usize::from(control >> 4 & 3);
        let filter = if control & 0x40 != 0 { take(from, 1)[0] } else { 0 };
        if filter == 0 {
            let size = if self.is_full() { 3 } else { self.bytes_per_pixel() };
            let data = self.squeezed(stream, count * size, from);
            let mut bytes = &data[..];
            return (0..count).map(|_| self.tight(&mut bytes)).collect();
        }
        assert_eq!(filter, 1);
        let colours = usize::from(take(from, 1)[0]) + 1;
        let palette: Vec<u32> = (0..colours).map(|_| self.tight(from)).collect();
        if colours == 2 {
            let row = width.div_ceil(8);
            let data = self.squeezed(stream, row * rect.height as usize, from);
            let bit = |x: usize, y: usize| usize::from(data[y * row + x / 8] >> (7 - x % 8) & 1);
            return (0..count).map(|n| palette[bit(n % width, n / width)]).collect();
        }
        self.squeezed(stream, count, from).iter().map(|n| palette[usize::from(*n)]).collect()
    }

    fn squeezed(&mut self, stream: usize, size: usize, from: &mut impl Read) -> Vec<u8> {
        if size < 12 {
            return take(from, size);
        }
        let mut length = 0;
        for n in 0..3 {
            let byte = take(from, 1)[0];
            length |= usize::from(if n < 2 { byte & 0x7f } else { byte }) << (7 * n);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let data = take(from, length);
        let data = self.inflate(stream, &data);
        assert_eq!(data.len(), size);
        data
    }

    fn zrle_rect(&self, rect: Rect, from: &mut &[u8]) -> Vec<u32> {
        let mut all = vec![0; (rect.width * rect.height) as usize];
        for y in (0..rect.height).step_by(64) {
            for x in (0..rect.width).step_by(64) {
                let (width, height) = (64.min(rect.width - x), 64.min(rect.height - y));
                let tile = self.zrle_tile(width as usize, height as usize, from);
                for (n, pixel) in tile.into_iter().enumerate() {
                    let (row, column) = (y + n as u32 / width, x + n as u32 % width);
                    all[(row * rect.width + column) as usize] = pixel;
                }
            }
        }
        all
    }

    fn zrle_tile(&self, width: usize, height: usize, from: &mut &[u8]) -> Vec<u32> {
        let kind = take(from, 1)[0];
        let count = width * height;
        let palette = |from: &mut &[u8], n: u8| (0..n).map(|_| self.compact(from)).collect::<Vec<_>>();
        let mut pixels = Vec::new();
        match kind {
            0 => pixels = (0..count).map(|_| self.compact(from)).collect(),
            1 => pixels = vec![self.compact(from); count],
            2..=16 => {
                let colours = palette(from, kind);
                let bits = [1, 2, 4][usize::from(kind > 2) + usize::from(kind > 4)];
                for _ in 0..height {
                    let row = take(from, (width * bits).div_ceil(8));
                    let at = |x: usize| row[x * bits / 8] as usize >> (8 - bits - x * bits % 8) & ((1 << bits) - 1);
                    pixels.extend((0..width).map(|x| colours[at(x)]));
                }
            }
            128 => {
                while pixels.len() < count {
                    let colour = self.compact(from);
                    pixels.resize(pixels.len() + run(from), colour);
                }
            }
            130.. => {
                let colours = palette(from, kind - 128);
                while pixels.len() < count {
                    let number = take(from, 1)[0];
                    let length = if number & 0x80 != 0 { run(from) } else { 1 };
                    pixels.resize(pixels.len() + length, colours[usize::from(number & 0x7f)]);
                }
            }
            other => panic!("a tile of kind {other}"),
        }
        assert_eq!(pixels.len(), count);
        pixels
    }
}

fn run(from: &mut &[u8]) -> usize {
    let mut length = 1;
    loop {
        let byte = take(from, 1)[0];
        length += usize::from(byte);
        if byte != 255 {
            return length;
        }
    }
}

pub fn take(from: &mut impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

/// What a rectangle of an update was.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Pixels(Rect),
    Size(Size),
    /// Reason, status, size.
    ExtendedSize(u32, u32, Size),
    Cursor { hot: (u32, u32), size: Size, pixels: Vec<u8>, mask: Vec<u8> },
    Yes(i32),
    Lights(u32),
}

pub struct Client<S> {
    pub stream: S,
    pub decoder: Decoder,
    pub canvas: Canvas,
    pub name: String,
}

impl<S: Read + Write> Client<S> {
    /// Greets, without a password.
    pub fn new(mut stream: S) -> Client<S> {
        assert_eq!(take(&mut stream, 12), b"RFB 003.008\n");
        stream.write_all(b"RFB 003.008\n").unwrap();
        assert_eq!(take(&mut stream, 2), [1, 1]);
        stream.write_all(&[1]).unwrap();
        assert_eq!(take(&mut stream, 4), [0; 4]);
        Client::enter(stream)
    }

    /// From ClientInit on.
    pub fn enter(mut stream: S) -> Client<S> {
        stream.write_all(&[1]).unwrap();
        let [w1, w2, h1, h2]: [u8; 4] = take(&mut stream, 4).try_into().unwrap();
        let size = Size { width: u16::from_be_bytes([w1, w2]).into(), height: u16::from_be_bytes([h1, h2]).into() };
        let mut decoder = Decoder::new();
        decoder.format = take(&mut stream, 16).try_into().unwrap();
        let length = u32::from_be_bytes(take(&mut stream, 4).try_into().unwrap());
        let name = String::from_utf8(take(&mut stream, length as usize)).unwrap();
        let canvas = Canvas { size, pixels: vec![0xdead; size.pixels()] };
        Client { stream, decoder, canvas, name }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn encodings(&mut self, list: &[i32]) {
        let mut message = vec![2, 0, 0, list.len() as u8];
        message.extend(list.iter().flat_map(|e| e.to_be_bytes()));
        self.send(&message);
    }

    pub fn request(&mut self, incremental: bool) {
        let [w, h] = [self.canvas.size.width, self.canvas.size.height].map(|n| (n as u16).to_be_bytes());
        self.send(&[3, incremental.into(), 0, 0, 0, 0, w[0], w[1], h[0], h[1]]);
    }

    /// The next message, which must be an update.
    pub fn update(&mut self) -> Vec<Seen> {
        assert_eq!(take(&mut self.stream, 2)[0], 0, "an update");
        let count = u16::from_be_bytes(take(&mut self.stream, 2).try_into().unwrap());
        let mut seen = Vec::new();
        for _ in 0..count {
            let parts: Vec<u32> = (0..4).map(|_| u16::from_be_bytes(take(&mut self.stream, 2).try_into().unwrap()).into()).collect();
            let rect = Rect { x: parts[0], y: parts[1], width: parts[2], height: parts[3] };
            let encoding = i32::from_be_bytes(take(&mut self.stream, 4).try_into().unwrap());
            if encoding == -224 {
                break;
            }
            seen.push(self.rectangle(rect, encoding));
        }
        seen
    }

    fn rectangle(&mut self, rect: Rect, encoding: i32) -> Seen {
        let size = Size { width: rect.width, height: rect.height };
        match encoding {
            -223 => {
                self.resize(size);
                Seen::Size(size)
            }
            -308 => {
                let screens = take(&mut self.stream, 4)[0];
                take(&mut self.stream, 16 * usize::from(screens));
                if rect.y == 0 {
                    self.resize(size);
                }
                Seen::ExtendedSize(rect.x, rect.y, size)
            }
            -239 => {
                let pixels = take(&mut self.stream, size.pixels() * self.decoder.bytes_per_pixel());
                let mask = take(&mut self.stream, rect.width.div_ceil(8) as usize * rect.height as usize);
                Seen::Cursor { hot: (rect.x, rect.y), size, pixels, mask }
            }
            -314 => {
                assert_eq!(take(&mut self.stream, 4), [0; 4]);
                let pixels = take(&mut self.stream, size.pixels() * 4);
                Seen::Cursor { hot: (rect.x, rect.y), size, pixels, mask: Vec::new() }
            }
            -258 | -316 => Seen::Yes(encoding),
            -261 => Seen::Lights(take(&mut self.stream, 1)[0].into()),
            0x574d_5669 => Seen::Lights(u32::from_be_bytes(take(&mut self.stream, 4).try_into().unwrap())),
            _ => {
                let pixels = self.decoder.rect(rect, encoding, &mut self.stream);
                for (row, pixels) in pixels.chunks(rect.width as usize).enumerate() {
                    let at = (rect.y as usize + row) * self.canvas.size.width as usize + rect.x as usize;
                    self.canvas.pixels[at..at + pixels.len()].copy_from_slice(pixels);
                }
                Seen::Pixels(rect)
            }
        }
    }

    fn resize(&mut self, size: Size) {
        if size != self.canvas.size {
            self.canvas = Canvas { size, pixels: vec![0xdead; size.pixels()] };
        }
    }
}
