//! Keys of clients: by their place where the client says it, else by what is printed on them.

use crate::host::seat::Event;

#[derive(Default)]
pub struct Keys {}

impl Keys {
    /// A key by its XT scan code, with 0x80 for those that have the prefix 0xe0 (rfbproto, "QEMU Extended Key Event").
    /// 0: the client does not know.
    pub fn place(&mut self, down: bool, keysym: u32, scancode: u32) -> Vec<Event> {
        match scancode {
            0 => self.symbol(down, keysym),
            // The same codes, up to F12, but for two that no keyboard has.
            1..=0x53 | 0x56..=0x58 => vec![Event::Key { code: scancode as u16, down }],
            _ => Vec::new(),
        }
    }

    /// A key by its symbol (X11's keysyms).
    pub fn symbol(&mut self, _down: bool, _keysym: u32) -> Vec<Event> {
        Vec::new()
    }
}
