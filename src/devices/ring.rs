//! For tests: a driver's side of a device's virtqueues, in memory, with the test as worker and transport.
//! It lays rings out by hand (virtio 1.2, 2.7), so that it can say whatever a hostile driver could.

use crate::irq::Interrupt;
use crate::mem::Memory;
use crate::virtio::{ConfigSpace, Device, Io, Queue};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_queue::{Queue as Ring, QueueT};

/// Guest memory from here on belongs to the test.
pub const DATA: u64 = 0x40_0000;
/// Bytes of guest memory.
pub const MEMORY: u64 = 0x80_0000;
/// Descriptors in each queue, whatever the device's largest size is.
const SIZE: u16 = 64;
const RINGS: u64 = 0x1_0000;
const STEP: u64 = 0x1_0000;

#[derive(Default)]
struct Count(AtomicU32);

impl Interrupt for Count {
    fn raise(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub struct Driver {
    pub mem: Memory,
    pub io: Io,
    queues: Vec<State>,
    interrupts: Arc<Count>,
}

#[derive(Default, Clone)]
struct State {
    next: u16,
    avail: u16,
    seen: u16,
}

/// One descriptor: address, length, whether the device may write it.
pub type Part = (u64, u32, bool);

impl Driver {
    /// Negotiates `features` of those that `device` offers, and sets DRIVER_OK.
    pub fn new(device: &mut dyn Device, features: u64) -> Driver {
        let mem = Memory::new(&[(0, MEMORY)], None).unwrap();
        let interrupts = Arc::new(Count::default());
        let ring = |i: usize| {
            let base = (RINGS + i as u64 * STEP) as u32;
            let mut ring = Ring::new(256).unwrap();
            ring.set_size(SIZE);
            ring.set_desc_table_address(Some(base), Some(0));
            ring.set_avail_ring_address(Some(base + 0x4000), Some(0));
            ring.set_used_ring_address(Some(base + 0x8000), Some(0));
            ring.set_ready(true);
            Queue::new(ring, mem.clone(), interrupts.clone())
        };
        let n = device.queue_sizes().len();
        let config = Arc::new(ConfigSpace::new(device.config()));
        let features = features & (device.features() | 1 << VIRTIO_F_VERSION_1);
        let mut io = Io::for_test(mem.clone(), features, (0..n).map(ring).collect(), config);
        device.start(&mut io).unwrap();
        Driver { mem, io, queues: vec![State::default(); n], interrupts }
    }

    fn base(queue: usize) -> u64 {
        RINGS + queue as u64 * STEP
    }

    /// Makes one request of `parts` available; says its head. No kick yet.
    pub fn post(&mut self, queue: usize, parts: &[Part]) -> u16 {
        let base = Driver::base(queue);
        let state = &mut self.queues[queue];
        let head = state.next;
        for (i, (addr, len, writable)) in parts.iter().enumerate() {
            let more = i + 1 < parts.len();
            let at = state.next;
            state.next = (at + 1) % SIZE;
            let mut d = Vec::new();
            d.extend(addr.to_le_bytes());
            d.extend(len.to_le_bytes());
            d.extend((u16::from(more) | u16::from(*writable) << 1).to_le_bytes());
            d.extend(state.next.to_le_bytes());
            self.mem.write(base + 16 * u64::from(at), &d).unwrap();
        }
        self.mem.write(base + 0x4004 + 2 * u64::from(state.avail % SIZE), &head.to_le_bytes()).unwrap();
        state.avail = state.avail.wrapping_add(1);
        self.mem.write(base + 0x4002, &state.avail.to_le_bytes()).unwrap();
        head
    }

    pub fn kick(&mut self, device: &mut dyn Device, queue: usize) -> Result<()> {
        self.io.next_turn();
        device.queue_ready(queue, &mut self.io)?;
        self.again(device)
    }

    /// Calls the device for queues that it did not get to the end of.
    fn again(&mut self, device: &mut dyn Device) -> Result<()> {
        loop {
            let queues = self.io.next_turn();
            if queues.is_empty() {
                return Ok(());
            }
            queues.into_iter().try_for_each(|queue| device.queue_ready(queue, &mut self.io))?;
        }
    }

    /// What was given back since the last call: heads and lengths.
    pub fn used(&mut self, queue: usize) -> Vec<(u16, u32)> {
        let base = Driver::base(queue) + 0x8000;
        let state = &mut self.queues[queue];
        let end = u16::from_le_bytes(self.mem.read(base + 2).unwrap());
        let mut all = Vec::new();
        while state.seen != end {
            let raw = u64::from_le_bytes(self.mem.read(base + 4 + 8 * u64::from(state.seen % SIZE)).unwrap());
            all.push((raw as u16, (raw >> 32) as u32));
            state.seen = state.seen.wrapping_add(1);
        }
        all
    }

    /// How often the device interrupted.
    pub fn interrupts(&self) -> u32 {
        self.interrupts.0.load(Ordering::SeqCst)
    }

    /// Gives the device one chance at every watched descriptor that is readable; says how many there were.
    pub fn poll(&mut self, device: &mut dyn Device) -> Result<usize> {
        let ready = self.io.readable();
        for token in &ready {
            self.io.next_turn();
            device.fd_ready(*token, &mut self.io)?;
            self.again(device)?;
        }
        Ok(ready.len())
    }
}
