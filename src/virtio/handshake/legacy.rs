//! What a driver of the legacy interface does otherwise (virtio 1.2, the "Legacy Interface" sections; virtio 0.9.5):
//! no FEATURES_OK, 32 feature bits, rings at a fixed distance in one block of pages, and old Linux drivers use the
//! device before they say DRIVER_OK.

use super::{ACKNOWLEDGE, DEVICE_NEEDS_RESET, DRIVER, DRIVER_OK, FAILED, Handshake, Setup};

/// VIRTIO_F_ANY_LAYOUT (6.3): a header need not be alone in its descriptor. True of all devices here.
const ANY_LAYOUT: u32 = 1 << 27;
/// Bytes of a page, by whose number the driver names a queue's place; also the used ring's alignment (2.7.2).
const PAGE: u64 = 4096;

impl Handshake {
    pub fn legacy_features(&self) -> u32 {
        self.offered as u32 | ANY_LAYOUT
    }

    pub fn legacy_accepted(&self) -> u32 {
        self.accepted as u32
    }

    /// There is no way to refuse: what was not offered is left out.
    pub fn legacy_accept(&mut self, bits: u32) {
        if self.worker.is_none() {
            (self.accepted, self.excess) = (u64::from(bits & self.legacy_features()), false);
        }
    }

    pub fn legacy_set_status(&mut self, value: u8) {
        if value == 0 {
            return self.reset();
        }
        let new = value & !self.status();
        self.add_status(new & (ACKNOWLEDGE | DRIVER | DRIVER_OK | FAILED));
        if new & DRIVER_OK != 0 {
            self.legacy_start();
        }
    }

    /// The driver notified `queue`. Linux before 3.18 does that while it is still setting up (virtio 1.2, 3.1.2), and waits.
    pub fn legacy_kick(&mut self, queue: u16) {
        if self.status() & (DRIVER | DRIVER_OK | DEVICE_NEEDS_RESET | FAILED) == DRIVER {
            self.legacy_start();
        }
        self.kick(u32::from(queue));
    }

    fn legacy_start(&mut self) {
        // It may run already, for a driver that was early.
        if self.worker.is_none() {
            self.legacy = true;
            self.start();
        }
    }

    /// The page of the queue that is selected; 0: it is not set up, or there is none.
    pub fn legacy_page(&self) -> u32 {
        self.queue().filter(|q| q.ready).map_or(0, |q| (q.desc / PAGE) as u32)
    }

    /// Descriptor table, available ring and used ring follow each other from the start of a page on (2.7.2).
    pub fn set_legacy_page(&mut self, page: u32) {
        if page == 0 && self.worker.is_some() {
            // The driver takes a queue's memory back (4.1.5.1.3): nothing may be written there any more.
            return self.reset();
        }
        let Some(q) = self.queue_mut() else { return };
        *q = Setup { size: q.size, ..Setup::new(q.max) };
        if page != 0 {
            (q.ready, q.desc) = (true, u64::from(page) * PAGE);
            q.driver = q.desc + 16 * u64::from(q.size);
            // Flags, index, entries, used event.
            q.device = (q.driver + 6 + 2 * u64::from(q.size)).next_multiple_of(PAGE);
        }
    }
}
