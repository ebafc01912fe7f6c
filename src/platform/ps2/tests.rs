use super::keyboard::Keyboard;
use super::mouse::Mouse;
use super::*;
use crate::host::seat::keymap::{KEYS, PAUSE, PRINT};
use crate::host::seat::{Button, Event, Leds};
use codes::codes;
use proptest::prelude::*;

fn drain(keyboard: &mut Keyboard) -> Vec<u8> {
    std::iter::from_fn(|| keyboard.next()).collect()
}

fn told(mouse: &mut Mouse) -> Vec<u8> {
    std::iter::from_fn(|| mouse.next()).collect()
}

fn say(mouse: &mut Mouse, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    for byte in bytes {
        mouse.command(*byte);
        answer.extend(told(mouse));
    }
    answer
}

fn by(x: i32, y: i32) -> Event {
    Event::MoveBy { x, y }
}

fn press(button: Button, down: bool) -> Event {
    Event::Button { button, down }
}

/// A controller that translates gets from set 2 what set 1 says.
#[test]
fn set_2_is_translated_to_set_1() {
    for key in KEYS.iter().filter(|k| k.code != PAUSE) {
        let (Some(two), Some(one)) = (codes(2, key.code), codes(1, key.code)) else {
            assert_eq!(key.xt, 0);
            continue;
        };
        for (two, one) in [(&two.0, &one.0), (&two.1, &one.1)] {
            let mut release = 0;
            let mut out = Vec::new();
            for byte in two {
                match byte {
                    0xf0 => release = 0x80,
                    0xe0 => out.push(0xe0),
                    other => out.push(translate(*other) | std::mem::take(&mut release)),
                }
            }
            assert_eq!(out, *one, "{}", key.names);
        }
    }
    assert_eq!(codes(2, 30), Some((vec![0x1c], vec![0xf0, 0x1c])));
    assert_eq!(codes(2, 65), Some((vec![0x83], vec![0xf0, 0x83])));
    assert_eq!(codes(2, 103), Some((vec![0xe0, 0x75], vec![0xe0, 0xf0, 0x75])));
    assert_eq!(codes(3, 29), Some((vec![0x11], vec![0xf0, 0x11])));
    assert_eq!(codes(1, PRINT).map(|c| c.0.len()), Some(4));
    assert_eq!(codes(2, 30_000), None);
    assert_eq!((translate(0xfa), translate(0x84), translate(0x80)), (0xfa, 0x54, 0x80));
}

#[test]
fn the_keyboard_answers_as_its_driver_expects() {
    let mut k = Keyboard::default();
    let mut ask = |bytes: &[u8]| {
        let mut answer = Vec::new();
        for byte in bytes {
            k.command(*byte);
            answer.extend(drain(&mut k));
        }
        answer
    };
    assert_eq!(ask(&[0xff]), [0xfa, 0xaa]);
    assert_eq!(ask(&[0xf2]), [0xfa, 0xab, 0x83]);
    assert_eq!(ask(&[0xfe]), [0x83]);
    assert_eq!(ask(&[0xee]), [0xee]);
    assert_eq!(ask(&[0xed, 6]), [0xfa, 0xfa]);
    assert_eq!(ask(&[0xf3, 0x20]), [0xfa, 0xfa]);
    assert_eq!(ask(&[0xf0, 0]), [0xfa, 0xfa, 2]);
    assert_eq!(ask(&[0xf0, 9]), [0xfa, 0xfe]);
    assert_eq!(ask(&[0xf0, 3, 0xf0, 0]), [0xfa, 0xfa, 0xfa, 0xfa, 3]);
    assert_eq!(ask(&[0xfc, 0x12, 0x14, 0xf8]), [0xfa; 4]);
    assert_eq!(ask(&[0xf6, 0xf0, 0]), [0xfa, 0xfa, 0xfa, 2]);
    // A command in the place of a parameter is a command.
    assert_eq!(ask(&[0xed, 0xf2]), [0xfa, 0xfa, 0xab, 0x83]);
    assert_eq!(ask(&[0x00, 0xef]), [0xfe, 0xfe]);
    assert_eq!(ask(&[0xf5, 0xf4]), [0xfa, 0xfa]);
    assert_eq!(k.leds(), Some(Leds { num_lock: true, caps_lock: true, scroll_lock: false }));
}

#[test]
fn the_keyboard_says_what_is_typed() {
    let mut k = Keyboard::default();
    k.key(30, true);
    k.key(30, true);
    k.key(30, false);
    k.key(30, false);
    assert_eq!(drain(&mut k), [0x1c, 0x1c, 0xf0, 0x1c]);
    // An answer goes before what was typed, and then it is known.
    k.key(103, true);
    k.command(0xee);
    assert_eq!(drain(&mut k), [0xee, 0xe0, 0x75]);
    k.command(0xf5);
    k.key(30, true);
    k.key(103, false);
    assert_eq!(drain(&mut k), [0xfa], "it is off");
    k.command(0xf4);
    k.key(103, false);
    assert_eq!(drain(&mut k), [0xfa], "it has forgotten what was held");
}

#[test]
fn a_full_keyboard_loses_whole_keys() {
    let mut k = Keyboard::default();
    for code in 2..40 {
        k.key(code, true);
        k.key(code, false);
    }
    let bytes = drain(&mut k);
    assert!(bytes.len() <= FIFO && bytes.len() > FIFO - 6, "{bytes:x?}");
    assert_eq!(bytes.iter().filter(|b| **b == 0xf0).count() * 3, bytes.len());
    // Who holds many keys can press one more when the others were said.
    for code in 2..20 {
        k.key(code, true);
        assert_eq!(drain(&mut k).len(), 1);
    }
}

const WHEEL: [u8; 6] = [0xf3, 200, 0xf3, 100, 0xf3, 80];
const EXPLORER: [u8; 6] = [0xf3, 200, 0xf3, 200, 0xf3, 80];

#[test]
fn the_mouse_becomes_what_its_driver_asks_for() {
    let mut m = Mouse::default();
    assert_eq!(say(&mut m, &[0xff]), [0xfa, 0xaa, 0]);
    assert_eq!(say(&mut m, &EXPLORER), [0xfa; 6]);
    assert_eq!(say(&mut m, &[0xf2]), [0xfa, 0], "the wheel comes first");
    assert_eq!(say(&mut m, &WHEEL), [0xfa; 6]);
    assert_eq!(say(&mut m, &[0xf2]), [0xfa, 3]);
    say(&mut m, &EXPLORER);
    assert_eq!(say(&mut m, &[0xf2]), [0xfa, 4]);
    assert_eq!(say(&mut m, &[0xe8, 3, 0xe7, 0xe9]), [0xfa, 0xfa, 0xfa, 0xfa, 0x10, 3, 80]);
    assert_eq!(say(&mut m, &[0xee, 0x12, 0xf4, 0xec, 0x12]), [0xfa, 0x12, 0xf4, 0xfa, 0xfe]);
    assert_eq!(say(&mut m, &[0xff, 0xf2]), [0xfa, 0xaa, 0, 0xfa, 0]);
}

#[test]
fn the_mouse_says_how_it_was_moved() {
    let mut m = Mouse::default();
    m.put(by(1, 1));
    assert!(told(&mut m).is_empty(), "not before it is asked to");
    say(&mut m, &[0xf4]);
    m.put(by(5, -3));
    assert_eq!(told(&mut m), [0x08, 5, 3]);
    m.put(by(-1, 2));
    m.put(press(Button::Left, true));
    m.put(press(Button::Right, true));
    m.put(press(Button::Left, false));
    assert_eq!(told(&mut m), [0x38, 0xff, 0xfe, 0x09, 0, 0, 0x0b, 0, 0, 0x0a, 0, 0]);
    m.put(by(200, 0));
    m.put(by(100, 0));
    assert_eq!(told(&mut m), [0x0a, 127, 0, 0x0a, 127, 0, 0x0a, 46, 0]);
    m.put(Event::Wheel { x: 0, y: 1 });
    m.put(press(Button::Back, true));
    assert!(told(&mut m).is_empty(), "it has neither");
    assert_eq!(say(&mut m, &[0xe9])[1], 0x21, "the right button is held");
}

#[test]
fn the_wheel_and_the_buttons_beside_it() {
    let mut m = Mouse::default();
    say(&mut m, &[&WHEEL[..], &[0xf4]].concat());
    m.put(Event::Wheel { x: 3, y: -1 });
    m.put(Event::Wheel { x: 0, y: 10 });
    assert_eq!(told(&mut m), [8, 0, 0, 7, 8, 0, 0, 2]);
    say(&mut m, &EXPLORER);
    m.put(press(Button::Forward, true));
    m.put(Event::Wheel { x: 0, y: -2 });
    assert_eq!(told(&mut m), [8, 0, 0, 0x20, 8, 0, 0, 0x2e]);
    // Only when it is asked.
    assert_eq!(say(&mut m, &[0xf0]), [0xfa]);
    m.put(by(4, 0));
    assert!(told(&mut m).is_empty());
    assert_eq!(say(&mut m, &[0xeb, 0xeb]), [0xfa, 8, 4, 0, 0x20, 0xfa, 8, 0, 0, 0x20]);
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..256u16, any::<bool>()).prop_map(|(code, down)| Event::Key { code, down }),
        (any::<i32>(), any::<i32>()).prop_map(|(x, y)| by(x, y)),
        (any::<i32>(), any::<i32>()).prop_map(|(x, y)| Event::Wheel { x, y }),
        (prop::sample::select(&[Button::Left, Button::Forward][..]), any::<bool>())
            .prop_map(|(b, down)| press(b, down)),
    ]
}

proptest! {
    #[test]
    fn no_commands_and_no_people_make_them_grow(
        steps in prop::collection::vec((any::<u8>(), prop::collection::vec(events(), 0..40), 0..40usize), 0..40)
    ) {
        let (mut k, mut m) = (Keyboard::default(), Mouse::default());
        for (byte, events, reads) in steps {
            k.command(byte);
            m.command(byte);
            for event in events {
                if let Event::Key { code, down } = event { k.key(code, down) }
                m.put(event);
            }
            for _ in 0..reads {
                k.next();
                m.next();
            }
        }
        // Three bytes at most for each key that is let go, and the keys are bounded.
        prop_assert!(drain(&mut k).len() <= FIFO + 8 * KEYS.len());
        k.command(0xff);
        prop_assert_eq!(drain(&mut k), [0xfa, 0xaa]);
        m.command(0xff);
        prop_assert_eq!(told(&mut m), [0xfa, 0xaa, 0]);
    }
}
