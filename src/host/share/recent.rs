//! The descriptors that were used last, a bounded number of them.

use super::budget::Held;
use std::collections::HashMap;
use std::sync::Arc;

/// Two generations: what is used moves to the young one; when that is full it becomes the old one, and the old one goes.
pub struct Recent {
    young: HashMap<u64, Arc<Held>>,
    old: HashMap<u64, Arc<Held>>,
    most: usize,
}

impl Recent {
    /// Keeps `most` at most.
    pub fn new(most: usize) -> Recent {
        Recent { young: HashMap::new(), old: HashMap::new(), most: (most / 2).max(1) }
    }

    pub fn get(&mut self, id: u64) -> Option<Arc<Held>> {
        if let Some(fd) = self.young.get(&id) {
            return Some(fd.clone());
        }
        let fd = self.old.remove(&id)?;
        self.put(id, fd.clone());
        Some(fd)
    }

    pub fn put(&mut self, id: u64, fd: Arc<Held>) {
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, fd);
    }

    pub fn remove(&mut self, id: u64) {
        self.young.remove(&id);
        self.old.remove(&id);
    }
}
