//! Virtio (OASIS virtio 1.2): what a device must say, and what it is given when it runs.
//! A device knows no thread, lock, transport or "am I active"; the transports ([`pci`], [`mmio`]) are what the guest sees.

mod config;
#[cfg(test)]
pub mod guest;
mod handshake;
mod kicks;
pub mod mmio;
pub mod pci;
mod queue;
#[cfg(test)]
mod toy;
mod worker;

pub use config::ConfigSpace;
pub use queue::{Chain, Queue};

use crate::{mem::Memory, sys::Poll};
use anyhow::{Context, Result, bail};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A virtio device. Its worker thread owns it while the driver has DRIVER_OK set, its transport before and after.
pub trait Device: Send {
    /// virtio 1.2, 5: the device ID.
    fn id(&self) -> u32;

    /// The largest size of each virtqueue; a power of two each.
    fn queue_sizes(&self) -> Vec<u16>;

    /// Feature bits the device offers; the transport adds those of the ring and VERSION_1.
    fn features(&self) -> u64 {
        0
    }

    /// The configuration space as it is before the driver touches it.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The driver set DRIVER_OK.
    fn start(&mut self, _io: &mut Io) -> Result<()> {
        Ok(())
    }

    /// The driver kicked `queue` (an index below `io.queues.len()`); the queue may also be empty or disabled.
    /// An error means the ring is broken or the device cannot go on: it stops, with DEVICE_NEEDS_RESET set.
    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()>;

    /// A descriptor given to [`Io::watch`] is readable.
    fn fd_ready(&mut self, token: u32, _io: &mut Io) -> Result<()> {
        bail!("token {token} was never watched")
    }

    /// The driver wrote `data` at offset `at` of the configuration space. Nothing has been stored:
    /// what the device accepts, it puts into `config` itself. `io` is there while the device runs.
    fn config_written(&mut self, _at: usize, _data: &[u8], _config: &ConfigSpace, _io: Option<&mut Io>) {}

    /// Finish what is in flight; nothing may touch guest memory after this returns.
    fn quiesce(&mut self, _io: &mut Io) -> Result<()> {
        Ok(())
    }

    /// The driver (or the machine) reset it: be as new.
    fn reset(&mut self) {}
}

/// Everything a running device may touch.
pub struct Io {
    pub mem: Memory,
    /// The negotiated feature bits.
    pub features: u64,
    pub queues: Vec<Queue>,
    pub config: Arc<ConfigSpace>,
    poll: Poll,
}

impl Io {
    fn new(mem: Memory, features: u64, queues: Vec<Queue>, config: Arc<ConfigSpace>) -> Result<Io> {
        let poll = Poll::new().context("create an epoll")?;
        Ok(Io { mem, features, queues, config, poll })
    }

    pub fn has(&self, feature: u32) -> bool {
        self.features >> feature & 1 == 1
    }

    /// Calls [`Device::fd_ready`] with `token` while `fd` is readable, until the device stops or [`Io::unwatch`].
    pub fn watch(&self, fd: BorrowedFd<'_>, token: u32) -> Result<()> {
        Ok(self.poll.add(fd, worker::DEVICE_TOKEN | u64::from(token))?)
    }

    pub fn unwatch(&self, fd: BorrowedFd<'_>) -> Result<()> {
        Ok(self.poll.remove(fd)?)
    }
}

/// For the unit tests of devices, which are their own worker.
#[cfg(test)]
impl Io {
    pub(crate) fn for_test(mem: Memory, features: u64, queues: Vec<Queue>, config: Arc<ConfigSpace>) -> Io {
        Io { mem, features, queues, config, poll: Poll::new().expect("an epoll") }
    }

    /// What the worker does before it calls the device. Says which queues the device is to be called for again.
    pub(crate) fn next_turn(&mut self) -> Vec<usize> {
        let again = (0..).zip(&self.queues).filter(|(_, q)| q.again()).map(|(i, _)| i).collect();
        self.queues.iter_mut().for_each(|q| {
            q.refill();
            q.begin();
        });
        again
    }

    /// The tokens of watched descriptors that are readable now.
    pub(crate) fn readable(&self) -> Vec<u32> {
        let mut ready = Vec::new();
        self.poll.wait(&mut ready, Some(std::time::Duration::ZERO)).expect("an epoll");
        ready.iter().map(|token| (token - worker::DEVICE_TOKEN) as u32).collect()
    }
}
