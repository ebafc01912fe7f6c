//! The words of evdev (linux/input-event-codes.h): what a device says it can do, and how it says what happened.

use crate::host::seat::{Button, Class, Event, Leds, keymap::KEYS};

/// `struct virtio_input_event`: type, code, value (virtio 1.2, 5.8.6.2).
pub type Wire = [u8; 8];

const EV_SYN: u16 = 0;
const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_ABS: u16 = 3;
const EV_LED: u16 = 0x11;
const EV_REP: u16 = 0x14;

const REL_X: u16 = 0;
const REL_Y: u16 = 1;
const REL_HWHEEL: u16 = 6;
const REL_WHEEL: u16 = 8;
/// In parts of a step, of which there are [`FINE`].
const REL_WHEEL_FINE: u16 = 11;
const REL_HWHEEL_FINE: u16 = 12;
const FINE: i32 = 120;
const ABS_X: u16 = 0;
const ABS_Y: u16 = 1;
/// The far edge of a tablet.
pub const EDGE: u32 = 0x7fff;

/// `select` (5.8.5).
const NAME: u8 = 1;
const IDS: u8 = 3;
const BITS: u8 = 0x11;
const AXIS: u8 = 0x12;
/// Bytes of an answer, and where it stands.
const ANSWER: usize = 128;
const ANSWER_AT: usize = 8;

/// BUS_VIRTUAL, and the vendor that virtio's devices have on PCI.
const BUS: u16 = 6;
const VENDOR: u16 = 0x1af4;

fn button(button: Button) -> u16 {
    match button {
        Button::Left => 0x110,
        Button::Right => 0x111,
        Button::Middle => 0x112,
        Button::Back => 0x113,
        Button::Forward => 0x114,
    }
}

const BUTTONS: [u16; 5] = [0x110, 0x111, 0x112, 0x113, 0x114];
const WHEELS: [u16; 4] = [REL_HWHEEL, REL_WHEEL, REL_WHEEL_FINE, REL_HWHEEL_FINE];

/// Whether a device of this class says such things.
pub fn fits(class: Class, event: &Event) -> bool {
    match event {
        Event::Key { code, .. } => class == Class::Keyboard && KEYS.iter().any(|k| k.code == *code),
        Event::MoveTo { .. } => class == Class::Tablet,
        Event::MoveBy { .. } => class == Class::Mouse,
        Event::Button { .. } | Event::Wheel { .. } => class != Class::Keyboard,
    }
}

/// `event` as a driver is told it, and the end of the report.
pub fn report(event: Event) -> Vec<Wire> {
    let mut out = Vec::with_capacity(6);
    let mut say = |kind: u16, code: u16, value: i32| {
        let ([a, b], [c, d], [e, f, g, h]) = (kind.to_le_bytes(), code.to_le_bytes(), value.to_le_bytes());
        out.push([a, b, c, d, e, f, g, h]);
    };
    match event {
        Event::Key { code, down } => say(EV_KEY, code, down.into()),
        Event::Button { button: which, down } => say(EV_KEY, button(which), down.into()),
        Event::MoveTo { x, y, screen } => {
            say(EV_ABS, ABS_X, place(x, screen.width));
            say(EV_ABS, ABS_Y, place(y, screen.height));
        }
        Event::MoveBy { x, y } => {
            for (code, by) in [(REL_X, x), (REL_Y, y)].into_iter().filter(|(_, by)| *by != 0) {
                say(EV_REL, code, by);
            }
        }
        // Up is positive here.
        Event::Wheel { x, y } => {
            let steps = [(REL_WHEEL, REL_WHEEL_FINE, y.saturating_neg()), (REL_HWHEEL, REL_HWHEEL_FINE, x)];
            for (code, fine, by) in steps.into_iter().filter(|(.., by)| *by != 0) {
                say(EV_REL, code, by);
                say(EV_REL, fine, by.saturating_mul(FINE));
            }
        }
    }
    say(EV_SYN, 0, 0);
    out
}

/// Where pixel `at` of `size` is between the edges.
fn place(at: u32, size: u32) -> i32 {
    let last = u64::from(size.saturating_sub(1));
    let at = u64::from(at).min(last);
    (at * u64::from(EDGE) + last / 2).checked_div(last).unwrap_or(0) as i32
}

/// What a driver says of a light.
pub fn light(event: Wire, leds: &mut Option<Leds>) {
    let [a, b, c, d, e, f, g, h] = event;
    let on = [e, f, g, h] != [0; 4];
    if u16::from_le_bytes([a, b]) != EV_LED {
        return;
    }
    let now = leds.get_or_insert_default();
    match u16::from_le_bytes([c, d]) {
        0 => now.num_lock = on,
        1 => now.caps_lock = on,
        2 => now.scroll_lock = on,
        _ => {}
    }
}

/// The configuration space while `select` and `subsel` are these.
pub fn config(class: Class, (select, subsel): (u8, u8)) -> Vec<u8> {
    let mut answer = answer(class, select, subsel);
    answer.truncate(ANSWER);
    let mut out = vec![select, subsel, answer.len() as u8, 0, 0, 0, 0, 0];
    out.append(&mut answer);
    out.resize(ANSWER_AT + ANSWER, 0);
    out
}

fn answer(class: Class, select: u8, subsel: u8) -> Vec<u8> {
    let (name, product): (&str, u16) = match class {
        Class::Keyboard => ("kiln keyboard", 1),
        Class::Tablet => ("kiln tablet", 2),
        Class::Mouse => ("kiln mouse", 3),
    };
    match (select, subsel.into()) {
        (NAME, 0) => name.as_bytes().to_vec(),
        (IDS, 0) => [BUS, VENDOR, product, 1].iter().flat_map(|id| id.to_le_bytes()).collect(),
        (BITS, kind) => codes(class, kind),
        // Minimum, maximum, fuzz, flat, resolution.
        (AXIS, ABS_X | ABS_Y) if class == Class::Tablet => {
            [0, EDGE, 0, 0, 0].iter().flat_map(|value| value.to_le_bytes()).collect()
        }
        _ => Vec::new(),
    }
}

/// The codes of this type of event that the device uses, a bit for each.
fn codes(class: Class, kind: u16) -> Vec<u8> {
    match (class, kind) {
        (Class::Keyboard, EV_KEY) => bits(KEYS.iter().map(|k| k.code)),
        (Class::Keyboard, EV_LED) => bits(0..3),
        // That it is there says that the driver is to repeat what is held; it has no codes.
        (Class::Keyboard, EV_REP) => vec![0],
        (Class::Tablet | Class::Mouse, EV_KEY) => bits(BUTTONS),
        (Class::Tablet, EV_REL) => bits(WHEELS),
        (Class::Mouse, EV_REL) => bits([REL_X, REL_Y].into_iter().chain(WHEELS)),
        (Class::Tablet, EV_ABS) => bits([ABS_X, ABS_Y]),
        _ => Vec::new(),
    }
}

/// As short as the highest bit allows.
fn bits(codes: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut out = vec![0u8; ANSWER];
    for code in codes {
        if let Some(byte) = out.get_mut(usize::from(code / 8)) {
            *byte |= 1 << (code % 8);
        }
    }
    let used = out.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    out.truncate(used);
    out
}
