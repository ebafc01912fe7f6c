//! Input devices (virtio 1.2, 5.8).

use crate::tap::line;
use crate::virtio::{self, Buffer, Device, EVENT_IDX, Queue};
use crate::{Context, Result, ensure, rt};
use alloc::string::String;
use alloc::vec::Vec;

const ID: u32 = 18;
/// What `select` chooses (5.8.4).
const ID_NAME: u8 = 0x01;
const ID_DEVIDS: u8 = 0x03;
const EV_BITS: u8 = 0x11;
const ABS_INFO: u8 = 0x12;
/// Fields of the configuration.
const SELECT: u64 = 0;
const SUBSEL: u64 = 1;
const SIZE: u64 = 2;
const UNION: u64 = 8;

pub const EV_KEY: u16 = 1;
const EV_ABS: u16 = 3;
const EVENT: usize = 8;

pub struct Input {
    device: Device,
    queue: Queue,
    buffers: Vec<(u16, &'static mut [u8])>,
}

pub struct Event {
    pub kind: u16,
    pub code: u16,
    pub value: u32,
}

/// All of them; each says what it is.
pub fn open(context: &Context) -> Result<Vec<Input>> {
    let mut all = Vec::new();
    for transport in virtio::find(context, ID)? {
        let device = Device::new(transport, EVENT_IDX)?;
        let input = Input::begin(device)?;
        let name = String::from_utf8_lossy(&input.query(ID_NAME, 0)).into_owned();
        let keys = input.query(EV_BITS, EV_KEY as u8).iter().map(|b| b.count_ones()).sum::<u32>();
        line(format_args!("input {} `{name}` ids {:02x?} keys {keys}", all.len(), input.query(ID_DEVIDS, 0)));
        for axis in 0..2 {
            let info = input.query(ABS_INFO, axis);
            if !input.query(EV_BITS, EV_ABS as u8).is_empty() {
                ensure!(info.len() == 20, "axis {axis} has {} bytes of information", info.len());
                line(format_args!("input {} axis {axis} {} to {}", all.len(), number(&info, 0), number(&info, 4)));
            }
        }
        all.push(input);
    }
    Ok(all)
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

impl Input {
    fn begin(mut device: Device) -> Result<Input> {
        let mut queue = device.queue(0, 64)?;
        // The status queue carries lights, of which there are none; but a driver sets all queues up.
        device.queue(1, 64)?;
        device.start()?;
        let mut buffers = Vec::new();
        for _ in 0..queue.size {
            let memory = rt::pages(EVENT, 8);
            buffers.push((queue.add(&[Buffer::into(memory)])?, memory));
        }
        queue.kick();
        Ok(Input { device, queue, buffers })
    }

    fn query(&self, select: u8, subsel: u8) -> Vec<u8> {
        let transport = &self.device.transport;
        transport.set_config(SELECT, select);
        transport.set_config(SUBSEL, subsel);
        let size = u64::from(transport.config(SIZE)).min(128);
        (0..size).map(|n| transport.config(UNION + n)).collect()
    }

    /// What has come, in its order.
    pub fn events(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(used) = self.queue.pop()? {
            ensure!(used.len as usize == EVENT, "an event of {} bytes", used.len);
            let Some(slot) = self.buffers.iter_mut().find(|(head, _)| *head == used.head) else {
                return Err("an event in a buffer that is not there".into());
            };
            // SAFETY: the device has written it, and gave it back.
            let word = unsafe { slot.1.as_ptr().cast::<u64>().read_volatile() };
            events.push(Event { kind: word as u16, code: (word >> 16) as u16, value: (word >> 32) as u32 });
            slot.0 = self.queue.add(&[Buffer { at: slot.1.as_ptr() as u64, len: EVENT as u32, write: true }])?;
        }
        if !events.is_empty() {
            self.queue.kick();
        }
        Ok(events)
    }
}
