//! The network device (virtio 1.2, 5.1), without offloads: frames as they are.

use super::{Buffer, Device, Queue, first};
use crate::{Context, Result, apic, ensure, rt};
use alloc::vec::Vec;

pub const MAC: u64 = 1 << 5;
pub const MRG_RXBUF: u64 = 1 << 15;

/// `struct virtio_net_hdr` of a modern device.
const HEADER: usize = 12;

pub struct Net {
    pub device: Device,
    pub receive: Queue,
    pub transmit: Queue,
    pub mac: [u8; 6],
    /// Receive buffers by head, and transmit buffers.
    buffers: Vec<Option<&'static mut [u8]>>,
    spare: Vec<&'static mut [u8]>,
    sending: Vec<(u16, &'static mut [u8])>,
}

impl Net {
    /// The first network device, with `count` receive buffers of `len` bytes each.
    pub fn open(context: &Context, extra: u64, count: u16, len: usize) -> Result<Net> {
        let mut device = Device::new(first(context, 1)?, MAC | extra)?;
        let (receive, transmit) = (device.queue(0, 256)?, device.queue(1, 256)?);
        device.start()?;
        ensure!(device.has(MAC), "the device has no MAC address");
        let mac = core::array::from_fn(|i| device.transport.config(i as u64));
        let buffers = (0..receive.size).map(|_| None).collect();
        let spare = (0..64).map(|_| rt::pages(HEADER + 2048, 16)).collect();
        let mut net = Net { device, receive, transmit, mac, buffers, spare, sending: Vec::new() };
        for _ in 0..count.min(net.receive.size) {
            net.give(rt::pages(len, 16))?;
        }
        net.receive.kick();
        Ok(net)
    }

    fn give(&mut self, buffer: &'static mut [u8]) -> Result {
        let head = self.receive.add(&[Buffer::into(buffer)])?;
        self.buffers[usize::from(head)] = Some(buffer);
        Ok(())
    }

    /// Makes a frame available; `kick` sends it.
    pub fn send(&mut self, frame: &[u8]) -> Result {
        ensure!(frame.len() <= 2048, "a frame of {} bytes", frame.len());
        while self.spare.is_empty() {
            self.reclaim(true)?;
        }
        self.reclaim(false)?;
        let Some(buffer) = self.spare.pop() else { return Err("no buffer is left".into()) };
        buffer[..HEADER].fill(0);
        buffer[HEADER..HEADER + frame.len()].copy_from_slice(frame);
        let head = self.transmit.add(&[Buffer::out(&buffer[..HEADER + frame.len()])])?;
        self.sending.push((head, buffer));
        Ok(())
    }

    pub fn kick(&mut self) {
        self.transmit.kick();
    }

    /// Takes back the buffers of frames that have left; waits for one if need be.
    pub fn reclaim(&mut self, wait: bool) -> Result {
        let mut next = if wait { Some(self.transmit.wait()?) } else { self.transmit.pop()? };
        while let Some(used) = next {
            let place = self.sending.iter().position(|(head, _)| *head == used.head);
            let Some(place) = place else { return Err("the device gave back a frame that was not sent".into()) };
            self.spare.push(self.sending.swap_remove(place).1);
            next = self.transmit.pop()?;
        }
        Ok(())
    }

    /// Frames that the device has not given back.
    pub fn in_flight(&self) -> usize {
        self.sending.len()
    }

    /// Waits for the next frame; it may be spread over several buffers when MRG_RXBUF was negotiated.
    pub fn receive(&mut self) -> Result<Vec<u8>> {
        let mut frame = Vec::new();
        let mut left = 1;
        while left > 0 {
            let used = self.receive.wait()?;
            let Some(buffer) = self.buffers[usize::from(used.head)].take() else { return Err("a stray buffer".into()) };
            let len = used.len as usize;
            ensure!(len <= buffer.len(), "the device says it wrote {len} bytes into {}", buffer.len());
            let skip = if frame.is_empty() && left == 1 { HEADER } else { 0 };
            ensure!(len > skip, "the device wrote {len} bytes only");
            if skip > 0 {
                left = u16::from_le_bytes([buffer[10], buffer[11]]);
                ensure!(left > 0 && (left == 1 || self.device.has(MRG_RXBUF)), "num_buffers is {left}");
            }
            frame.extend_from_slice(&buffer[skip..len]);
            left -= 1;
            self.give(buffer)?;
        }
        self.receive.kick();
        Ok(frame)
    }

    /// True when a frame is there within `micros`.
    pub fn arrives(&self, micros: u64) -> bool {
        let end = crate::time::now() + crate::time::ticks_of_micros(micros);
        apic::wait(self.receive.vector, || self.receive.has_used() || crate::time::now() > end);
        self.receive.has_used()
    }
}
