//! A line for tests, which remembers what was done to it.

use super::Line;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A line: its level, and how often it rose.
#[derive(Default)]
pub struct Level {
    up: AtomicBool,
    rises: AtomicUsize,
}

impl Level {
    pub fn up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    pub fn rises(&self) -> usize {
        self.rises.load(Ordering::SeqCst)
    }
}

impl Line for Level {
    fn set(&self, asserted: bool) {
        if !self.up.swap(asserted, Ordering::SeqCst) && asserted {
            self.rises.fetch_add(1, Ordering::SeqCst);
        }
    }
}
