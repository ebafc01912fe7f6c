//! Pointers of clients: RFC 6143, section 7.5.5, and rfbproto's "ExtendedMouseButtons".

use crate::host::screen::Size;
use crate::host::seat::{Button, Event};

/// By their bits; the wheel's steps are buttons that are pressed for a moment.
const BUTTONS: [(u16, Button); 5] = [
    (1 << 0, Button::Left),
    (1 << 1, Button::Middle),
    (1 << 2, Button::Right),
    (1 << 7, Button::Back),
    (1 << 8, Button::Forward),
];
const WHEEL: [(u16, Event); 4] = [
    (1 << 3, Event::Wheel { x: 0, y: -1 }),
    (1 << 4, Event::Wheel { x: 0, y: 1 }),
    (1 << 5, Event::Wheel { x: -1, y: 0 }),
    (1 << 6, Event::Wheel { x: 1, y: 0 }),
];

#[derive(Default)]
pub struct Pointer {
    buttons: u16,
    at: Option<(u16, u16)>,
}

impl Pointer {
    /// What is new: the pointer is at (x, y) of a screen of this size, with these buttons down.
    pub fn events(&mut self, buttons: u16, x: u16, y: u16, size: Size) -> Vec<Event> {
        let mut events = Vec::new();
        if self.at.replace((x, y)) != Some((x, y)) {
            let (x, y) = (u32::from(x).min(size.width.saturating_sub(1)), u32::from(y).min(size.height.saturating_sub(1)));
            events.push(Event::MoveTo { x, y, screen: size });
        }
        let changed = std::mem::replace(&mut self.buttons, buttons) ^ buttons;
        for (bit, button) in BUTTONS {
            if changed & bit != 0 {
                events.push(Event::Button { button, down: buttons & bit != 0 });
            }
        }
        events.extend(WHEEL.iter().filter(|(bit, _)| changed & buttons & bit != 0).map(|(_, step)| *step));
        events
    }
}
