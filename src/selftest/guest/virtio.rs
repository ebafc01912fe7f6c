//! Virtio 1.2, the driver's side: negotiation, and what the transports have in common. One driver for each device
//! stands beside it; they are used by the tests and by benchmarks.

pub mod blk;
pub mod console;
pub mod mmio;
pub mod net;
pub mod pci;
mod queue;
pub mod rng;

pub use queue::{Buffer, Queue};

use crate::{Context, Result, ensure};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

/// Feature bits of every device (6).
pub const INDIRECT: u64 = 1 << 28;
pub const EVENT_IDX: u64 = 1 << 29;
pub const VERSION_1: u64 = 1 << 32;

/// Device status (2.1).
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
/// What a device sets when it cannot go on.
pub const NEEDS_RESET: u8 = 64;

/// How a driver reaches a device.
pub trait Transport {
    fn features(&self) -> u64;
    fn accept(&self, features: u64);
    fn status(&self) -> u8;
    fn set_status(&self, status: u8);
    /// The largest size of a queue, 0 when there is no such queue.
    fn queue_max(&self, queue: u16) -> u16;
    /// Tells where the rings are, and switches the queue on. Its interrupts come as the vector returned.
    fn set_queue(&mut self, queue: u16, size: u16, rings: [u64; 3]) -> Result<u8>;
    /// Where a kick of `queue` is written, and whether 2 or 4 bytes wide.
    fn doorbell(&self, queue: u16) -> (u64, bool);
    fn config(&self, at: u64) -> u8;
    fn config32(&self, at: u64) -> u32;
    #[allow(dead_code, reason = "for drivers of the screen and of what is typed")]
    fn set_config(&self, at: u64, value: u8);
    #[allow(dead_code, reason = "as above")]
    fn set_config32(&self, at: u64, value: u32);
    fn generation(&self) -> u32;
    /// Registers for an interrupt's reason and its acknowledgement, where the transport wants one.
    fn acknowledgement(&self) -> Option<(u64, u64)> {
        None
    }
    /// The vector of configuration changes.
    fn config_vector(&mut self) -> Result<u8>;
}

/// A device that has been reset and told there is a driver.
pub struct Device {
    pub transport: Box<dyn Transport>,
    pub features: u64,
}

impl Device {
    /// Steps 1 to 6 of 3.1.1: accepts those of `wanted` that are offered, and VERSION_1.
    pub fn new(transport: Box<dyn Transport>, wanted: u64) -> Result<Device> {
        reset(&*transport)?;
        transport.set_status(ACKNOWLEDGE);
        transport.set_status(ACKNOWLEDGE | DRIVER);
        let offered = transport.features();
        ensure!(offered & VERSION_1 != 0, "VERSION_1 is not offered");
        let features = offered & wanted | VERSION_1;
        transport.accept(features);
        transport.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        ensure!(transport.status() & FEATURES_OK != 0, "the features {features:#x} of {offered:#x} were refused");
        Ok(Device { transport, features })
    }

    /// Sets up queue `index` with at most `size` descriptors.
    pub fn queue(&mut self, index: u16, size: u16) -> Result<Queue> {
        let max = self.transport.queue_max(index);
        ensure!(max > 0 && max.is_power_of_two(), "queue {index} has size {max}");
        Queue::new(self, index, size.min(max))
    }

    /// Step 8: the device may work from here on.
    pub fn start(&self) -> Result {
        self.transport.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        let status = self.transport.status();
        let wanted = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;
        ensure!(status == wanted, "after DRIVER_OK the status is {status:#x}");
        Ok(())
    }

    pub fn has(&self, feature: u64) -> bool {
        self.features & feature == feature
    }

    pub fn config16(&self, at: u64) -> u16 {
        u16::from_le_bytes([self.transport.config(at), self.transport.config(at + 1)])
    }

    /// Read again while the device changes it (2.5.1).
    pub fn config64(&self, at: u64) -> u64 {
        loop {
            let before = self.transport.generation();
            let value = u64::from(self.transport.config32(at)) | u64::from(self.transport.config32(at + 4)) << 32;
            if self.transport.generation() == before {
                return value;
            }
        }
    }
}

impl Drop for Device {
    /// Its rings are about to be somebody else's memory.
    fn drop(&mut self) {
        let _ = reset(&*self.transport);
    }
}

/// Resets a device and waits until it is (2.4.1, 4.1.4.3.2).
pub fn reset(transport: &dyn Transport) -> Result {
    transport.set_status(0);
    ensure!(crate::time::spin(|| transport.status() == 0), "reset does not end");
    Ok(())
}

/// Transports of all devices with this ID, over the transport that the command line names.
pub fn find(context: &Context, id: u32) -> Result<Vec<Box<dyn Transport>>> {
    match context.option("transport") {
        Some("mmio") => Ok(mmio::scan(context, id)),
        _ => pci::scan(id),
    }
}

/// The first of them.
pub fn first(context: &Context, id: u32) -> Result<Box<dyn Transport>> {
    find(context, id)?.into_iter().next().ok_or_else(|| format!("there is no virtio device with ID {id}"))
}
