//! What driver and device agree on before and while the device runs, the same for both transports: status (virtio 1.2, 2.1),
//! features (2.2), the order of both (3.1), and where the queues are. The transports only translate registers.
//!
//! ```text
//!   0 --> ACKNOWLEDGE --> DRIVER --> FEATURES_OK --> DRIVER_OK ----------> DEVICE_NEEDS_RESET
//!   ^                                (or refused)    (a Worker runs)      (it waits, stopped)
//!   '------------------------------------ write 0 ------------------------------------'
//! ```
//! Lock order: the transport's lock around a `Handshake`, then whatever the worker takes (never the other way round:
//! the worker only touches `status` and the [`Signals`]).

mod legacy;

use super::kicks::Kicks;
use super::worker::Worker;
use super::{ConfigSpace, Device, Io, Queue};
use crate::bus::{Door, Doorbells};
use crate::irq::Interrupt;
use crate::mem::Memory;
use anyhow::{Context, Error, Result, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use virtio_queue::{Queue as Ring, QueueT};
use vm_memory::GuestAddress;

pub(super) const ACKNOWLEDGE: u8 = 1;
pub(super) const DRIVER: u8 = 2;
pub(super) const DRIVER_OK: u8 = 4;
pub(super) const FEATURES_OK: u8 = 8;
pub(super) const DEVICE_NEEDS_RESET: u8 = 64;
pub(super) const FAILED: u8 = 128;

const RING_INDIRECT_DESC: u64 = 1 << 28;
const RING_EVENT_IDX: u64 = 1 << 29;
const VERSION_1: u64 = 1 << 32;

/// The transport's two notifications to the driver.
pub(super) trait Signals: Send + Sync + 'static {
    /// Buffers of `queue` were used.
    fn used(&self, queue: u16);
    fn config_changed(&self);
    /// The device was reset, and runs no more: forget what the driver set up, assert nothing.
    fn reset(&self);
}

pub(super) struct Handshake {
    name: String,
    id: u32,
    mem: Memory,
    config: Arc<ConfigSpace>,
    signals: Arc<dyn Signals>,
    kicks: Kicks,
    offered: u64,
    accepted: u64,
    /// It also accepted bits above those 64.
    excess: bool,
    /// DeviceFeaturesSel and DriverFeaturesSel: which 32 bits.
    pub device_page: u32,
    pub driver_page: u32,
    /// QueueSel.
    pub selected: u16,
    queues: Vec<Setup>,
    status: Arc<AtomicU8>,
    /// The driver started it by the legacy interface.
    legacy: bool,
    /// Here while it does not run, in `worker` while it does.
    device: Option<Box<dyn Device>>,
    worker: Option<Worker>,
}

/// A queue as the driver sets it up. Addresses are checked when the device starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub max: u16,
    pub size: u16,
    pub ready: bool,
    pub desc: u64,
    pub driver: u64,
    pub device: u64,
}

/// One of a queue's three areas.
#[derive(Debug, Clone, Copy)]
pub(super) enum Area {
    Desc,
    Driver,
    Device,
}

impl Handshake {
    pub fn new(
        name: &str,
        device: Box<dyn Device>,
        mem: &Memory,
        signals: Arc<dyn Signals>,
        doorbells: Arc<dyn Doorbells>,
        place: impl Fn(u16, bool) -> Option<Door> + Send + 'static,
    ) -> Handshake {
        let config = Arc::new(ConfigSpace::new(device.config()));
        config.on_change(Arc::new(ConfigChanged(signals.clone())));
        Handshake {
            name: name.to_string(),
            id: device.id(),
            mem: mem.clone(),
            config,
            signals,
            kicks: Kicks::new(doorbells, place),
            offered: device.features() | RING_INDIRECT_DESC | RING_EVENT_IDX | VERSION_1,
            accepted: 0,
            excess: false,
            device_page: 0,
            driver_page: 0,
            selected: 0,
            queues: device.queue_sizes().into_iter().map(Setup::new).collect(),
            status: Arc::new(AtomicU8::new(0)),
            legacy: false,
            device: Some(device),
            worker: None,
        }
    }

    pub fn id(&self) -> u32 {
        self.id
    }

    pub fn config(&self) -> &ConfigSpace {
        &self.config
    }

    pub fn status(&self) -> u8 {
        self.status.load(Ordering::Acquire)
    }

    /// The 32 bits of the offered features that `device_page` selects.
    pub fn device_features(&self) -> u32 {
        page(self.offered, self.device_page)
    }

    pub fn driver_features(&self) -> u32 {
        page(self.accepted, self.driver_page)
    }

    /// Not after FEATURES_OK: the driver must not change its mind then (virtio 1.2, 3.1.1).
    pub fn set_driver_features(&mut self, bits: u32) {
        if self.status() & FEATURES_OK == 0 {
            set_half(&mut self.accepted, self.driver_page, bits);
            if self.driver_page > 1 {
                self.excess = bits != 0;
            }
        }
    }

    /// The driver writes the status: it may set bits, or write 0 for a reset, which is done when this returns.
    /// It must not clear bits (virtio 1.2, 2.1.1): that is ignored, as is DRIVER_OK without FEATURES_OK.
    pub fn set_status(&mut self, value: u8) {
        if value == 0 {
            return self.reset();
        }
        let new = value & !self.status();
        self.add_status(new & (ACKNOWLEDGE | DRIVER | FAILED));
        if new & FEATURES_OK != 0 && self.acceptable() {
            self.add_status(FEATURES_OK);
        }
        if new & DRIVER_OK != 0 && self.status() & FEATURES_OK != 0 {
            self.add_status(DRIVER_OK);
            self.start();
        }
    }

    fn add_status(&self, bits: u8) {
        self.status.fetch_or(bits, Ordering::AcqRel);
    }

    /// Nothing that was not offered, and nothing before version 1 (virtio 1.2, 6.1).
    fn acceptable(&self) -> bool {
        !self.excess && self.accepted & !self.offered == 0 && self.accepted & VERSION_1 != 0
    }

    pub fn queues(&self) -> usize {
        self.queues.len()
    }

    /// The queue that `selected` names.
    pub fn queue(&self) -> Option<&Setup> {
        self.queues.get(usize::from(self.selected))
    }

    /// The same to change it: only while it is not in use.
    fn queue_mut(&mut self) -> Option<&mut Setup> {
        let running = self.worker.is_some() || self.status() & DRIVER_OK != 0;
        self.queues.get_mut(usize::from(self.selected)).filter(|_| !running)
    }

    /// What is no size (virtio 1.2, 2.7) changes nothing.
    pub fn set_size(&mut self, size: u32) {
        let Ok(size) = u16::try_from(size) else { return };
        if let Some(q) = self.queue_mut().filter(|q| !q.ready && size.is_power_of_two() && size <= q.max) {
            q.size = size;
        }
    }

    pub fn set_ready(&mut self, ready: bool) {
        if let Some(q) = self.queue_mut() {
            q.ready = ready;
        }
    }

    /// Sets the low (0) or high (1) 32 bits of an area's address.
    pub fn set_address(&mut self, area: Area, half: u32, bits: u32) {
        let Some(q) = self.queue_mut().filter(|q| !q.ready) else { return };
        let address = match area {
            Area::Desc => &mut q.desc,
            Area::Driver => &mut q.driver,
            Area::Device => &mut q.device,
        };
        set_half(address, half, bits);
    }

    /// The driver notified `queue`, which may be any number.
    pub fn kick(&self, queue: u32) {
        self.kicks.ring(queue);
    }

    /// The addresses the driver notifies at have changed.
    pub fn doorbells_moved(&mut self) {
        self.kicks.moved();
    }

    /// The driver wrote to the configuration space. What does not fit as a whole is ignored.
    pub fn config_write(&mut self, at: u64, data: &[u8]) {
        let Ok(at) = usize::try_from(at) else { return };
        if at.checked_add(data.len()).is_none_or(|end| end > self.config.len()) {
            return;
        }
        if let Some(worker) = &self.worker {
            worker.config_written(at, data);
        } else if let Some(device) = &mut self.device {
            device.config_written(at, data, &self.config, None);
        }
    }

    fn start(&mut self) {
        let Some(device) = self.device.take() else { return };
        match self.launch(device) {
            Ok(worker) => {
                self.worker = Some(worker);
                self.kicks.attach();
            }
            Err((device, e)) => {
                log::error!("{}: {e:#}", self.name);
                self.device = Some(device);
                self.kicks.close();
                broken(&self.status, &*self.signals);
            }
        }
    }

    fn launch(&mut self, device: Box<dyn Device>) -> Result<Worker, (Box<dyn Device>, Error)> {
        let io = self.rings().and_then(|queues| Io::new(self.mem.clone(), self.accepted, queues, self.config.clone()));
        let kicks = self.kicks.open(self.queues.iter().map(|q| q.ready).collect(), self.legacy);
        let (io, kicks) = match io.and_then(|io| Ok((io, kicks?))) {
            Ok(both) => both,
            Err(e) => return Err((device, e)),
        };
        let (status, signals) = (self.status.clone(), self.signals.clone());
        Worker::start(&self.name, device, io, kicks, move || broken(&status, &*signals))
    }

    fn rings(&self) -> Result<Vec<Queue>> {
        let make = |(i, setup): (usize, &Setup)| {
            let ring =
                setup.ring(&self.mem, self.accepted & RING_EVENT_IDX != 0).with_context(|| format!("queue {i}"))?;
            let interrupt = QueueUsed { signals: self.signals.clone(), queue: u16::try_from(i)? };
            Ok(Queue::new(ring, self.mem.clone(), Arc::new(interrupt)))
        };
        self.queues.iter().enumerate().map(make).collect()
    }

    /// The device must touch guest memory no more, although the driver did not reset it.
    pub fn halt(&mut self) {
        if let Some(worker) = self.worker.take() {
            let (device, _io) = worker.stop();
            self.device = Some(device);
            self.kicks.close();
            broken(&self.status, &*self.signals);
        }
    }

    /// When it returns, the device touches no guest memory, sends no interrupt, and is as new.
    pub fn reset(&mut self) {
        if let Some(worker) = self.worker.take() {
            let (device, _io) = worker.stop();
            self.device = Some(device);
        }
        self.kicks.close();
        if let Some(device) = &mut self.device {
            device.reset();
            self.config.reset(device.config());
        }
        self.signals.reset();
        (self.accepted, self.excess, self.legacy) = (0, false, false);
        (self.device_page, self.driver_page, self.selected) = (0, 0, 0);
        for q in &mut self.queues {
            *q = Setup::new(q.max);
        }
        self.status.store(0, Ordering::Release);
    }
}

/// The device cannot go on: tell the driver (virtio 1.2, 2.1.2).
fn broken(status: &AtomicU8, signals: &dyn Signals) {
    status.fetch_or(DEVICE_NEEDS_RESET, Ordering::AcqRel);
    signals.config_changed();
}

impl Setup {
    fn new(max: u16) -> Setup {
        Setup { max, size: max, ready: false, desc: 0, driver: 0, device: 0 }
    }

    /// The ring in memory. Errors when a part of it is misaligned or not in memory.
    fn ring(&self, mem: &Memory, event_idx: bool) -> Result<Ring> {
        let mut ring = Ring::new(self.max)?;
        if self.ready {
            ring.try_set_size(self.size)?;
            ring.try_set_desc_table_address(GuestAddress(self.desc))?;
            ring.try_set_avail_ring_address(GuestAddress(self.driver))?;
            ring.try_set_used_ring_address(GuestAddress(self.device))?;
            ring.set_event_idx(event_idx);
            ring.set_ready(true);
            ensure!(self.driver != 0 && ring.is_valid(mem.map()), "it is not in memory");
        }
        Ok(ring)
    }
}

struct QueueUsed {
    signals: Arc<dyn Signals>,
    queue: u16,
}

impl Interrupt for QueueUsed {
    fn raise(&self) {
        self.signals.used(self.queue);
    }
}

struct ConfigChanged(Arc<dyn Signals>);

impl Interrupt for ConfigChanged {
    fn raise(&self) {
        self.0.config_changed();
    }
}

/// Bits `32 * page` and up; there are 64.
fn page(bits: u64, page: u32) -> u32 {
    match page {
        0 => bits as u32,
        1 => (bits >> 32) as u32,
        _ => 0,
    }
}

fn set_half(value: &mut u64, half: u32, bits: u32) {
    match half {
        0 => *value = *value & !0xffff_ffff | u64::from(bits),
        1 => *value = *value & 0xffff_ffff | u64::from(bits) << 32,
        _ => {}
    }
}

#[cfg(test)]
mod tests;
