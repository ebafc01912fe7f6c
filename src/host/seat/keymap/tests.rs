use super::super::Leds;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn layout(name: &str) -> Layout {
    name.parse().unwrap()
}

/// A guest that understands keys as `layout` has them: the text that `events` type.
struct Reader {
    layout: Layout,
    held: BTreeSet<u16>,
    caps: bool,
    dead: Option<char>,
    text: String,
}

impl Reader {
    fn new(layout: Layout) -> Reader {
        Reader { layout, held: BTreeSet::new(), caps: false, dead: None, text: String::new() }
    }

    fn take(&mut self, events: &[Event]) {
        for event in events {
            let Event::Key { code, down } = *event else { panic!("{event:?} is no key") };
            if !down {
                assert!(self.held.remove(&code), "key {code} was not pressed");
                continue;
            }
            self.held.insert(code);
            let modifier = matches!(code, LEFT_CTRL | LEFT_SHIFT | RIGHT_SHIFT | LEFT_ALT | RIGHT_CTRL | ALTGR);
            if modifier || self.held.contains(&LEFT_CTRL) {
                continue;
            }
            let shift = self.held.contains(&LEFT_SHIFT) || self.held.contains(&RIGHT_SHIFT);
            let altgr = self.held.contains(&ALTGR);
            let find = |shift| {
                (1..0x2_0000).filter_map(char::from_u32).find(|c| {
                    self.layout.strokes(*c).as_slice() == [Stroke { code, shift, altgr }]
                        && !('\u{80}'..'\u{a0}').contains(c)
                })
            };
            let Some(mut c) = find(shift) else { continue };
            if self.caps && c.to_lowercase().ne(c.to_uppercase()) {
                c = find(!shift).unwrap();
            }
            match (self.dead.take(), c) {
                (None, '\u{300}'..='\u{30f}') => self.dead = Some(c),
                (None, c) => self.text.push(c),
                (Some(dead), base) => {
                    let strokes = [dead, base].map(|c| self.layout.strokes(c)[0]);
                    let made = (' '..'\u{200}').find(|c| self.layout.strokes(*c) == strokes);
                    self.text.push(made.unwrap());
                }
            }
        }
    }
}

#[test]
fn scan_codes_are_those_of_a_pc_keyboard() {
    for (xt, code) in [(0x01, 1), (0x1e, 30), (0x1d, LEFT_CTRL), (0x9d, RIGHT_CTRL), (0xe01d, RIGHT_CTRL), (0x56, 86)] {
        assert_eq!(of_xt(xt), Some(code), "{xt:#x}");
    }
    // Print and Pause have several; Enter is there twice.
    for (xt, code) in [(0x54, 99), (0xb7, 99), (0xc6, 119), (0xe046, 119), (0x1c, 28), (0x9c, 96), (0xc8, 103)] {
        assert_eq!(of_xt(xt), Some(code), "{xt:#x}");
    }
    for nothing in [0, 0x80, 0xff, 0xe000, 0xe1, u32::MAX] {
        assert_eq!(of_xt(nothing), None);
    }
    for key in KEYS.iter().filter(|k| k.xt != 0) {
        assert_eq!(of_xt(key.xt.into()), Some(key.code));
    }
}

#[test]
fn the_table_is_in_order_and_says_nothing_twice() {
    assert!(KEYS.is_sorted_by(|a, b| a.code < b.code));
    let names: Vec<_> = KEYS.iter().flat_map(|k| k.names.split('|')).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for unique in [|k: &Key| k.xt, |k: &Key| k.set3.into()] {
        let all: Vec<_> = KEYS.iter().map(unique).filter(|c| *c != 0).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }
}

#[test]
fn keys_have_names() {
    let us = Layout::default();
    assert_eq!(parse_keys(us, "ctrl-alt-f2").unwrap(), [LEFT_CTRL, LEFT_ALT, 60]);
    assert_eq!(parse_keys(us, "Ctrl+Alt+Delete").unwrap(), [LEFT_CTRL, LEFT_ALT, 111]);
    assert_eq!(parse_keys(us, "super").unwrap(), [125]);
    assert_eq!(parse_keys(us, "ctrl--").unwrap(), [LEFT_CTRL, 12]);
    assert_eq!(parse_keys(us, "-").unwrap(), [12]);
    assert_eq!(parse_keys(us, "ctrl-minus").unwrap(), [LEFT_CTRL, 12]);
    assert_eq!(parse_keys(us, "ctrl-ctrl").unwrap(), [LEFT_CTRL]);
    // The key with z on it.
    assert_eq!(parse_keys(layout("de"), "ctrl-z").unwrap(), [LEFT_CTRL, 21]);
    assert_eq!(parse_keys(layout("fr"), "ctrl-A").unwrap(), [LEFT_CTRL, 16]);
    // Where the digits need Shift they are still the keys with the digits.
    assert_eq!(parse_keys(layout("fr"), "alt-2").unwrap(), [LEFT_ALT, 3]);
    for wrong in ["", "ctrl-", "ctrl-hyper", "ctrl alt", "é"] {
        assert!(parse_keys(us, wrong).is_err(), "{wrong}");
    }
    let many = KEYS.iter().map(|k| k.names.split('|').next().unwrap()).collect::<Vec<_>>().join("-");
    assert!(parse_keys(us, &many).unwrap_err().to_string().contains("at most 16"));
    assert_eq!(chord(&[1, 2]).len(), 4);
    assert_eq!(chord(&[1, 2])[2], Event::Key { code: 2, down: false });
}

#[test]
fn text_is_typed_as_the_layout_has_it() {
    let both =
        "Hello, World! 3 < 4 > 2 == #1 {a} [b] ~/x_y \\ | @home 'q' \"z\" `w` ^2 $5 %6 &7 (8) *9 +0 -; :?\n\t/.=";
    for layout in Layout::all() {
        let mut reader = Reader::new(layout);
        reader.take(&events_of_text(layout, both).unwrap());
        assert_eq!(reader.text, both, "{}", layout.name());
        assert!(reader.held.is_empty());
    }
    for (name, text) in [
        ("gb", "£5 ¬"),
        ("de", "Straße, Übermut, ÄÖ äöü 10 € § é à"),
        ("fr", "où ça, Ça è é à ê ï Ê ù € £ µ"),
        ("es", "¿mañana? ¡Ñ! á é Í ü ç º"),
        ("it", "perché è così, là £ ç §"),
    ] {
        let layout = layout(name);
        let typed: String = text.chars().filter(|c| !layout.strokes(*c).is_empty()).collect();
        let mut reader = Reader::new(layout);
        reader.take(&events_of_text(layout, &typed).unwrap());
        assert_eq!(reader.text, typed, "{name}");
        // Ç of the French keyboard needs Caps Lock.
        assert_eq!(typed, if name == "fr" { text.replace('Ç', "") } else { text.to_string() }, "{name}");
    }
    let error = events_of_text(Layout::default(), "für").unwrap_err().to_string();
    assert!(error.contains("'ü'") && error.contains("`us`"), "{error}");
    assert_eq!(events_of_text(Layout::default(), "\r\n").unwrap().len(), 2);
    assert!("xx".parse::<Layout>().unwrap_err().to_string().contains("us, gb, de, fr, es, it"));
}

/// Presses and lets go.
fn hit(typist: &mut Typist, reader: &mut Reader, keysym: u32, leds: Leds) {
    reader.take(&typist.key(keysym, true, leds));
    reader.take(&typist.key(keysym, false, leds));
}

const OFF: Leds = Leds { num_lock: false, caps_lock: false, scroll_lock: false };
const SHIFT: u32 = 0xffe1;

#[test]
fn keysyms_become_the_same_characters_whatever_is_held() {
    for layout in Layout::all() {
        for held in [None, Some(SHIFT), Some(0xffe2), Some(0xfe03)] {
            let (mut typist, mut reader) = (Typist::new(layout), Reader::new(layout));
            held.inspect(|h| reader.take(&typist.key(*h, true, OFF)));
            for c in "aA1!@#é".chars().filter(|c| !layout.strokes(*c).is_empty()) {
                reader.text.clear();
                hit(&mut typist, &mut reader, c as u32, OFF);
                assert_eq!(reader.text, c.to_string(), "{} with {held:x?}", layout.name());
            }
            held.inspect(|h| reader.take(&typist.key(*h, false, OFF)));
            assert!(reader.held.is_empty() && typist.held.is_empty());
        }
    }
}

#[test]
fn capitals_are_capitals_with_caps_lock_too() {
    let (mut typist, mut reader) = (Typist::new(Layout::default()), Reader::new(Layout::default()));
    reader.caps = true;
    let leds = Leds { caps_lock: true, ..OFF };
    for c in "aA1!".chars() {
        hit(&mut typist, &mut reader, c as u32, leds);
    }
    assert_eq!(reader.text, "aA1!");
}

#[test]
fn what_is_let_go_under_another_name_is_let_go() {
    let mut typist = Typist::new(Layout::default());
    typist.key(0x61, true, OFF);
    typist.key(SHIFT, true, OFF);
    assert_eq!(typist.key(0x41, false, OFF), [Event::Key { code: 30, down: false }]);
    assert_eq!(typist.key(0x41, false, OFF), []);
    assert_eq!(typist.key(SHIFT, false, OFF), [Event::Key { code: 42, down: false }]);
    // A command is the key with that character, as it is.
    typist.key(0xffe3, true, OFF);
    assert_eq!(typist.key(0x43, true, OFF), [Event::Key { code: 46, down: true }]);
}

#[test]
fn keysyms_without_characters_are_keys() {
    let mut typist = Typist::new(Layout::default());
    let pairs = [
        (0xff0d, "enter"),
        (0xff08, "backspace"),
        (0xff09, "tab"),
        (0xff1b, "esc"),
        (0xffff, "delete"),
        (0xff51, "left"),
        (0xff54, "down"),
        (0xff55, "pageup"),
        (0xff57, "end"),
        (0xffbe, "f1"),
        (0xffc7, "f10"),
        (0xffc9, "f12"),
        (0xffe9, "alt"),
        (0xffea, "altgr"),
        (0xffeb, "super"),
        (0xffb0, "kp0"),
        (0xffb9, "kp9"),
        (0xffaf, "kpslash"),
        (0xff8d, "kpenter"),
        (0xff7f, "numlock"),
        (0xffe5, "capslock"),
        (0xff14, "scrolllock"),
        (0xff13, "pause"),
        (0xff61, "print"),
        (0xff67, "menu"),
        (0xfe03, "altgr"),
        (0xff9f, "kpdot"),
        (0xff95, "kp7"),
        (0xffe7, "alt"),
        (0xff6b, "pause"),
        (0xffae, "kpdot"),
        (0xff63, "insert"),
    ];
    for (keysym, key) in pairs {
        let code = parse_keys(Layout::default(), key).unwrap()[0];
        assert_eq!(typist.key(keysym, true, OFF), [Event::Key { code, down: true }], "{keysym:#x}");
        assert_eq!(typist.key(keysym, false, OFF), [Event::Key { code, down: false }], "{keysym:#x}");
    }
    assert_eq!(typist.key(0, true, OFF), []);
    assert_eq!(typist.key(0x100_d800, true, OFF), []);
    assert_eq!(typist.key(u32::MAX, true, OFF), []);
}

proptest! {
    #[test]
    fn no_text_and_no_name_is_too_odd(text in any::<String>(), which in 0..6usize) {
        let layout = Layout::all().nth(which).unwrap();
        let _ = parse_keys(layout, &text);
        let _ = events_of_text(layout, &text);
    }

    /// Whatever a client sends: nothing is let go that was not pressed, and when all is let go nothing stays pressed.
    #[test]
    fn keysyms_in_any_order_leave_nothing_pressed(
        keys in prop::collection::vec((prop_oneof![0x20u32..0x7f, 0xe0u32..0x100, 0xfe50u32..0xfe58, 0xff00u32..0x10000, any::<u32>()], any::<bool>()), 0..64),
        which in 0..6usize, caps in any::<bool>(),
    ) {
        let mut typist = Typist::new(Layout::all().nth(which).unwrap());
        let leds = Leds { caps_lock: caps, ..OFF };
        let mut held = BTreeSet::new();
        let ends: Vec<_> = keys.iter().map(|(k, _)| (*k, false)).collect();
        for (keysym, down) in keys.into_iter().chain(ends) {
            for event in typist.key(keysym, down, leds) {
                let Event::Key { code, down } = event else { panic!() };
                if down { held.insert(code); } else { held.remove(&code); }
            }
            prop_assert!(typist.held.values().all(|code| held.contains(code)), "{:?} {:?}", typist, held);
        }
        prop_assert!(held.is_empty(), "{held:?}");
    }
}
