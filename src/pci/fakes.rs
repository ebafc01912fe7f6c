//! For tests: the board's side of interrupts and doorbells, which only takes notes.

use crate::bus::Doorbells;
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

/// Doorbells that are attached: address, value, descriptor.
#[derive(Default)]
pub struct Doors(Lock<Vec<(u64, Option<u32>, i32)>>);

impl Doors {
    pub fn attached(&self) -> Vec<(u64, Option<u32>)> {
        self.0.lock().iter().map(|(at, value, _)| (*at, *value)).collect()
    }
}

impl Doorbells for Doors {
    fn attach(&self, at: u64, value: Option<u32>, bell: &EventFd) -> Result<()> {
        let mut doors = self.0.lock();
        ensure!(!doors.iter().any(|d| (d.0, d.1) == (at, value)), "there is a doorbell at {at:#x}");
        doors.push((at, value, bell.as_raw_fd()));
        Ok(())
    }

    fn detach(&self, at: u64, value: Option<u32>, bell: &EventFd) -> Result<()> {
        let mut doors = self.0.lock();
        let mine = (at, value, bell.as_raw_fd());
        let place = doors.iter().position(|d| *d == mine);
        ensure!(place.is_some(), "there is no such doorbell at {at:#x}");
        doors.retain(|d| *d != mine);
        Ok(())
    }
}
