//! The control messages of a console with several ports (virtio 1.2, 5.3.6.2): which ports there are, their names,
//! and whether either side has them open.

use super::Port;
use crate::virtio::Queue;
use anyhow::Result;
use std::collections::VecDeque;

/// Events.
const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const CONSOLE_PORT: u16 = 4;
const RESIZE: u16 = 5;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;

/// While so many messages wait for buffers of the driver, no more of its own are read.
const BACKLOG: usize = 64;

#[derive(Default)]
pub struct Control {
    waiting: VecDeque<Vec<u8>>,
    /// The console port is known to the driver.
    console: bool,
    /// The driver is to be told the size of the terminal.
    resize: bool,
}

impl Control {
    pub fn resized(&mut self) {
        self.resize = self.console;
    }

    /// Gives the driver the messages it has buffers for.
    pub fn send(&mut self, queue: &mut Queue, size: Option<(u16, u16)>) -> Result<()> {
        if self.waiting.len() < BACKLOG
            && let (true, Some((columns, rows))) = (std::mem::take(&mut self.resize), size)
        {
            // The specification has the columns first. Linux has read the rows first since the message exists
            // (2.6.35), and other devices send what Linux reads.
            self.say(0, RESIZE, 0, &[rows.to_le_bytes(), columns.to_le_bytes()].concat());
        }
        let mut any = false;
        while let Some(message) = self.waiting.front().filter(|_| queue.ready()) {
            let Some(mut chain) = queue.pop()? else {
                if queue.enable_kicks()? {
                    continue;
                }
                break;
            };
            // A buffer too small for it gets what fits: the driver made it so.
            let n = chain.put(message);
            queue.push(&chain, n as u32)?;
            self.waiting.pop_front();
            any = true;
        }
        if any { queue.signal() } else { Ok(()) }
    }

    /// Reads messages of the driver; `turned` gets the numbers of ports that opened or closed. False: there are none,
    /// or it must first take what waits for it.
    pub fn take(&mut self, queue: &mut Queue, ports: &mut [Port], turned: &mut Vec<usize>) -> Result<bool> {
        let mut any = false;
        while self.waiting.len() < BACKLOG {
            let Some(mut chain) = queue.pop()? else {
                if queue.enable_kicks()? {
                    continue;
                }
                break;
            };
            let mut message = [0; 8];
            if chain.take_into(&mut message) == message.len() {
                let [a, b, c, d, e0, e1, v0, v1] = message;
                let id = u32::from_le_bytes([a, b, c, d]);
                self.hear(id, u16::from_le_bytes([e0, e1]), u16::from_le_bytes([v0, v1]), ports, turned);
            }
            queue.push(&chain, 0)?;
            any = true;
        }
        if any {
            queue.signal()?;
        }
        Ok(any)
    }

    fn hear(&mut self, id: u32, event: u16, value: u16, ports: &mut [Port], turned: &mut Vec<usize>) {
        if event == DEVICE_READY && value == 1 {
            let there = (0u32..).zip(ports.iter()).filter(|(_, port)| !port.hidden);
            there.for_each(|(id, _)| self.say(id, DEVICE_ADD, 1, &[]));
            return;
        }
        let number = id as usize;
        let Some(port) = ports.get_mut(number).filter(|port| !port.hidden) else {
            return log::debug!("console: event {event} for port {id}, which does not exist");
        };
        match (event, value) {
            (PORT_READY, 1) => {
                if number == 0 {
                    self.say(id, CONSOLE_PORT, 1, &[]);
                    self.console = true;
                    self.resize = true;
                } else {
                    self.say(id, PORT_NAME, 1, port.name.as_bytes());
                }
                self.say(id, PORT_OPEN, 1, &[]);
            }
            (PORT_OPEN, value) => {
                port.open = value == 1;
                if !turned.contains(&number) {
                    turned.push(number);
                }
            }
            _ => log::debug!("console: port {id}: event {event}, value {value}"),
        }
    }

    fn say(&mut self, id: u32, event: u16, value: u16, rest: &[u8]) {
        let message = [&id.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes(), rest].concat();
        self.waiting.push_back(message);
    }
}
