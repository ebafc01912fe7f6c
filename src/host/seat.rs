//! Who sits in front of the machine: keys and pointer of all who look, on their way to the input devices that the guest
//! has drivers for.
#![allow(dead_code, reason = "until all the devices and displays are there")]

use super::screen::Size;
use crate::sys::Lock;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What people do. Keys are Linux's codes (linux/input-event-codes.h, `KEY_*`), which name the place of a key and not
/// what is printed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Key {
        code: u16,
        down: bool,
    },
    Button {
        button: Button,
        down: bool,
    },
    /// The pointer is at this pixel of a screen of this size.
    MoveTo {
        x: u32,
        y: u32,
        screen: Size,
    },
    /// The pointer moves by this many pixels, right and down.
    MoveBy {
        x: i32,
        y: i32,
    },
    /// Steps of the wheel, right and down.
    Wheel {
        x: i32,
        y: i32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Button {
    Left,
    Middle,
    Right,
    Back,
    Forward,
}

/// What an input device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Keyboard,
    /// A pointer that is put at a place.
    Tablet,
    /// A pointer that is moved.
    Mouse,
}

/// An input device of the guest.
pub trait Input: Send + Sync {
    fn class(&self) -> Class;
    /// Whether the guest listens to it. Of those of a class that do, the one that was attached last is used.
    fn ready(&self) -> bool;
    /// Takes what happened at one moment; never waits. What does not fit is lost, but never the release of a key.
    fn put(&self, events: &[Event]);
}

#[derive(Default)]
pub struct Seat {
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    inputs: Vec<Arc<dyn Input>>,
    /// Where the pointer was put last.
    pointer: (u32, u32),
}

impl Seat {
    pub fn new() -> Arc<Seat> {
        Arc::default()
    }

    pub fn attach(&self, input: Arc<dyn Input>) {
        self.state.lock().inputs.push(input);
    }

    /// What happened at one moment.
    pub fn send(&self, events: &[Event]) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let find = |class: Class| state.inputs.iter().rev().find(|i| i.class() == class && i.ready());
        let keys: Vec<_> = events.iter().copied().filter(|e| matches!(e, Event::Key { .. })).collect();
        if let Some(keyboard) = find(Class::Keyboard).filter(|_| !keys.is_empty()) {
            keyboard.put(&keys);
        }
        let mut pointer: Vec<_> = events.iter().copied().filter(|e| !matches!(e, Event::Key { .. })).collect();
        if pointer.is_empty() {
            return;
        }
        let tablet = find(Class::Tablet);
        let moved = pointer.iter().any(|e| matches!(e, Event::MoveBy { .. }));
        if let Some(device) = tablet.filter(|_| !moved).or_else(|| find(Class::Mouse)).or(tablet) {
            if device.class() == Class::Mouse {
                pointer.iter_mut().for_each(|e| *e = relative(*e, &mut state.pointer));
            }
            device.put(&pointer);
        }
    }
}

/// A mouse is told how far it is to go.
fn relative(event: Event, last: &mut (u32, u32)) -> Event {
    let Event::MoveTo { x, y, .. } = event else { return event };
    let (from_x, from_y) = std::mem::replace(last, (x, y));
    let by = |to: u32, from: u32| (i64::from(to) - i64::from(from)) as i32;
    Event::MoveBy { x: by(x, from_x), y: by(y, from_y) }
}

/// The hands of one who sits there: what they hold is let go when they leave.
pub struct Hands {
    seat: Arc<Seat>,
    keys: BTreeSet<u16>,
    buttons: BTreeSet<Button>,
}

impl Hands {
    pub fn new(seat: &Arc<Seat>) -> Hands {
        Hands { seat: seat.clone(), keys: BTreeSet::new(), buttons: BTreeSet::new() }
    }

    pub fn send(&mut self, events: &[Event]) {
        for event in events {
            match *event {
                Event::Key { code, down: true } => drop(self.keys.insert(code)),
                Event::Key { code, down: false } => drop(self.keys.remove(&code)),
                Event::Button { button, down: true } => drop(self.buttons.insert(button)),
                Event::Button { button, down: false } => drop(self.buttons.remove(&button)),
                _ => {}
            }
        }
        self.seat.send(events);
    }

    /// Lets everything go.
    pub fn release(&mut self) {
        let keys = std::mem::take(&mut self.keys).into_iter().map(|code| Event::Key { code, down: false });
        let buttons = std::mem::take(&mut self.buttons).into_iter().map(|button| Event::Button { button, down: false });
        let events: Vec<_> = keys.chain(buttons).collect();
        if !events.is_empty() {
            self.seat.send(&events);
        }
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        self.release();
    }
}
