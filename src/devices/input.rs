//! Input (virtio 1.2, 5.8): a keyboard, a tablet or a mouse, which speaks of itself and of what happens in the words of
//! Linux's evdev.
//!
//! ```text
//! queue 0 events   what people do, each report in as many buffers as it has events
//!       1 status   the lights of a keyboard
//! ```
//! People are quicker than some guests: what waits is bounded. When there is no more room presses are lost, and with each its release;
//! movements are added up.

mod evdev;

use super::{Built, Kind};
use crate::host::seat::{Class, Event, Input, Leds, Lights, Waiting};
use crate::spec;
use crate::sys::{EventFd, Lock, eventfd, fd};
use crate::virtio::{Chain, ConfigSpace, Device, Io, Queue};
use anyhow::{Context, Result};
use evdev::Wire;
use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;

spec! {
    pub struct Spec {
        /// What it is: keyboard, tablet (a pointer that is put at a place) or mouse (one that is moved).
        kind: What = "keyboard",
    }
}

pub static KIND: Kind = Kind {
    name: "input",
    about: "A keyboard, a tablet or a mouse.",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, host| {
        let class = Spec::parse(options)?.kind.0;
        let bell = eventfd().context("create an eventfd")?;
        let desk = Arc::new(Desk { class, state: Lock::default(), bell, lights: host.seat.lights().clone() });
        host.seat.attach(desk.clone());
        Ok(Built::virtio(Evdev { desk, select: (0, 0), spare: VecDeque::new() }))
    },
    sample: "tablet",
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct What(Class);

impl FromStr for What {
    type Err = String;
    fn from_str(text: &str) -> Result<What, String> {
        match text {
            "keyboard" => Ok(What(Class::Keyboard)),
            "tablet" => Ok(What(Class::Tablet)),
            "mouse" => Ok(What(Class::Mouse)),
            _ => Err("want keyboard, tablet or mouse".to_string()),
        }
    }
}

const EVENTS: usize = 0;
const STATUS: usize = 1;
/// Presses and movements that wait at most for the driver.
const MOST: usize = 2048;
/// The most events that are read of one status request; a keyboard has three lights.
const MOST_STATUS: usize = 64;

/// The end that people are at.
struct Desk {
    class: Class,
    state: Lock<State>,
    bell: EventFd,
    lights: Lights,
}

struct State {
    /// The driver runs.
    ready: bool,
    waiting: Waiting,
    leds: Option<Leds>,
}

impl Default for State {
    fn default() -> State {
        State { ready: false, waiting: Waiting::new(MOST), leds: None }
    }
}

impl Input for Desk {
    fn class(&self) -> Class {
        self.class
    }

    fn ready(&self) -> bool {
        self.state.lock().ready
    }

    fn put(&self, events: &[Event]) {
        let mut state = self.state.lock();
        if !state.ready {
            return;
        }
        let idle = state.waiting.is_empty();
        events.iter().filter(|e| evdev::fits(self.class, e)).for_each(|e| state.waiting.put(*e));
        // The device's thread empties it, or waits for the driver.
        if idle && !state.waiting.is_empty() {
            // It only fails when it has been rung 2^64 times, and then it is rung.
            let _ = self.bell.write(1);
        }
    }

    fn settled(&self) -> bool {
        self.state.lock().waiting.is_empty()
    }

    fn leds(&self) -> Option<Leds> {
        self.state.lock().leds
    }
}

/// The end that the driver is at.
struct Evdev {
    desk: Arc<Desk>,
    /// `select` and `subsel`: what the configuration space shows.
    select: (u8, u8),
    /// Buffers of the driver that were not enough for a report yet.
    spare: VecDeque<Chain>,
}

impl Evdev {
    /// A whole report into as many buffers; false, and nothing is told: the driver has given too few.
    fn deliver(&mut self, queue: &mut Queue, report: &[Wire]) -> Result<bool> {
        while self.spare.len() < report.len() {
            let Some(chain) = queue.pop()? else { return Ok(false) };
            self.spare.push_back(chain);
        }
        for (event, mut chain) in report.iter().zip(self.spare.drain(..report.len())) {
            let n = chain.put(event);
            queue.push(&chain, n as u32)?;
        }
        Ok(true)
    }

    /// Gives the driver what waits, as far as there are buffers.
    fn report(&mut self, io: &mut Io) -> Result<()> {
        let Some(queue) = io.queues.get_mut(EVENTS).filter(|q| q.ready()) else { return Ok(()) };
        queue.disable_kicks()?;
        let mut any = false;
        loop {
            let next = self.desk.state.lock().waiting.first();
            let Some(event) = next else { break };
            let report = evdev::report(event);
            // A ring that never holds a whole report gets none.
            let done = report.len() > usize::from(queue.size()) || self.deliver(queue, &report)?;
            if done {
                self.desk.state.lock().waiting.remove(event);
                any = true;
            } else if !queue.enable_kicks()? {
                break;
            }
        }
        if any { queue.signal() } else { Ok(()) }
    }

    fn status(&mut self, io: &mut Io) -> Result<()> {
        let Some(queue) = io.queues.get_mut(STATUS) else { return Ok(()) };
        let desk = &self.desk;
        let before = desk.leds();
        queue.serve(|chain| {
            for _ in 0..MOST_STATUS {
                let mut event = Wire::default();
                if chain.take_into(&mut event) < event.len() {
                    break;
                }
                evdev::light(event, &mut desk.state.lock().leds);
            }
            Ok(0)
        })?;
        if desk.leds() != before {
            desk.lights.changed();
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.spare.clear();
        *self.desk.state.lock() = State::default();
    }
}

impl Device for Evdev {
    fn id(&self) -> u32 {
        18
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![64, 64]
    }

    fn config(&self) -> Vec<u8> {
        evdev::config(self.desk.class, self.select)
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        io.watch(fd::of(&self.desk.bell), 0)?;
        *self.desk.state.lock() = State { ready: true, ..State::default() };
        Ok(())
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        match queue {
            EVENTS => self.report(io),
            STATUS => self.status(io),
            _ => Ok(()),
        }
    }

    fn fd_ready(&mut self, _token: u32, io: &mut Io) -> Result<()> {
        let _ = self.desk.bell.read();
        self.report(io)
    }

    /// The driver chooses what it wants to know (5.8.5): bytes 0 and 1; the rest is the answer.
    fn config_written(&mut self, at: usize, data: &[u8], config: &ConfigSpace, _io: Option<&mut Io>) {
        for (at, byte) in (at..).zip(data).take(2) {
            match at {
                0 => self.select.0 = *byte,
                1 => self.select.1 = *byte,
                _ => return,
            }
        }
        config.store(0, &self.config());
    }

    fn quiesce(&mut self, _io: &mut Io) -> Result<()> {
        self.stop();
        Ok(())
    }

    fn reset(&mut self) {
        self.select = (0, 0);
        self.stop();
    }
}

#[cfg(test)]
mod tests;
