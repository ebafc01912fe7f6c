//! A split virtqueue (virtio 1.2, 2.7), with indirect descriptors and event indices where they were negotiated.

use super::{Device, EVENT_IDX, INDIRECT};
use crate::cpu::Page;
use crate::port::{read32, write16, write32};
use crate::{Result, apic, ensure, rt};
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const TABLE: u16 = 4;

/// A piece of memory for the device: to read, or to write into.
#[derive(Clone, Copy)]
pub struct Buffer {
    pub at: u64,
    pub len: u32,
    pub write: bool,
}

impl Buffer {
    /// For the device to read.
    pub fn out(bytes: &[u8]) -> Buffer {
        Buffer { at: bytes.as_ptr() as u64, len: bytes.len() as u32, write: false }
    }

    /// For the device to write. The borrow ends here, but the device keeps the memory until the chain is used.
    pub fn into(bytes: &mut [u8]) -> Buffer {
        Buffer { at: bytes.as_mut_ptr() as u64, len: bytes.len() as u32, write: true }
    }
}

/// A chain the device has given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub head: u16,
    pub len: u32,
}

pub struct Queue {
    pub size: u16,
    pub vector: u8,
    indirect: bool,
    event_idx: bool,
    /// Interrupts are not wanted.
    quiet: bool,
    doorbell: (u64, bool),
    acknowledgement: Option<(u64, u64)>,
    index: u16,
    descriptors: *mut [u64; 2],
    available: *mut u16,
    used: *mut u16,
    /// Descriptors nobody uses, and for each head how to give its chain back.
    free: Vec<u16>,
    chains: Vec<Vec<u16>>,
    /// A table for each descriptor, when there are indirect ones.
    tables: *mut [[u64; 2]; 16],
    next_available: u16,
    kicked: u16,
    next_used: u16,
    /// Kicks that were made, not saved.
    pub kicks: u64,
}

impl Queue {
    pub(super) fn new(device: &mut Device, index: u16, size: u16) -> Result<Queue> {
        let n = usize::from(size);
        let descriptors = rt::pages(n * 16, 4096).as_mut_ptr();
        let available = rt::pages(6 + n * 2, 2).as_mut_ptr();
        let used = rt::pages(6 + n * 8, 4).as_mut_ptr();
        let vector = device.transport.set_queue(index, size, [descriptors as u64, available as u64, used as u64])?;
        let indirect = device.has(INDIRECT);
        Ok(Queue {
            size,
            vector,
            indirect,
            event_idx: device.has(EVENT_IDX),
            quiet: false,
            doorbell: device.transport.doorbell(index),
            acknowledgement: device.transport.acknowledgement(),
            index,
            descriptors: descriptors.cast(),
            available: available.cast(),
            used: used.cast(),
            free: (0..size).rev().collect(),
            chains: (0..size).map(|_| Vec::with_capacity(16)).collect(),
            tables: if indirect { rt::pages(n * 256, 16).as_mut_ptr().cast() } else { core::ptr::null_mut() },
            next_available: 0,
            kicked: 0,
            next_used: 0,
            kicks: 0,
        })
    }

    /// Makes a chain available (2.7.13), without a kick. The memory stays the device's until it comes back.
    pub fn add(&mut self, buffers: &[Buffer]) -> Result<u16> {
        let needed = if self.indirect { 1 } else { buffers.len() };
        ensure!(!buffers.is_empty() && buffers.len() <= 16, "a chain of {} buffers", buffers.len());
        ensure!(self.free.len() >= needed, "the queue is full");
        let mut ids: Vec<u16> = Vec::new();
        ids.extend((0..needed).filter_map(|_| self.free.pop()));
        let head = ids[0];
        let encode = |i: usize, next: Option<u16>| {
            let flags = if buffers[i].write { WRITE } else { 0 } | if next.is_some() { NEXT } else { 0 };
            [buffers[i].at, descriptor(buffers[i].len, flags, next.unwrap_or(0))]
        };
        // SAFETY: descriptors are below the size; rings and tables are ours for good.
        unsafe {
            if self.indirect {
                let table = self.tables.add(head.into()).cast::<[u64; 2]>();
                for i in 0..buffers.len() {
                    let next = (i + 1 < buffers.len()).then_some(i as u16 + 1);
                    table.add(i).write_volatile(encode(i, next));
                }
                let entry = [table as u64, descriptor(buffers.len() as u32 * 16, TABLE, 0)];
                self.descriptors.add(head.into()).write_volatile(entry);
            } else {
                for (i, id) in ids.iter().enumerate() {
                    self.descriptors.add((*id).into()).write_volatile(encode(i, ids.get(i + 1).copied()));
                }
            }
            let slot = 2 + usize::from(self.next_available % self.size);
            self.available.add(slot).write_volatile(head);
        }
        self.chains[usize::from(head)] = ids;
        self.next_available = self.next_available.wrapping_add(1);
        fence(Ordering::Release);
        // SAFETY: as above.
        unsafe { self.available.add(1).write_volatile(self.next_available) };
        Ok(head)
    }

    /// Tells the device, unless it asked not to be told (2.7.10, 2.7.13.4.1).
    pub fn kick(&mut self) {
        fence(Ordering::SeqCst);
        // SAFETY: the used ring's flags, and the word behind its last element.
        let (flags, event) =
            unsafe { (self.used.read_volatile(), self.used.add(2 + usize::from(self.size) * 4).read_volatile()) };
        let needed = match self.event_idx {
            true => {
                let since = self.next_available.wrapping_sub(self.kicked);
                self.next_available.wrapping_sub(event).wrapping_sub(1) < since
            }
            false => flags & 1 == 0,
        };
        self.kicked = self.next_available;
        if needed {
            self.kicks += 1;
            match self.doorbell {
                (at, true) => write32(at, self.index.into()),
                (at, false) => write16(at, self.index),
            }
        }
    }

    /// Asks the device for interrupts, or not.
    pub fn set_interrupts(&mut self, on: bool) {
        self.quiet = !on;
        match self.event_idx {
            true => self.set_used_event(),
            // SAFETY: the available ring's flags.
            false => unsafe { self.available.write_volatile(u16::from(self.quiet)) },
        }
        fence(Ordering::SeqCst);
    }

    /// The index whose use shall interrupt: the next, or one that is not near (2.7.7.1).
    fn set_used_event(&mut self) {
        let value = if self.quiet { self.next_used.wrapping_sub(1 << 14) } else { self.next_used };
        // SAFETY: the word behind the available ring's last element.
        unsafe { self.available.add(2 + usize::from(self.size)).write_volatile(value) };
    }

    pub fn has_used(&self) -> bool {
        // SAFETY: the used ring's index.
        let index = unsafe { self.used.add(1).read_volatile() };
        index != self.next_used
    }

    /// The next chain the device gives back (2.7.14). An error when the device broke the ring.
    pub fn pop(&mut self) -> Result<Option<Used>> {
        if !self.has_used() {
            return Ok(None);
        }
        fence(Ordering::Acquire);
        let slot = usize::from(self.next_used % self.size);
        // SAFETY: inside the used ring, whose elements are 4-aligned.
        let [id, len] = unsafe { self.used.add(2 + slot * 4).cast::<[u32; 2]>().read_volatile() };
        let ids = self.chains.get_mut(id as usize).map(core::mem::take).unwrap_or_default();
        ensure!(!ids.is_empty(), "the device gave back chain {id}, which it did not have");
        self.free.extend(ids.iter().rev());
        self.next_used = self.next_used.wrapping_add(1);
        if self.event_idx {
            self.set_used_event();
            fence(Ordering::SeqCst);
        }
        Ok(Some(Used { head: id as u16, len }))
    }

    /// Waits, halted, for the next chain.
    pub fn wait(&mut self) -> Result<Used> {
        let came = apic::wait(self.vector, || self.has_used());
        if let Some((reason, acknowledge)) = self.acknowledgement {
            write32(acknowledge, read32(reason));
        }
        ensure!(came, "queue {}: no answer (of {} interrupts)", self.index, Page::boot().count(self.vector));
        self.pop()?.ok_or_else(|| "the used ring went backwards".into())
    }

    /// The same, but nothing is looked at before the interrupt has come: so each request must have its own,
    /// even with event indices.
    pub fn request_by_interrupt(&mut self, buffers: &[Buffer]) -> Result<u32> {
        let page = Page::boot();
        let seen = page.count(self.vector);
        self.add(buffers)?;
        self.kick();
        let came = apic::wait(self.vector, || page.count(self.vector) > seen);
        ensure!(
            came,
            "queue {}: no interrupt ({})",
            self.index,
            if self.has_used() { "but an answer" } else { "nor an answer" }
        );
        Ok(self.wait()?.len)
    }

    /// One request and its answer: the length that the device says it wrote.
    pub fn request(&mut self, buffers: &[Buffer]) -> Result<u32> {
        let head = self.add(buffers)?;
        self.kick();
        let used = self.wait()?;
        ensure!(used.head == head, "the device answered chain {}, not {head}", used.head);
        Ok(used.len)
    }
}

fn descriptor(len: u32, flags: u16, next: u16) -> u64 {
    u64::from(len) | u64::from(flags) << 32 | u64::from(next) << 48
}
