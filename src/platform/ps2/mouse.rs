//! The mouse: a PS/2 mouse that becomes an IntelliMouse (with a wheel) or an IntelliMouse Explorer (with two more buttons)
//! when the host sets three sample rates in the order that these two look for.

use super::{ACK, Out, PASSED, RESEND};
use crate::host::seat::{Button, Event, Waiting};

const PLAIN: u8 = 0;
const WHEEL: u8 = 3;
const EXPLORER: u8 = 4;
/// Movements and presses that wait at most.
const MOST: usize = 64;
/// Counts in one packet, of a movement and of the wheel.
const FARTHEST: i32 = 127;
const STEPS: i32 = 7;

#[derive(Debug)]
pub struct Mouse {
    out: Out,
    waiting: Waiting,
    id: u8,
    /// The last three sample rates.
    rates: [u8; 3],
    resolution: u8,
    scaling: bool,
    reporting: bool,
    /// It says something only when it is asked.
    remote: bool,
    /// It sends back whatever it is sent.
    wrap: bool,
    /// The command whose parameter comes next.
    pending: Option<u8>,
    /// Bits of a packet: left, right, middle, and the fourth and fifth.
    buttons: u8,
}

impl Default for Mouse {
    /// After power-on.
    fn default() -> Mouse {
        Mouse {
            out: Out::default(),
            waiting: Waiting::new(MOST),
            id: PLAIN,
            rates: [0, 0, 100],
            resolution: 2,
            scaling: false,
            reporting: false,
            remote: false,
            wrap: false,
            pending: None,
            buttons: 0,
        }
    }
}

impl Mouse {
    /// A byte from the host.
    pub fn command(&mut self, byte: u8) {
        if self.wrap && !matches!(byte, 0xec | 0xff) {
            return self.out.answer(&[byte]);
        }
        // A reset is no parameter of anything.
        if let Some(command) = self.pending.take().filter(|_| byte != 0xff) {
            self.parameter(command, byte);
            return self.out.answer(&[ACK]);
        }
        // What was being sent is broken off.
        self.out.data.clear();
        match byte {
            0xe6 | 0xe7 => self.scaling = byte == 0xe7,
            0xe8 | 0xf3 => self.pending = Some(byte),
            0xe9 => return self.out.answer(&self.status()),
            0xea => self.remote = false,
            0xeb => {
                let event = self.take();
                let answer = [vec![ACK], self.packet(event)].concat();
                return self.out.answer(&answer);
            }
            0xec | 0xee => self.wrap = byte == 0xee,
            0xf0 => self.remote = true,
            0xf2 => return self.out.answer(&[ACK, self.id]),
            0xf4 | 0xf5 => self.report(byte == 0xf4),
            0xf6 => {
                let id = self.id;
                *self = Mouse { id, ..Mouse::default() };
            }
            RESEND => return self.out.answer(&[self.out.last]),
            0xff => {
                *self = Mouse::default();
                return self.out.answer(&[ACK, PASSED, PLAIN]);
            }
            _ => return self.out.answer(&[RESEND]),
        }
        self.out.answer(&[ACK]);
    }

    fn parameter(&mut self, command: u8, byte: u8) {
        if command == 0xe8 {
            self.resolution = byte & 3;
            return;
        }
        let [_, a, b] = self.rates;
        self.rates = [a, b, byte];
        match self.rates {
            [200, 100, 80] => self.id = WHEEL,
            [200, 200, 80] if self.id == WHEEL => self.id = EXPLORER,
            _ => {}
        }
    }

    fn report(&mut self, on: bool) {
        self.reporting = on;
        self.waiting = Waiting::new(MOST);
        self.buttons = 0;
    }

    fn status(&self) -> [u8; 4] {
        let bit = |on: bool, bit: u8| u8::from(on) << bit;
        // Here the left button has the highest of three bits.
        let buttons = (self.buttons & 1) << 2 | (self.buttons & 4) >> 1 | (self.buttons & 2) >> 1;
        let first = bit(self.remote, 6) | bit(self.reporting, 5) | bit(self.scaling, 4) | buttons;
        [ACK, first, self.resolution, self.rates[2]]
    }

    /// Whether anybody is told of movements.
    pub fn reports(&self) -> bool {
        (self.reporting || self.remote) && !self.wrap
    }

    pub fn put(&mut self, event: Event) {
        let fits = match event {
            Event::MoveBy { .. } => true,
            Event::Wheel { y, .. } => self.id != PLAIN && y != 0,
            Event::Button { button: Button::Back | Button::Forward, .. } => self.id == EXPLORER,
            Event::Button { .. } => true,
            Event::Key { .. } | Event::MoveTo { .. } => false,
        };
        if fits && self.reports() {
            self.waiting.put(event);
        }
    }

    /// As much of the oldest event as there is room for in a packet.
    fn take(&mut self) -> Option<Event> {
        let event = match self.waiting.first()? {
            Event::MoveBy { x, y } => {
                Event::MoveBy { x: x.clamp(-FARTHEST, FARTHEST), y: y.clamp(-FARTHEST, FARTHEST) }
            }
            Event::Wheel { y, .. } => Event::Wheel { x: 0, y: y.clamp(-STEPS, STEPS) },
            other => other,
        };
        match (self.waiting.first(), event) {
            // What goes sideways is not said.
            (Some(Event::Wheel { x, y: all }), Event::Wheel { y, .. }) if all == y => {
                self.waiting.remove(Event::Wheel { x, y });
            }
            _ => self.waiting.remove(event),
        }
        Some(event)
    }

    fn packet(&mut self, event: Option<Event>) -> Vec<u8> {
        let (mut x, mut y, mut wheel) = (0, 0, 0);
        match event {
            // Up is positive here.
            Some(Event::MoveBy { x: right, y: down }) => (x, y) = (right, -down),
            Some(Event::Wheel { y: down, .. }) => wheel = down,
            Some(Event::Button { button, down }) => {
                let bit = match button {
                    Button::Left => 1,
                    Button::Right => 2,
                    Button::Middle => 4,
                    Button::Back => 8,
                    Button::Forward => 16,
                };
                self.buttons = if down { self.buttons | bit } else { self.buttons & !bit };
            }
            _ => {}
        }
        let sign = |value: i32, bit: u8| u8::from(value < 0) << bit;
        let mut bytes = vec![self.buttons & 7 | 1 << 3 | sign(x, 4) | sign(y, 5), x as u8, y as u8];
        match self.id {
            WHEEL => bytes.push(wheel as u8),
            EXPLORER => bytes.push(wheel as u8 & 0xf | (self.buttons & 0x18) << 1),
            _ => {}
        }
        bytes
    }

    pub fn next(&mut self) -> Option<u8> {
        if self.out.is_empty() && self.reporting && !self.remote && !self.wrap {
            let event = self.take();
            if event.is_some() {
                let packet = self.packet(event);
                self.out.data.extend(packet);
            }
        }
        self.out.next()
    }
}
