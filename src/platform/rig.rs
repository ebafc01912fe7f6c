//! What the tests of board devices have in common: a line that remembers, requests that are collected, random accesses.

use crate::bus::Mmio;
use crate::event::{Notify, Request};
use crate::irq::Line;
use crate::sys::Lock;
use proptest::prelude::*;
use std::sync::Arc;

/// Every level that was set, in order.
#[derive(Default)]
pub struct Wire(Lock<Vec<bool>>);

impl Wire {
    pub fn new() -> Arc<Wire> {
        Arc::default()
    }

    pub fn level(&self) -> bool {
        self.0.lock().last().copied().unwrap_or(false)
    }

    /// Nobody sets a level that is set already.
    pub fn alternates(&self) -> bool {
        self.0.lock().iter().enumerate().all(|(i, level)| *level == (i % 2 == 0))
    }
}

impl Line for Wire {
    fn set(&self, asserted: bool) {
        self.0.lock().push(asserted);
    }
}

/// A [`Notify`] and what it was told.
pub fn requests() -> (Notify, Arc<Lock<Vec<Request>>>) {
    let told = Arc::new(Lock::new(Vec::new()));
    let listener = told.clone();
    (Arc::new(move |r| listener.lock().push(r)), told)
}

pub fn read<const N: usize>(device: &dyn Mmio, offset: u64) -> [u8; N] {
    // No byte may be left as it was: what it was differs between the two.
    let (mut a, mut b) = ([0x5a; N], [0xa5; N]);
    device.read(offset, &mut a);
    device.read(offset, &mut b);
    assert!(a.iter().zip(&b).all(|(a, b)| !(*a == 0x5a && *b == 0xa5)), "bytes of a read were not filled");
    b
}

pub fn read8(device: &dyn Mmio, offset: u64) -> u8 {
    let mut byte = [0];
    device.read(offset, &mut byte);
    byte[0]
}

/// A guest's access: offset, width, and the bytes when it is a store.
#[derive(Debug, Clone)]
pub struct Access {
    pub offset: u64,
    pub data: Vec<u8>,
    pub store: bool,
}

impl Access {
    pub fn run(&self, device: &dyn Mmio) {
        if self.store {
            device.write(self.offset, &self.data);
        } else {
            let mut data = self.data.clone();
            device.read(self.offset, &mut data);
        }
    }
}

/// Any accesses around a window of `len` bytes, and a few far outside it.
pub fn accesses(len: u64) -> impl Strategy<Value = Vec<Access>> {
    let offset = prop_oneof![8 => 0..=len, 1 => Just(u64::MAX), 1 => any::<u64>()];
    let data =
        prop_oneof![Just(1usize), Just(2), Just(4), Just(8)].prop_flat_map(|n| prop::collection::vec(any::<u8>(), n));
    let access = (offset, data, any::<bool>()).prop_map(|(offset, data, store)| Access { offset, data, store });
    prop::collection::vec(access, 0..64)
}
