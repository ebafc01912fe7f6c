//! Keys by what a PC keyboard sends, by name, and by what is printed on them.
//!
//! ```text
//! a scan code (XT)      of_xt, xt         a client that sends what its own keyboard sent
//! a name                parse_keys        ctrl-alt-f2
//! a character           events_of_text    with a Layout
//! an X11 keysym         Typist            with a Layout: a client that knows only characters
//! ```

mod keys;
mod layout;
mod typist;

pub use keys::{KEYS, Key};
pub use layout::{Layout, Stroke};
pub use typist::Typist;

use super::Event;
use anyhow::{Context, Result, bail};

pub const LEFT_CTRL: u16 = 29;
pub const LEFT_SHIFT: u16 = 42;
pub const RIGHT_SHIFT: u16 = 54;
pub const LEFT_ALT: u16 = 56;
pub const CAPS_LOCK: u16 = 58;
pub const NUM_LOCK: u16 = 69;
pub const SCROLL_LOCK: u16 = 70;
pub const RIGHT_CTRL: u16 = 97;
pub const PRINT: u16 = 99;
pub const ALTGR: u16 = 100;
pub const PAUSE: u16 = 119;

/// The most keys that are pressed together.
const LONGEST_CHORD: usize = 16;

/// The key with this code.
pub fn key(code: u16) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.code == code)
}

/// Linux's code of the key that sends this in scan code set 1. The prefix 0xe0 is a byte before it (0xe01d), or bit 7 of
/// the only byte (0x9d), as in RFB's extended key events.
pub fn of_xt(scancode: u32) -> Option<u16> {
    let scancode = match scancode {
        // Alt and Print together, on a keyboard.
        0x54 | 0xe037 => return Some(PRINT),
        0x80..=0xff => 0xe000 | scancode & 0x7f,
        other => other,
    };
    KEYS.iter().find(|k| k.xt != 0 && u32::from(k.xt) == scancode).map(|k| k.code)
}

/// Keys that are pressed together: names, or the character on the key in this layout, joined by `-` or `+`, as in
/// `ctrl-alt-f2`. They are to be pressed in this order.
pub fn parse_keys(layout: Layout, text: &str) -> Result<Vec<u16>> {
    let mut codes = Vec::new();
    let mut rest = text;
    loop {
        // A separator that stands where a name should is the key with that character.
        let mut chars = rest.char_indices().skip(1);
        let end = chars.find(|(_, c)| matches!(c, '-' | '+')).map(|(at, _)| at);
        let (word, more) = match end {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
            None => (rest, None),
        };
        let code = named(layout, word).with_context(|| format!("no key is called `{word}` (in `{text}`)"))?;
        if !codes.contains(&code) {
            codes.push(code);
        }
        if codes.len() > LONGEST_CHORD {
            bail!("`{text}`: at most {LONGEST_CHORD} keys are pressed together");
        }
        match more {
            Some(more) => rest = more,
            None => return Ok(codes),
        }
    }
}

/// A key by name, or by the character that it gives alone.
fn named(layout: Layout, word: &str) -> Option<u16> {
    let word = word.to_lowercase();
    let mut chars = word.chars();
    if let (Some(only), None) = (chars.next(), chars.next())
        && let [Stroke { code, shift: false, altgr: false }] = layout.strokes(only)[..]
    {
        return Some(code);
    }
    KEYS.iter().find(|k| k.names.split('|').any(|name| name == word)).map(|k| k.code)
}

/// Presses keys together, and lets them go in the opposite order.
pub fn chord(codes: &[u16]) -> Vec<Event> {
    let down = codes.iter().map(|&code| Event::Key { code, down: true });
    down.chain(codes.iter().rev().map(|&code| Event::Key { code, down: false })).collect()
}

/// What `stroke` takes.
fn events(stroke: Stroke) -> Vec<Event> {
    let shift = stroke.shift.then_some(LEFT_SHIFT);
    let altgr = stroke.altgr.then_some(ALTGR);
    chord(&shift.into_iter().chain(altgr).chain([stroke.code]).collect::<Vec<_>>())
}

/// Types `text` (a line's end is Enter, a tabulator Tab) on a keyboard whose Caps Lock is off.
/// Errors name the character that the layout does not have.
pub fn events_of_text(layout: Layout, text: &str) -> Result<Vec<Event>> {
    let mut all = Vec::new();
    // Enter once for a line's end of two characters.
    for c in text.replace("\r\n", "\n").chars() {
        let strokes = layout.strokes(c);
        if strokes.is_empty() {
            bail!(
                "the keyboard layout `{}` has no character {c:?}; choose another with --keyboard-layout",
                layout.name()
            );
        }
        all.extend(strokes.into_iter().flat_map(events));
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
