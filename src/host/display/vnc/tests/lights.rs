//! The lights of the keyboard.

use super::client::Seen;
use super::{SIZE, Served};
use crate::host::seat::{Class, Event, Input, Leds};
use crate::sys::Lock;
use std::sync::Arc;

/// A keyboard whose guest switches the lights.
#[derive(Default)]
struct Lit(Lock<Option<Leds>>);

impl Input for Lit {
    fn class(&self) -> Class {
        Class::Keyboard
    }
    fn ready(&self) -> bool {
        true
    }
    fn put(&self, _: &[Event]) {}
    fn leds(&self) -> Option<Leds> {
        *self.0.lock()
    }
}

#[test]
fn the_lights_of_the_keyboard_are_told() {
    let served = Served::new();
    let keyboard = Arc::new(Lit::default());
    served.room.seat.attach(keyboard.clone());
    let switch = |num_lock, caps_lock, scroll_lock| {
        *keyboard.0.lock() = Some(Leds { num_lock, caps_lock, scroll_lock });
        served.room.seat.lights().changed();
    };
    let mut client = served.client();
    client.encodings(&[-261]);
    client.request(false);
    assert!(client.update().iter().all(|seen| matches!(seen, Seen::Pixels(_))), "the guest has said nothing");
    client.request(true);
    switch(false, true, false);
    assert_eq!(client.update(), [Seen::Lights(4)]);
    // Who comes later and has the other encoding is told at once.
    let mut late = served.client();
    late.encodings(&[0x574d_5669]);
    late.request(false);
    assert_eq!(late.update()[0], Seen::Lights(4));
    client.request(true);
    late.request(true);
    switch(true, false, true);
    assert_eq!((client.update(), late.update()), (vec![Seen::Lights(3)], vec![Seen::Lights(3)]));
    // The same again is no news: the next is of the picture.
    client.request(true);
    switch(true, false, true);
    served.brush.draw(SIZE.whole(), |_, row| row.fill(1));
    assert!(client.update().iter().all(|seen| matches!(seen, Seen::Pixels(_))));
}
