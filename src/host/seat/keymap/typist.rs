//! A person whose display program says which characters they type (X11 keysyms) and not which keys they press: finds keys that
//! give the same characters in the guest's layout, and the modifiers that go with them.

use super::super::{Event, Leds};
use super::{ALTGR, CAPS_LOCK, KEYS, LEFT_CTRL, LEFT_SHIFT, Layout, NUM_LOCK, PAUSE, PRINT, RIGHT_CTRL, RIGHT_SHIFT};
use super::{LEFT_ALT, SCROLL_LOCK, Stroke, events};
use std::collections::BTreeMap;

/// Keys without characters (X11/keysymdef.h): the first keysym of a run, and the codes of the run.
const RUNS: &[(u32, &[u16])] = &[
    (0xff08, &[14, 15, 28]),
    (0xff0d, &[28]),
    (0xff13, &[PAUSE, SCROLL_LOCK, PRINT]),
    (0xff1b, &[1]),
    // Home, Left, Up, Right, Down, Page_Up, Page_Down, End.
    (0xff50, &[102, 105, 103, 106, 108, 104, 109, 107]),
    (0xff61, &[PRINT]),
    (0xff63, &[110]),
    (0xff67, &[127]),
    (0xff6a, &[138, PAUSE]),
    // Mode_switch.
    (0xff7e, &[ALTGR, NUM_LOCK]),
    (0xff80, &[57]),
    (0xff89, &[15]),
    (0xff8d, &[96]),
    // On the key pad: Home, Left, Up, Right, Down, Page_Up, Page_Down, End, Begin, Insert, Delete.
    (0xff95, &[71, 75, 72, 77, 80, 73, 81, 79, 76, 82, 83]),
    // `*`, `+`, separator, `-`, decimal, `/`, the digits.
    (0xffaa, &[55, 78, 121, 74, 83, 98, 82, 79, 80, 81, 75, 76, 77, 71, 72, 73]),
    (0xffbd, &[117]),
    (0xffbe, &[59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 87, 88]),
    (0xffca, &[183, 184, 185, 186, 187, 188, 189, 190, 191, 192, 193, 194]),
    // Shift, Control, Caps Lock, (Shift Lock), Meta, Alt, Super.
    (0xffe1, &[LEFT_SHIFT, RIGHT_SHIFT, LEFT_CTRL, RIGHT_CTRL, CAPS_LOCK]),
    (0xffe7, &[LEFT_ALT, ALTGR, LEFT_ALT, ALTGR, 125, 126, 125, 126]),
    (0xffff, &[111]),
    // ISO_Level3_Shift, and Tab with Shift.
    (0xfe03, &[ALTGR]),
    (0xfe20, &[15]),
];

/// Dead keys (XK_dead_*), and the combining character of each.
const DEAD: [(u32, char); 5] =
    [(0xfe50, '\u{300}'), (0xfe51, '\u{301}'), (0xfe52, '\u{302}'), (0xfe53, '\u{303}'), (0xfe57, '\u{308}')];

/// The key of a keysym that stands for a key.
fn special(keysym: u32) -> Option<u16> {
    let at = |(first, codes): &(u32, &[u16])| codes.get(usize::try_from(keysym.checked_sub(*first)?).ok()?).copied();
    RUNS.iter().find_map(at)
}

/// The character of a keysym: Latin-1, those above it in Unicode, the euro, and the dead keys.
fn character(keysym: u32) -> Option<char> {
    match keysym {
        0x20..=0x7e | 0xa0..=0xff => char::from_u32(keysym),
        0x100_0000..=0x110_ffff => char::from_u32(keysym & 0xff_ffff),
        0x20ac => Some('€'),
        0x13bc => Some('Œ'),
        0x13bd => Some('œ'),
        _ => DEAD.iter().find(|(dead, _)| *dead == keysym).map(|(_, mark)| *mark),
    }
}

/// Somebody who types keysyms.
#[derive(Debug)]
pub struct Typist {
    layout: Layout,
    /// What they hold: keysym and key. As many as there are keys at most.
    pub(super) held: BTreeMap<u32, u16>,
}

impl Typist {
    pub fn new(layout: Layout) -> Typist {
        Typist { layout, held: BTreeMap::new() }
    }

    /// The events for a keysym that was pressed or let go, while the guest's keyboard shows `leds`. None when no key
    /// gives the character.
    pub fn key(&mut self, keysym: u32, down: bool, leds: Leds) -> Vec<Event> {
        if !down {
            return self.up(keysym);
        }
        if let Some(code) = special(keysym) {
            return self.down(keysym, code);
        }
        let Some(c) = character(keysym) else { return Vec::new() };
        let mut strokes = self.layout.strokes(c);
        let Some(last) = strokes.pop() else { return Vec::new() };
        // Dead keys are typed, with no modifiers but theirs.
        let lifted = self.modifiers();
        let mut all = Vec::new();
        if !strokes.is_empty() {
            self.held.retain(|_, code| strokes.iter().all(|s| s.code != *code));
            all.extend(lifted.iter().map(|&code| Event::Key { code, down: false }));
            all.extend(strokes.into_iter().flat_map(events));
            all.extend(lifted.iter().map(|&code| Event::Key { code, down: true }));
        }
        all.extend(self.press(keysym, c, last, leds));
        all
    }

    /// Presses a key that stays down, with the modifiers of `stroke` and not those held, for that moment.
    fn press(&mut self, keysym: u32, c: char, stroke: Stroke, leds: Leds) -> Vec<Event> {
        let held = self.modifiers();
        // What goes with Control and Alt is a command: the key matters.
        if self.held.values().any(|code| matches!(*code, LEFT_CTRL | RIGHT_CTRL | LEFT_ALT | 125 | 126)) {
            return self.down(keysym, stroke.code);
        }
        let is_letter = c.to_lowercase().ne(c.to_uppercase());
        let wanted = |code: u16| match code {
            ALTGR => stroke.altgr,
            _ => stroke.shift != (leds.caps_lock && is_letter),
        };
        let mut change = Vec::new();
        for code in held.iter().copied().filter(|&code| !wanted(code)) {
            change.push(Event::Key { code, down: false });
        }
        let has = |code: u16| held.iter().any(|h| *h == code || code == LEFT_SHIFT && *h == RIGHT_SHIFT);
        for code in [LEFT_SHIFT, ALTGR].into_iter().filter(|&code| wanted(code) && !has(code)) {
            change.push(Event::Key { code, down: true });
        }
        let back = change.iter().rev().filter_map(|event| match *event {
            Event::Key { code, down } => Some(Event::Key { code, down: !down }),
            _ => None,
        });
        let back: Vec<_> = back.collect();
        [change, self.down(keysym, stroke.code), back].concat()
    }

    /// Those modifiers held that choose a character.
    fn modifiers(&self) -> Vec<u16> {
        let mut codes: Vec<u16> = self.held.values().copied().collect();
        codes.retain(|code| matches!(*code, LEFT_SHIFT | RIGHT_SHIFT | ALTGR));
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    fn down(&mut self, keysym: u32, code: u16) -> Vec<Event> {
        if self.held.len() < KEYS.len() || self.held.contains_key(&keysym) {
            self.held.insert(keysym, code);
        }
        vec![Event::Key { code, down: true }]
    }

    /// A key may be let go under another name than it was pressed: the other character on it.
    fn up(&mut self, keysym: u32) -> Vec<Event> {
        let code = self.held.remove(&keysym).or_else(|| special(keysym)).or_else(|| {
            let strokes = self.layout.strokes(character(keysym)?);
            strokes.last().map(|s| s.code).filter(|code| self.held.values().any(|held| held == code))
        });
        let Some(code) = code else { return Vec::new() };
        self.held.retain(|_, held| *held != code);
        vec![Event::Key { code, down: false }]
    }
}
