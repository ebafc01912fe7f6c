//! How RFB begins (RFC 6143, sections 7.1 to 7.3): versions, who the client is, and what it sees.

use super::door::Door;
use super::line::Line;
use super::pixel::Format;
use crate::host::screen::Size;
use crate::sys::EventFd;
use anyhow::{Result, bail, ensure};
use std::time::{Duration, Instant};

/// All of the greeting has to be done in this time.
const PATIENCE: Duration = Duration::from_secs(20);

const VERSION: &[u8; 12] = b"RFB 003.008\n";

/// Security types (section 7.1.2).
pub const INVALID: u8 = 0;
pub const NONE: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub enum Version {
    V3,
    V7,
    V8,
}

/// The greeting of one client.
pub struct Greeting<'a> {
    pub line: Line,
    pub until: Instant,
    pub stop: &'a EventFd,
}

impl Greeting<'_> {
    pub fn need(&mut self, len: usize) -> Result<Vec<u8>> {
        self.line.need(len, self.until, self.stop)
    }

    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.need(1)?.first().copied().unwrap_or_default())
    }

    pub fn number(&mut self) -> Result<u32> {
        Ok(self.need(4)?.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)))
    }

    /// Lets that time pass, though not beyond the end of the guest.
    pub fn pause(&mut self, time: Duration) -> Result<()> {
        self.line.wait(self.stop, false, [None, None], Some(time)).map(drop)
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.line.out().extend_from_slice(bytes);
    }

    pub fn flush(&mut self) -> Result<()> {
        self.line.send_all(self.until, self.stop)
    }

    fn text(&mut self, text: &str) {
        self.put(&(text.len() as u32).to_be_bytes());
        self.put(text.as_bytes());
    }

    /// Says why it goes no further, and errs with the same words.
    fn refuse(&mut self, why: &str) -> Result<()> {
        self.text(why);
        self.flush()?;
        bail!("{why}")
    }
}

/// Lets a client in, and tells it the size of the screen.
pub fn greet(line: Line, door: &Door, size: Size, name: &str, stop: &EventFd) -> Result<Line> {
    let until = Instant::now() + PATIENCE;
    let mut greeting = Greeting { line, until, stop };
    greeting.put(VERSION);
    let version = version(&greeting.need(VERSION.len())?)?;
    let mut greeting = security(greeting, version, door)?;
    // Whether others may look at the same time: they may.
    greeting.byte()?;
    greeting.put(&(size.width as u16).to_be_bytes());
    greeting.put(&(size.height as u16).to_be_bytes());
    greeting.put(&Format::OWN.bytes());
    greeting.text(name);
    Ok(greeting.line)
}

/// Unknown ones are 3.3 by the RFC, but what calls itself 3.889 speaks 3.8.
fn version(text: &[u8]) -> Result<Version> {
    let minor = text.strip_prefix(b"RFB 003.").and_then(|rest| rest.strip_suffix(b"\n"));
    let minor = minor.and_then(|m| std::str::from_utf8(m).ok()).and_then(|m| m.parse::<u16>().ok());
    Ok(match minor {
        None => bail!("it does not speak RFB 3"),
        Some(..=6) => Version::V3,
        Some(7) => Version::V7,
        Some(_) => Version::V8,
    })
}

fn security<'a>(mut greeting: Greeting<'a>, version: Version, door: &Door) -> Result<Greeting<'a>> {
    let offers = door.offers();
    let chosen = if version == Version::V3 {
        // The server decides, and there is no list.
        let Some(only) = offers.iter().copied().find(|o| Door::is_old(*o)) else {
            greeting.put(&u32::from(INVALID).to_be_bytes());
            greeting.refuse("this needs a viewer that speaks RFB 3.8")?;
            return Ok(greeting);
        };
        greeting.put(&u32::from(only).to_be_bytes());
        only
    } else {
        greeting.put(&[offers.len() as u8]);
        greeting.put(&offers);
        let chosen = greeting.byte()?;
        ensure!(offers.contains(&chosen), "it chose security type {chosen}, which was not offered");
        chosen
    };
    let (mut greeting, verdict) = door.ask(greeting, chosen)?;
    // Without a question there is an answer since 3.8 only (section 7.1.3).
    if chosen != NONE || version == Version::V8 {
        greeting.put(&u32::from(verdict.is_err()).to_be_bytes());
    }
    if let Err(why) = verdict {
        if version == Version::V8 {
            greeting.refuse(why)?;
        }
        greeting.flush()?;
        bail!("{why}");
    }
    Ok(greeting)
}
