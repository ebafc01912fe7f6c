//! What clients say (RFC 6143, section 7.5, and the extensions of the community's rfbproto), read from bytes that may
//! be anything.

use crate::host::screen::Rect;
use anyhow::{Result, bail};

/// The longest cut text that is taken.
pub const LONGEST_TEXT: usize = 1 << 20;
/// The longest payload of a fence (rfbproto, "ClientFence").
const LONGEST_FENCE: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    PixelFormat([u8; 16]),
    Encodings(Vec<i32>),
    Update {
        incremental: bool,
        area: Rect,
    },
    Key {
        down: bool,
        keysym: u32,
    },
    /// With the place of the key, as an XT scan code.
    ExtendedKey {
        down: bool,
        keysym: u32,
        scancode: u32,
    },
    /// Bit n is button n + 1.
    Pointer {
        buttons: u16,
        x: u16,
        y: u16,
    },
    /// Latin-1.
    CutText(Vec<u8>),
    ExtendedCut(Vec<u8>),
    /// A cut text that is too long: so many bytes follow that are not looked at.
    Skip(usize),
    Continuous {
        on: bool,
        area: Rect,
    },
    Fence {
        flags: u32,
        payload: Vec<u8>,
    },
    Resize {
        width: u16,
        height: u16,
    },
}

/// The rest of the bytes; `None` of its functions: they have not all come yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn area(&mut self) -> Option<Rect> {
        let [x, y, width, height] = [self.u16()?, self.u16()?, self.u16()?, self.u16()?].map(u32::from);
        Some(Rect { x, y, width, height })
    }
}

/// The first message of `bytes`, and its length; `None`: it has not all come yet. `wide`: the client may speak of more
/// than eight buttons. Errors on what is no message, after which nothing can be understood any more.
pub fn parse(bytes: &[u8], wide: bool) -> Result<Option<(Message, usize)>> {
    let mut reader = Reader(bytes);
    let Some(kind) = reader.u8() else { return Ok(None) };
    let message = match kind {
        0 => reader.take(3).and_then(|_| reader.array()).map(Message::PixelFormat),
        2 => encodings(&mut reader),
        3 => update(&mut reader),
        4 => key(&mut reader),
        5 => pointer(&mut reader, wide),
        6 => cut_text(&mut reader),
        150 => continuous(&mut reader),
        248 => match fence(&mut reader) {
            Some(Err(len)) => bail!("a fence with {len} bytes"),
            other => other.and_then(Result::ok),
        },
        251 => resize(&mut reader),
        255 => match reader.u8() {
            Some(0) => extended_key(&mut reader),
            Some(other) => bail!("message 255, {other}, which was not offered"),
            None => None,
        },
        other => bail!("message {other}, which was not offered"),
    };
    Ok(message.map(|message| (message, bytes.len() - reader.0.len())))
}

fn encodings(reader: &mut Reader<'_>) -> Option<Message> {
    reader.u8()?;
    let count = reader.u16()?;
    let list = reader.take(usize::from(count) * 4)?;
    let (list, _) = list.as_chunks();
    Some(Message::Encodings(list.iter().map(|e| i32::from_be_bytes(*e)).collect()))
}

fn update(reader: &mut Reader<'_>) -> Option<Message> {
    Some(Message::Update { incremental: reader.u8()? != 0, area: reader.area()? })
}

fn key(reader: &mut Reader<'_>) -> Option<Message> {
    let down = reader.u8()? != 0;
    reader.u16()?;
    Some(Message::Key { down, keysym: reader.u32()? })
}

fn extended_key(reader: &mut Reader<'_>) -> Option<Message> {
    Some(Message::ExtendedKey { down: reader.u16()? != 0, keysym: reader.u32()?, scancode: reader.u32()? })
}

/// Bit 7 of the first mask says that a second one follows ("ExtendedMouseButtons").
fn pointer(reader: &mut Reader<'_>, wide: bool) -> Option<Message> {
    let (mask, x, y) = (reader.u8()?, reader.u16()?, reader.u16()?);
    let mut buttons = u16::from(mask);
    if wide && mask & 0x80 != 0 {
        buttons = u16::from(mask & 0x7f) | u16::from(reader.u8()?) << 7;
    }
    Some(Message::Pointer { buttons, x, y })
}

/// A negative length is that of an extended message ("Extended Clipboard").
fn cut_text(reader: &mut Reader<'_>) -> Option<Message> {
    reader.take(3)?;
    let length = reader.u32()?.cast_signed();
    let bytes = length.unsigned_abs() as usize;
    if bytes > LONGEST_TEXT {
        return Some(Message::Skip(bytes));
    }
    let data = reader.take(bytes)?.to_vec();
    Some(if length < 0 { Message::ExtendedCut(data) } else { Message::CutText(data) })
}

fn continuous(reader: &mut Reader<'_>) -> Option<Message> {
    Some(Message::Continuous { on: reader.u8()? != 0, area: reader.area()? })
}

fn fence(reader: &mut Reader<'_>) -> Option<Result<Message, usize>> {
    reader.take(3)?;
    let flags = reader.u32()?;
    let len = usize::from(reader.u8()?);
    if len > LONGEST_FENCE {
        return Some(Err(len));
    }
    Some(Ok(Message::Fence { flags, payload: reader.take(len)?.to_vec() }))
}

/// The layout of its screens is not looked at: there is one.
fn resize(reader: &mut Reader<'_>) -> Option<Message> {
    reader.u8()?;
    let (width, height, screens) = (reader.u16()?, reader.u16()?, reader.u8()?);
    reader.u8()?;
    reader.take(usize::from(screens) * 16)?;
    Some(Message::Resize { width, height })
}
