//! The lights of the guest's keyboard, so that a viewer's own may follow them: rfbproto's "QEMU LED State" and "VMware LED
//! State". A guest that never switches lights has none that are told: a viewer would press Caps Lock to make them agree.

use super::encode::header;
use super::update::encoding;
use crate::host::screen::Rect;
use crate::host::seat::Leds;
use std::collections::BTreeSet;

#[derive(Default)]
pub struct Lights {
    now: Option<Leds>,
    /// What the client shows.
    told: Option<Leds>,
}

impl Lights {
    pub fn set(&mut self, now: Option<Leds>) {
        self.now = now;
    }

    /// The client has been told nothing.
    pub fn forget(&mut self) {
        self.told = None;
    }

    pub fn due(&self, can: &BTreeSet<i32>) -> bool {
        let able = can.contains(&encoding::LEDS) || can.contains(&encoding::LEDS_WIDE);
        able && self.now.is_some() && self.now != self.told
    }

    pub fn put(&mut self, can: &BTreeSet<i32>, out: &mut Vec<u8>) {
        self.told = self.now;
        let Leds { num_lock, caps_lock, scroll_lock } = self.now.unwrap_or_default();
        let bits = u8::from(scroll_lock) | u8::from(num_lock) << 1 | u8::from(caps_lock) << 2;
        if can.contains(&encoding::LEDS) {
            header(Rect::default(), encoding::LEDS, out);
            out.push(bits);
        } else {
            header(Rect::default(), encoding::LEDS_WIDE, out);
            out.extend_from_slice(&u32::from(bits).to_be_bytes());
        }
    }
}
