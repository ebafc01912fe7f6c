//! The console device (virtio 1.2, 5.3), port 0 only.

use super::{Buffer, Device, Queue, first};
use crate::{Context, Result, ensure, rt};
use alloc::vec::Vec;

pub struct Console {
    _device: Device,
    pub receive: Queue,
    pub transmit: Queue,
    input: &'static mut [u8],
}

impl Console {
    pub fn open(context: &Context) -> Result<Console> {
        let mut device = Device::new(first(context, 3)?, 0)?;
        let (mut receive, transmit) = (device.queue(0, 64)?, device.queue(1, 64)?);
        device.start()?;
        let input = rt::pages(256, 16);
        receive.add(&[Buffer::into(input)])?;
        receive.kick();
        Ok(Console { _device: device, receive, transmit, input })
    }

    /// Waits until the device has taken it all.
    pub fn write(&mut self, text: &[u8]) -> Result {
        let used = self.transmit.request(&[Buffer::out(text)])?;
        ensure!(used == 0, "output says that {used} bytes were written");
        Ok(())
    }

    /// Waits for input: as many bytes as came at once.
    pub fn read(&mut self) -> Result<Vec<u8>> {
        let used = self.receive.wait()?;
        let Some(input) = self.input.get(..used.len as usize) else {
            return Err(alloc::format!("the device says it wrote {} bytes into 256", used.len));
        };
        let input = input.to_vec();
        self.receive.add(&[Buffer::into(self.input)])?;
        self.receive.kick();
        Ok(input)
    }
}
