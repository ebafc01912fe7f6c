//! From X's events to what people do.

use crate::host::screen::Size;
use crate::host::seat::{Button, Event};
use x11rb::protocol::xproto::{ButtonPressEvent, KeyPressEvent};

/// X's key codes are those of Linux and this, on every server there is today (the `evdev` rules; X11 itself has none
/// below 8).
const FIRST: u8 = 8;

/// A key, by its place.
pub fn key(event: &KeyPressEvent, down: bool) -> Option<Event> {
    event.detail.checked_sub(FIRST).filter(|c| *c > 0).map(|code| Event::Key { code: code.into(), down })
}

/// A button; X has the wheel's steps as buttons 4 to 7, each pressed and released.
pub fn button(event: &ButtonPressEvent, down: bool) -> Option<Event> {
    let button = match event.detail {
        1 => Button::Left,
        2 => Button::Middle,
        3 => Button::Right,
        8 => Button::Back,
        9 => Button::Forward,
        step @ 4..=7 if down => {
            let (x, y) = match step {
                4 => (0, -1),
                5 => (0, 1),
                6 => (-1, 0),
                _ => (1, 0),
            };
            return Some(Event::Wheel { x, y });
        }
        _ => return None,
    };
    Some(Event::Button { button, down })
}

/// The pointer at this place of the window, in which the picture begins at `origin`.
pub fn place(x: i16, y: i16, origin: (i16, i16), screen: Size) -> Option<Event> {
    let within = |at: i16, from: i16, length: u32| {
        let at = i32::from(at) - i32::from(from);
        u32::try_from(at.max(0)).unwrap_or(0).min(length.saturating_sub(1))
    };
    let (x, y) = (within(x, origin.0, screen.width), within(y, origin.1, screen.height));
    (!screen.is_empty()).then_some(Event::MoveTo { x, y, screen })
}
