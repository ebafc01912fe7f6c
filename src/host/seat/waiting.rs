//! What has happened and a device's driver has not been told yet.

use super::{Button, Event};
use std::collections::{BTreeSet, VecDeque};

/// A pointer moves no further at once.
const FARTHEST: i32 = 1 << 20;

/// Bounded: a release waits only when its press has been told or waits, and a key is pressed once more only
/// when it was let go.
#[derive(Debug, Clone)]
pub struct Waiting {
    most: usize,
    events: VecDeque<Event>,
    keys: BTreeSet<u16>,
    buttons: BTreeSet<Button>,
}

impl Waiting {
    /// `most`: presses and movements that wait at most.
    pub fn new(most: usize) -> Waiting {
        Waiting { most, events: VecDeque::new(), keys: BTreeSet::new(), buttons: BTreeSet::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The oldest.
    pub fn first(&self) -> Option<Event> {
        self.events.front().copied()
    }

    /// The oldest was told, which was `event`. What a movement has grown by since stays.
    pub fn remove(&mut self, event: Event) {
        match (self.events.front_mut(), event) {
            (Some(Event::MoveBy { x, y }), Event::MoveBy { x: told_x, y: told_y })
            | (Some(Event::Wheel { x, y }), Event::Wheel { x: told_x, y: told_y })
                if (*x, *y) != (told_x, told_y) =>
            {
                *x = x.saturating_sub(told_x);
                *y = y.saturating_sub(told_y);
            }
            (Some(now @ Event::MoveTo { .. }), told) if *now != told => {}
            _ => drop(self.events.pop_front()),
        }
    }

    pub fn put(&mut self, event: Event) {
        let room = self.events.len() < self.most;
        let known = match event {
            Event::Key { code, down: true } => room && self.keys.insert(code),
            Event::Key { code, down: false } => self.keys.remove(&code),
            Event::Button { button, down: true } => room && self.buttons.insert(button),
            Event::Button { button, down: false } => self.buttons.remove(&button),
            _ if self.grow(event) => return,
            _ => room,
        };
        if known {
            self.events.push_back(event);
        }
    }

    /// Makes the newest movement one that includes `event`.
    fn grow(&mut self, event: Event) -> bool {
        let more = |a: &mut i32, b: i32| *a = a.saturating_add(b).clamp(-FARTHEST, FARTHEST);
        match (self.events.back_mut(), event) {
            (Some(last @ Event::MoveTo { .. }), Event::MoveTo { .. }) => *last = event,
            (Some(Event::MoveBy { x, y }), Event::MoveBy { x: by_x, y: by_y })
            | (Some(Event::Wheel { x, y }), Event::Wheel { x: by_x, y: by_y }) => {
                more(x, by_x);
                more(y, by_y);
            }
            _ => return false,
        }
        true
    }
}
