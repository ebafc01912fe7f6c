//! A device's configuration space: the transport reads it, the device changes it, the driver is told.

use crate::irq::Interrupt;
use crate::sys::Lock;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// virtio 1.2, 2.5. The generation changes with every change the device makes.
pub struct ConfigSpace {
    bytes: Lock<Vec<u8>>,
    generation: AtomicU32,
    changed: OnceLock<Arc<dyn Interrupt>>,
}

impl ConfigSpace {
    pub fn new(bytes: Vec<u8>) -> ConfigSpace {
        ConfigSpace { bytes: Lock::new(bytes), generation: AtomicU32::new(0), changed: OnceLock::new() }
    }

    /// The configuration-change interrupt; set once, by the transport.
    pub(super) fn on_change(&self, interrupt: Arc<dyn Interrupt>) {
        let _ = self.changed.set(interrupt);
    }

    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.lock().len()
    }

    /// What it is after a reset.
    pub(super) fn reset(&self, new: Vec<u8>) {
        let mut bytes = self.bytes.lock();
        if *bytes != new {
            *bytes = new;
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Changes the bytes without telling the driver (it made the change itself).
    pub fn store(&self, at: usize, data: &[u8]) {
        copy(&mut self.bytes.lock(), at, data);
    }

    /// Changes the bytes and interrupts the driver.
    pub fn update(&self, at: usize, data: &[u8]) {
        let mut bytes = self.bytes.lock();
        copy(&mut bytes, at, data);
        // Under the lock: whoever reads a new byte reads the new generation after it.
        self.generation.fetch_add(1, Ordering::AcqRel);
        drop(bytes);
        if let Some(interrupt) = self.changed.get() {
            interrupt.raise();
        }
    }

    /// What lies beyond the end reads as zero.
    pub fn read(&self, at: u64, out: &mut [u8]) {
        out.fill(0);
        let bytes = self.bytes.lock();
        let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        for (to, from) in out.iter_mut().zip(from) {
            *to = *from;
        }
    }

    pub fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }
}

/// Only what fits as a whole.
fn copy(bytes: &mut [u8], at: usize, data: &[u8]) {
    let end = at.checked_add(data.len());
    if let Some(to) = end.and_then(|end| bytes.get_mut(at..end)) {
        to.copy_from_slice(data);
    }
}
