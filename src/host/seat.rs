//! Who sits in front of the machine: keys and pointer of all who look, on their way to the input devices that the guest
//! has drivers for; and the clipboard that they share with it.

pub mod keymap;
mod lights;
mod waiting;

pub use lights::{Leds, Lights, Watcher};
pub use waiting::Waiting;

use super::clipboard::Clipboard;
use super::screen::Size;
use crate::sys::Lock;
use keymap::Layout;
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
    /// The guest has been told all that happened.
    fn settled(&self) -> bool {
        true
    }
    /// Its lights, once the guest has switched them; [`Lights::changed`] is called when it does.
    fn leds(&self) -> Option<Leds> {
        None
    }
}

#[derive(Default)]
pub struct Seat {
    state: Lock<State>,
    clipboard: Arc<Clipboard>,
    lights: Lights,
}

#[derive(Default)]
struct State {
    layout: Layout,
    inputs: Vec<Arc<dyn Input>>,
    pointer: Pointer,
    /// What is pressed, and on which device.
    pressed: Vec<(Event, Arc<dyn Input>)>,
}

/// More than there are keys and buttons.
const MOST_PRESSED: usize = 1024;

/// What the event presses or lets go, as its press; and whether it presses.
fn pressed(event: Event) -> Option<(Event, bool)> {
    match event {
        Event::Key { code, down } => Some((Event::Key { code, down: true }, down)),
        Event::Button { button, down } => Some((Event::Button { button, down: true }, down)),
        _ => None,
    }
}

impl State {
    /// The device of this class that is used.
    fn find(&self, class: Class) -> Option<Arc<dyn Input>> {
        self.inputs.iter().rev().find(|i| i.class() == class && i.ready()).cloned()
    }

    /// Gives `events` to `device`, but the end of a press to the device that has it.
    fn put(&mut self, device: &Arc<dyn Input>, events: &[Event]) {
        let mut rest = Vec::with_capacity(events.len());
        for event in events.iter().copied() {
            let Some((press, down)) = pressed(event) else {
                rest.push(event);
                continue;
            };
            let at = self.pressed.iter().position(|(held, _)| *held == press);
            match at.map(|at| self.pressed.swap_remove(at).1).filter(|_| !down) {
                Some(other) if !Arc::ptr_eq(&other, device) => other.put(&[event]),
                _ => rest.push(event),
            }
            if down && self.pressed.len() < MOST_PRESSED {
                self.pressed.push((press, device.clone()));
            }
        }
        if !rest.is_empty() {
            device.put(&rest);
        }
    }
}

impl Seat {
    pub fn new() -> Arc<Seat> {
        Arc::default()
    }

    /// What those who sit there share with the guest.
    pub fn clipboard(&self) -> &Arc<Clipboard> {
        &self.clipboard
    }

    /// What is printed on the keys of the guest's keyboard, as the guest understands it.
    pub fn layout(&self) -> Layout {
        self.state.lock().layout
    }

    pub fn set_layout(&self, layout: Layout) {
        self.state.lock().layout = layout;
    }

    /// The lights of the keyboard that is used; `None`: the guest has said nothing of them.
    pub fn leds(&self) -> Option<Leds> {
        self.state.lock().find(Class::Keyboard)?.leds()
    }

    pub fn lights(&self) -> &Lights {
        &self.lights
    }

    /// The guest has been told of all keys so far.
    pub fn settled(&self) -> bool {
        self.state.lock().find(Class::Keyboard).is_none_or(|keyboard| keyboard.settled())
    }

    pub fn attach(&self, input: Arc<dyn Input>) {
        self.state.lock().inputs.push(input);
    }

    /// One that is used while the guest listens to no other.
    pub fn attach_below(&self, input: Arc<dyn Input>) {
        self.state.lock().inputs.insert(0, input);
    }

    /// Whether the guest listens to a device of this class.
    pub fn hears(&self, class: Class) -> bool {
        self.state.lock().find(class).is_some()
    }

    /// What happened at one moment. What is let go goes to the device that it was pressed on.
    pub fn send(&self, events: &[Event]) {
        let mut state = self.state.lock();
        let (keys, pointer): (Vec<_>, Vec<_>) = events.iter().copied().partition(|e| matches!(e, Event::Key { .. }));
        if let Some(keyboard) = state.find(Class::Keyboard).filter(|_| !keys.is_empty()) {
            state.put(&keyboard, &keys);
        }
        if pointer.is_empty() {
            return;
        }
        let tablet = state.find(Class::Tablet);
        let moved = pointer.iter().any(|e| matches!(e, Event::MoveBy { .. }));
        let device = tablet.clone().filter(|_| !moved).or_else(|| state.find(Class::Mouse)).or(tablet);
        if let Some(device) = device {
            let pointer: Vec<_> = pointer.into_iter().map(|e| state.pointer.told(e, device.class())).collect();
            state.put(&device, &pointer);
        }
    }
}

/// Where the pointer is, as far as is known.
#[derive(Debug, Clone, Copy, Default)]
struct Pointer {
    x: u32,
    y: u32,
    screen: Size,
}

impl Pointer {
    /// `event` in the words of a device of this class: a mouse is told how far it is to go, a tablet where to be.
    fn told(&mut self, event: Event, class: Class) -> Event {
        let before = *self;
        match event {
            Event::MoveTo { x, y, screen } => *self = Pointer { x, y, screen },
            Event::MoveBy { x, y } => {
                let moved = |at: u32, by: i32, size: u32| at.saturating_add_signed(by).min(size.saturating_sub(1));
                self.x = moved(self.x, x, self.screen.width);
                self.y = moved(self.y, y, self.screen.height);
            }
            other => return other,
        }
        let Pointer { x, y, screen } = *self;
        match (event, class) {
            (Event::MoveTo { .. }, Class::Mouse) => {
                let by = |to: u32, from: u32| (i64::from(to) - i64::from(from)).clamp(-MOST, MOST) as i32;
                Event::MoveBy { x: by(x, before.x), y: by(y, before.y) }
            }
            (Event::MoveBy { .. }, Class::Tablet) => Event::MoveTo { x, y, screen },
            _ => event,
        }
    }
}

/// Pixels that a pointer moves at once.
const MOST: i64 = 1 << 20;

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

#[cfg(test)]
mod tests;
