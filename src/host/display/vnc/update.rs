//! FramebufferUpdate (RFC 6143, section 7.6.1): what is sent, piece by piece.

use super::encode::{self, Encoder, Wish, header};
use super::lights::Lights;
use super::pixel::Format;
use crate::host::screen::{Cursor, Rect, Size, Viewer};
use anyhow::{Result, bail};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Pseudo-encodings (RFC 6143, section 7.8, and rfbproto).
pub mod encoding {
    pub const SIZE: i32 = -223;
    pub const LAST_RECT: i32 = -224;
    pub const CURSOR: i32 = -239;
    pub const LEVEL_0: i32 = -256;
    pub const EXTENDED_KEY: i32 = -258;
    pub const LEDS: i32 = -261;
    pub const EXTENDED_SIZE: i32 = -308;
    pub const FENCE: i32 = -312;
    pub const CONTINUOUS: i32 = -313;
    pub const CURSOR_ALPHA: i32 = -314;
    pub const MOUSE_BUTTONS: i32 = -316;
    pub const CLIPBOARD: i32 = 0xc0a1_e5ceu32.cast_signed();
    /// "VMware LED State"
    pub const LEDS_WIDE: i32 = 0x574d_5669;

    /// What this server knows.
    pub const ALL: &[i32] = &[
        SIZE, LAST_RECT, CURSOR, EXTENDED_KEY, LEDS, EXTENDED_SIZE, FENCE, CONTINUOUS, CURSOR_ALPHA, MOUSE_BUTTONS,
        CLIPBOARD, LEDS_WIDE,
    ];
    /// Those that an empty rectangle says yes to.
    pub const SILENT: &[i32] = &[EXTENDED_KEY, MOUSE_BUTTONS];
}

const KIND: u8 = 0;
/// The number of rectangles that stands for as many as there are before LastRect.
const MANY: u16 = u16::MAX;
/// More rectangles than that are sent as one around all of them, cut into pieces, of which there are not so many.
const MOST: usize = 4096;
/// Changes of size that a client has asked for and not been answered, at the most.
const MOST_REPLIES: usize = 64;

/// zlib's level for who does not say one: of a desktop's picture, higher ones take several times as long for one byte in
/// fifty (`tests/bench/screen`).
pub const USUAL_LEVEL: u32 = 6;

#[derive(Default)]
pub struct Update {
    /// The pointer's picture is new.
    pub cursor: bool,
    pub shape: Option<Arc<Cursor>>,
    pub lights: Lights,
    /// The client was sent a picture of the pointer, which it shows until there is another one.
    shaped: bool,
    /// The size is to be told, and has changed.
    pub layout: bool,
    pub resized: bool,
    /// Answers to SetDesktopSize.
    replies: Vec<u16>,
    introduce: Vec<i32>,
    rects: VecDeque<Rect>,
    wish: Wish,
    going: bool,
    pixels: Vec<u32>,
}

/// How hard to try for an update of so many pixels: what is small is worth it, and a large one is to be quick when the
/// client is on the same host.
pub fn effort(wish: Wish, pixels: u64, near: bool) -> Wish {
    match pixels {
        ..0x1_0000 => Wish { level: wish.level.max(USUAL_LEVEL), ..wish },
        0x1_0000..0x8_0000 => wish,
        _ => Wish { level: if near { wish.level.min(USUAL_LEVEL) } else { wish.level }, hasty: near, ..wish },
    }
}

impl Update {
    /// An update has begun and not been made to its end.
    pub fn going(&self) -> bool {
        self.going
    }

    /// Answers a wish of another size, with this status.
    pub fn reply(&mut self, status: u16) -> Result<()> {
        if self.replies.len() >= MOST_REPLIES {
            bail!("it asks for sizes and does not listen");
        }
        self.replies.push(status);
        Ok(())
    }

    pub fn introduce(&mut self, encodings: impl Iterator<Item = i32>) {
        // Once each, however often a client changes its mind before it asks for a picture.
        let new: Vec<i32> = encodings.filter(|e| !self.introduce.contains(e)).collect();
        self.introduce.extend(new);
    }

    /// Whether there is a picture of the pointer that the client should have.
    pub fn cursor_due(&self, can: &BTreeSet<i32>) -> bool {
        let able = can.contains(&encoding::CURSOR) || can.contains(&encoding::CURSOR_ALPHA);
        self.cursor && able && (self.shape.is_some() || self.shaped)
    }

    /// An update of its own with what may not be together with pixels: sizes.
    pub fn put_sizes(&mut self, can: &BTreeSet<i32>, size: Size, out: &mut Vec<u8>) {
        let (resized, layout) = (std::mem::take(&mut self.resized), std::mem::take(&mut self.layout));
        let replies = std::mem::take(&mut self.replies);
        let extended = can.contains(&encoding::EXTENDED_SIZE);
        let count = replies.len() + usize::from(resized || layout);
        if count == 0 {
            return;
        }
        begin(count as u16, out);
        for status in replies {
            extended_size(1, status, size, out);
        }
        match extended {
            true if resized || layout => extended_size(0, 0, size, out),
            false if resized => header(size.whole(), encoding::SIZE, out),
            _ => {}
        }
    }

    /// Begins with these parts of the picture, and all that may go with them.
    pub fn begin(&mut self, rects: &[Rect], wish: Wish, can: &BTreeSet<i32>, format: Format, out: &mut Vec<u8>) {
        self.rects = encode::cut(wish, &merged(rects)).into();
        if self.rects.len() > MOST {
            let all = rects.iter().copied().reduce(Rect::around);
            self.rects = encode::cut(wish, all.as_slice()).into();
        }
        self.wish = wish;
        self.going = true;
        let cursor = self.cursor_due(can);
        let lights = self.lights.due(can);
        let count = self.rects.len() + self.introduce.len() + usize::from(cursor) + usize::from(lights);
        begin(if wish.many { MANY } else { count.min(usize::from(MANY) - 1) as u16 }, out);
        for encoding in self.introduce.drain(..) {
            header(Rect::default(), encoding, out);
        }
        if cursor {
            self.cursor = false;
            self.shaped = self.shape.is_some();
            put_cursor(self.shape.as_deref(), can, format, out);
        }
        if lights {
            self.lights.put(can, out);
        }
    }

    /// How many pixels the next rectangle has.
    pub fn next_pixels(&self) -> u64 {
        self.rects.front().map_or(0, |rect| u64::from(rect.width) * u64::from(rect.height))
    }

    /// Appends the next rectangle, with the pixels of now. True: that was the last one.
    pub fn step(&mut self, viewer: &Viewer, encoder: &mut Encoder, out: &mut Vec<u8>) -> bool {
        if let Some(rect) = self.rects.pop_front() {
            self.pixels.clear();
            if !viewer.copy(rect, &mut self.pixels) {
                // Nothing is there now; what will be there is news again.
                self.pixels.clear();
                self.pixels.resize(rect.width as usize * rect.height as usize, 0);
            }
            encoder.put(self.wish, rect, &mut self.pixels, out);
        }
        self.going = !self.rects.is_empty();
        if !self.going && self.wish.many {
            header(Rect::default(), encoding::LAST_RECT, out);
        }
        !self.going
    }
}

fn begin(rectangles: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&[KIND, 0]);
    out.extend_from_slice(&rectangles.to_be_bytes());
}

/// "ExtendedDesktopSize", with one screen.
fn extended_size(reason: u32, status: u16, size: Size, out: &mut Vec<u8>) {
    let rect = Rect { x: reason, y: status.into(), ..size.whole() };
    header(rect, encoding::EXTENDED_SIZE, out);
    out.extend_from_slice(&[1, 0, 0, 0]);
    let [width, height] = [size.width, size.height].map(|side| (side as u16).to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&width);
    out.extend_from_slice(&height);
    out.extend_from_slice(&[0; 4]);
}

/// The pointer's picture, or that there is none.
fn put_cursor(cursor: Option<&Cursor>, can: &BTreeSet<i32>, format: Format, out: &mut Vec<u8>) {
    let none = Cursor::default();
    let cursor = cursor.unwrap_or(&none);
    let (width, height) = (cursor.size.width, cursor.size.height);
    let rect = Rect { x: cursor.hot.0, y: cursor.hot.1, width, height };
    let mut pixels = cursor.pixels.clone();
    pixels.resize(cursor.size.pixels(), 0);
    if can.contains(&encoding::CURSOR_ALPHA) {
        header(rect, encoding::CURSOR_ALPHA, out);
        out.extend_from_slice(&0i32.to_be_bytes());
        for pixel in pixels {
            let [alpha, r, g, b] = pixel.to_be_bytes();
            let part = |part: u8| ((u32::from(part) * u32::from(alpha) + 127) / 255) as u8;
            out.extend_from_slice(&[part(r), part(g), part(b), alpha]);
        }
        return;
    }
    header(rect, encoding::CURSOR, out);
    let opaque: Vec<u8> = pixels.iter().map(|p| u8::from(p >> 31 == 1)).collect();
    pixels.iter_mut().for_each(|p| *p &= 0xff_ffff);
    format.translate(&mut pixels);
    format.plain().put(&pixels, out);
    for row in opaque.chunks(width.max(1) as usize) {
        out.extend(row.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (n, bit)| byte | bit << (7 - n))));
    }
}

/// Rectangles that are nearly one are made one: a header costs as much as a few pixels more. Many are made few.
fn merged(rects: &[Rect]) -> Vec<Rect> {
    let mut slack = 64;
    loop {
        let mut merged: Vec<Rect> = Vec::new();
        for &rect in rects {
            let near = merged.iter_mut().rev().take(8).find(|last| waste(last, rect) <= slack);
            match near {
                Some(last) => *last = last.around(rect),
                None => merged.push(rect),
            }
        }
        if merged.len() <= MOST / 8 || slack > 1 << 30 {
            return merged;
        }
        slack *= 16;
    }
}

/// Pixels that are in neither, and would be in one around both.
fn waste(a: &Rect, b: Rect) -> u64 {
    let area = |r: Rect| u64::from(r.width) * u64::from(r.height);
    area(a.around(b)).saturating_sub(area(*a) + area(b))
}
