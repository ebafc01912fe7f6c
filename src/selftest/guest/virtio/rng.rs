//! The entropy device (virtio 1.2, 5.4).

use super::{Buffer, Device, Queue, Transport, first};
use crate::{Context, Result, ensure};
use alloc::boxed::Box;

pub struct Rng {
    pub device: Device,
    pub queue: Queue,
}

impl Rng {
    pub fn open(context: &Context, extra: u64) -> Result<Rng> {
        Rng::with(first(context, 4)?, extra)
    }

    pub fn with(transport: Box<dyn Transport>, extra: u64) -> Result<Rng> {
        Rng::begin(Device::new(transport, extra)?)
    }

    pub fn begin(mut device: Device) -> Result<Rng> {
        let queue = device.queue(0, 64)?;
        device.start()?;
        Ok(Rng { device, queue })
    }

    /// Fills `bytes`, with as many requests as it takes.
    pub fn fill(&mut self, bytes: &mut [u8]) -> Result {
        let mut done = 0;
        while done < bytes.len() {
            let used = self.queue.request(&[Buffer::into(&mut bytes[done..])])? as usize;
            ensure!(used > 0 && used <= bytes.len() - done, "{used} bytes of {} were given", bytes.len() - done);
            done += used;
        }
        Ok(())
    }
}
