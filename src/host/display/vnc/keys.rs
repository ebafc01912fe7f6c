//! Keys of clients: by their place where the client says it, else by what is printed on them.

use crate::host::seat::keymap::{self, Typist};
use crate::host::seat::{Event, Seat};
use std::sync::Arc;

pub struct Keys {
    seat: Arc<Seat>,
    typist: Typist,
}

impl Keys {
    pub fn new(seat: &Arc<Seat>) -> Keys {
        Keys { seat: seat.clone(), typist: Typist::new(seat.layout()) }
    }

    /// A key by its XT scan code (rfbproto, "QEMU Extended Key Event"). 0: the client does not know.
    pub fn place(&mut self, down: bool, keysym: u32, scancode: u32) -> Vec<Event> {
        if scancode == 0 {
            return self.symbol(down, keysym);
        }
        keymap::of_xt(scancode).map(|code| Event::Key { code, down }).into_iter().collect()
    }

    /// A key by its symbol (X11's keysyms), on the layout that the guest is said to have.
    pub fn symbol(&mut self, down: bool, keysym: u32) -> Vec<Event> {
        self.typist.key(keysym, down, self.seat.leds().unwrap_or_default())
    }
}
