//! The clipboard, shared with one client: cut text (RFC 6143, sections 7.5.6 and 7.6.4), which is Latin-1, and where the
//! client has it rfbproto's "Extended Clipboard", which is UTF-8 and sent when it is asked for.

use crate::host::clipboard::{Clipboard, LIMIT, Party};
use crate::sys::{EventFd, eventfd, fd};
use anyhow::{Context, Result};
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// ServerCutText.
const KIND: u8 = 3;

/// Of the formats only this one.
const TEXT: u32 = 1;
const CAPS: u32 = 1 << 24;
const REQUEST: u32 = 1 << 25;
const PEEK: u32 = 1 << 26;
const NOTIFY: u32 = 1 << 27;
const PROVIDE: u32 = 1 << 28;

pub struct Cuts {
    party: Party,
    bell: Arc<EventFd>,
    /// What somebody else put there last.
    text: Option<Arc<str>>,
    extended: bool,
}

impl Cuts {
    pub fn new(clipboard: &Arc<Clipboard>) -> Result<Cuts> {
        let bell = Arc::new(eventfd().context("create an eventfd")?);
        let rung = bell.clone();
        // A full counter has been rung.
        let party = clipboard.join(Arc::new(move || drop(rung.write(1))));
        Ok(Cuts { party, bell, text: None, extended: false })
    }

    /// Readable when there is news.
    pub fn bell(&self) -> BorrowedFd<'_> {
        fd::of(&self.bell)
    }

    /// The client has the extension: it is told what the server has.
    pub fn extend(&mut self, out: &mut Vec<u8>) {
        self.extended = true;
        let flags = CAPS | REQUEST | PEEK | NOTIFY | PROVIDE | TEXT;
        extended(&[flags.to_be_bytes(), (LIMIT as u32).to_be_bytes()].concat(), out);
    }

    /// Tells the client what is new.
    pub fn tell(&mut self, out: &mut Vec<u8>) {
        let _ = self.bell.read();
        let Some(text) = self.party.news() else { return };
        if self.extended {
            extended(&(NOTIFY | TEXT).to_be_bytes(), out);
        } else {
            plain(&text, out);
        }
        self.text = Some(text);
    }

    /// The client's cut text, in Latin-1.
    pub fn put_plain(&self, text: &[u8]) {
        self.party.put(&text.iter().map(|byte| char::from(*byte)).collect::<String>());
    }

    /// An extended message; what makes no sense has no effect.
    pub fn hear(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let Some((flags, rest)) = message.split_first_chunk() else { return };
        let flags = u32::from_be_bytes(*flags);
        let about_text = flags & TEXT != 0;
        if flags & PROVIDE != 0 && about_text {
            if let Some(text) = unpack(rest) {
                self.party.put(&text);
            }
        } else if flags & NOTIFY != 0 && about_text {
            extended(&(REQUEST | TEXT).to_be_bytes(), out);
        } else if flags & PEEK != 0 {
            let formats = if self.text.is_some() { TEXT } else { 0 };
            extended(&(NOTIFY | formats).to_be_bytes(), out);
        } else if flags & REQUEST != 0
            && about_text
            && let Some(text) = &self.text
        {
            extended(&[&(PROVIDE | TEXT).to_be_bytes()[..], &pack(text)].concat(), out);
        }
    }
}

/// What Latin-1 does not have becomes a question mark.
fn plain(text: &str, out: &mut Vec<u8>) {
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
    out.extend_from_slice(&[KIND, 0, 0, 0]);
    out.extend_from_slice(&(latin.len() as u32).to_be_bytes());
    out.extend_from_slice(&latin);
}

/// The length of an extended message is negative.
fn extended(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[KIND, 0, 0, 0]);
    out.extend_from_slice(&(message.len() as u32).wrapping_neg().to_be_bytes());
    out.extend_from_slice(message);
}

/// Its length, and the text with a zero at its end and lines that end with two characters; compressed by itself.
fn pack(text: &str) -> Vec<u8> {
    let text = format!("{}\0", text.replace('\n', "\r\n"));
    let whole = [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let mut packed = Vec::new();
    // Memory does not fail to be read.
    let _ = ZlibEncoder::new(&whole[..], Compression::default()).read_to_end(&mut packed);
    packed
}

/// Never more than the clipboard takes, whatever it unpacks to.
fn unpack(packed: &[u8]) -> Option<String> {
    let mut whole = Vec::new();
    // Some clients end the stream and some only flush it: what has come counts.
    let _ = ZlibDecoder::new(packed).take(2 * LIMIT as u64).read_to_end(&mut whole);
    let (length, text) = whole.split_first_chunk()?;
    let text = text.get(..u32::from_be_bytes(*length) as usize)?;
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    std::str::from_utf8(text).ok().map(String::from)
}
