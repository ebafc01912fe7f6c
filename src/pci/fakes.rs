//! For tests: the board's side of interrupts and doorbells, which only takes notes.

use crate::bus::{Door, Doorbells};
pub use crate::irq::fakes::Level;
use crate::irq::{Interrupt, Message, Messages};
use crate::sys::{EventFd, Lock};
use anyhow::{Result, ensure};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Messages that were sent, as (address, data); clones share them.
#[derive(Default, Clone)]
pub struct Outbox {
    sent: Arc<Lock<Vec<(u64, u32)>>>,
    living: Arc<AtomicUsize>,
    pub full: Arc<AtomicBool>,
}

impl Outbox {
    pub fn sent(&self) -> Vec<(u64, u32)> {
        self.sent.lock().clone()
    }

    /// How many messages are allocated now.
    pub fn living(&self) -> usize {
        self.living.load(Ordering::SeqCst)
    }
}

impl Messages for Outbox {
    fn allocate(&self) -> Result<Arc<dyn Message>> {
        ensure!(!self.full.load(Ordering::SeqCst), "no message is left");
        self.living.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Letter { outbox: self.clone(), to: Lock::new(None) }))
    }
}

struct Letter {
    outbox: Outbox,
    to: Lock<Option<(u64, u32)>>,
}

impl Interrupt for Letter {
    fn raise(&self) {
        self.outbox.sent.lock().extend(*self.to.lock());
    }
}

impl Message for Letter {
    fn program(&self, address: u64, data: u32) -> Result<()> {
        *self.to.lock() = Some((address, data));
        Ok(())
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.outbox.living.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Doorbells that are attached, with their descriptors.
#[derive(Default)]
pub struct Doors(Lock<Vec<(Door, i32)>>);

impl Doors {
    pub fn attached(&self) -> Vec<Door> {
        self.0.lock().iter().map(|(door, _)| *door).collect()
    }
}

impl Doorbells for Doors {
    fn attach(&self, door: Door, bell: &EventFd) -> Result<()> {
        let mut doors = self.0.lock();
        ensure!(!doors.iter().any(|(at, _)| *at == door), "there is a doorbell at {door:x?}");
        doors.push((door, bell.as_raw_fd()));
        Ok(())
    }

    fn detach(&self, door: Door, bell: &EventFd) -> Result<()> {
        let mut doors = self.0.lock();
        let mine = (door, bell.as_raw_fd());
        ensure!(doors.contains(&mine), "there is no such doorbell at {door:x?}");
        doors.retain(|d| *d != mine);
        Ok(())
    }
}
