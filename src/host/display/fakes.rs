//! A guest's devices for the tests of displays: they note what comes.

use crate::host::screen::{Size, Source};
use crate::host::seat::{Class, Event, Input};
use crate::sys::Lock;

/// A device that draws what the test says and notes the sizes that are asked for.
#[derive(Default)]
pub struct Card(pub Lock<Vec<Size>>);

impl Source for Card {
    fn asked(&self, size: Size) {
        self.0.lock().push(size);
    }
}

/// A keyboard or a pointer.
pub struct Desk(pub Class, pub Lock<Vec<Event>>);

impl Input for Desk {
    fn class(&self) -> Class {
        self.0
    }
    fn ready(&self) -> bool {
        true
    }
    fn put(&self, events: &[Event]) {
        self.1.lock().extend(events);
    }
}
