//! The lights of the guest's keyboard, and those who want to know when they change.

use crate::sys::Lock;
use std::sync::Arc;

/// The lights of a keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leds {
    pub num_lock: bool,
    pub caps_lock: bool,
    pub scroll_lock: bool,
}

/// Called when lights may have changed, with no lock held.
type Ring = Arc<dyn Fn() + Send + Sync>;

/// Where keyboards say that they have other lights now.
#[derive(Clone, Default)]
pub struct Lights(Arc<Lock<Watchers>>);

#[derive(Default)]
struct Watchers {
    rings: Vec<(u64, Ring)>,
    next: u64,
}

impl Lights {
    pub fn changed(&self) {
        let rings: Vec<Ring> = self.0.lock().rings.iter().map(|(_, ring)| ring.clone()).collect();
        rings.iter().for_each(|ring| ring());
    }

    /// `ring` is called at every change until what is returned is dropped.
    pub fn watch(&self, ring: impl Fn() + Send + Sync + 'static) -> Watcher {
        let mut watchers = self.0.lock();
        let id = watchers.next;
        watchers.next += 1;
        watchers.rings.push((id, Arc::new(ring)));
        Watcher { lights: self.clone(), id }
    }
}

pub struct Watcher {
    lights: Lights,
    id: u64,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.lights.0.lock().rings.retain(|(id, _)| *id != self.id);
    }
}
