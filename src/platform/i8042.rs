//! The keyboard controller (i8042; IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
//! Controller"), with a keyboard and a mouse plugged in. It answers every command at once, so that a kernel that
//! probes it does not wait, and it resets the machine.
//!
//! ```text
//!  keyboard --(set 2 becomes set 1)--+--> output buffer, one byte --> port 0x60      IRQ 1
//!  mouse    -------------------------+                                              IRQ 12
//! ```

use crate::bus::Mmio;
use crate::event::{Notify, Request};
use crate::host::seat::{Class, Event, Input, Leds, Lights, Seat};
use crate::irq::Line;
use crate::part::Part;
use crate::platform::ps2::{keyboard::Keyboard, mouse::Mouse, translate};
use crate::sys::Lock;
use anyhow::Result;
use std::sync::{Arc, OnceLock};

/// Status register bits.
const OUTPUT_FULL: u8 = 1 << 0;
const SYSTEM_FLAG: u8 = 1 << 2;
/// The last write went to the command port.
const COMMAND: u8 = 1 << 3;
const NOT_LOCKED: u8 = 1 << 4;
/// The byte is the mouse's.
const AUX: u8 = 1 << 5;

/// Command byte (byte 0 of the controller's RAM) bits; the system flag has the place it has in the status.
const KEYBOARD_INTERRUPT: u8 = 1 << 0;
const AUX_INTERRUPT: u8 = 1 << 1;
const KEYBOARD_OFF: u8 = 1 << 4;
const AUX_OFF: u8 = 1 << 5;
const TRANSLATE: u8 = 1 << 6;

/// Output port bits: the processor's reset line (active low), A20, output buffer full.
const NOT_RESET: u8 = 1 << 0;
const A20: u8 = 1 << 1;
const OUTPUT_PORT: u8 = 0xc0 | A20 | NOT_RESET;

/// What a keyboard in set 2 says before the code of a key that is let go.
const BREAK: u8 = 0xf0;

pub struct I8042 {
    /// ISA interrupts 1 and 12.
    lines: [Arc<dyn Line>; 2],
    notify: Notify,
    state: Lock<State>,
    /// Of the seat that it stands before.
    lights: OnceLock<Lights>,
}

struct State {
    /// The controller's RAM; byte 0 is the command byte.
    ram: [u8; 32],
    /// The output buffer: a byte for the guest, and the status bits that come with it.
    output: Option<(u8, u8)>,
    /// What the buffer held last, which the port goes on showing.
    last: u8,
    output_port: u8,
    /// The command whose parameter comes next at the data port.
    pending: Option<u8>,
    command_last: bool,
    keyboard: Keyboard,
    mouse: Mouse,
    /// The keyboard said that the next code is of a key that is let go.
    release: bool,
    /// A guest has used the controller: before that nobody would take what people type.
    touched: bool,
}

impl State {
    fn new() -> State {
        let mut ram = [0; 32];
        ram[0] = TRANSLATE | SYSTEM_FLAG | KEYBOARD_INTERRUPT;
        State {
            ram,
            output: None,
            last: 0,
            output_port: OUTPUT_PORT,
            pending: None,
            command_last: false,
            keyboard: Keyboard::default(),
            mouse: Mouse::default(),
            release: false,
            touched: false,
        }
    }

    fn command_byte(&mut self) -> &mut u8 {
        &mut self.ram[0]
    }

    fn answer(&mut self, byte: u8) {
        self.output = Some((byte, 0));
    }

    /// Whether the bit of the command byte is set.
    fn is(&self, bit: u8) -> bool {
        self.ram[0] & bit != 0
    }

    /// Puts the next byte of a device into the output buffer, when that is empty.
    fn refill(&mut self) {
        while self.output.is_none() && !self.is(KEYBOARD_OFF) {
            let answer = self.keyboard.answers();
            let Some(byte) = self.keyboard.next() else { break };
            if !self.is(TRANSLATE) || answer {
                self.output = Some((if self.is(TRANSLATE) { translate_answer(byte) } else { byte }, 0));
            } else if byte == BREAK {
                self.release = true;
            } else {
                let release = if std::mem::take(&mut self.release) { 0x80 } else { 0 };
                self.output = Some((translate(byte) | release, 0));
            }
        }
        if self.output.is_none() && !self.is(AUX_OFF) {
            self.output = self.mouse.next().map(|byte| (byte, AUX));
        }
    }

    fn status(&self) -> u8 {
        let output = self.output.map_or(0, |(_, with)| OUTPUT_FULL | with);
        let command = if self.command_last { COMMAND } else { 0 };
        output | command | NOT_LOCKED | self.ram[0] & SYSTEM_FLAG
    }

    /// True when the machine is to be reset.
    fn command(&mut self, command: u8) -> bool {
        self.command_last = true;
        self.pending = None;
        match command {
            0x20..=0x3f => {
                let byte = self.ram.get(usize::from(command & 0x1f)).copied().unwrap_or(0);
                self.answer(byte);
            }
            // RAM write, output port write, loop-backs, byte for the mouse: each has a parameter.
            0x60..=0x7f | 0xd1..=0xd4 => self.pending = Some(command),
            0xa7 => *self.command_byte() |= AUX_OFF,
            0xa8 => *self.command_byte() &= !AUX_OFF,
            // Test of the auxiliary port: no error.
            0xa9 => self.answer(0x00),
            // Self-test passed.
            0xaa => {
                *self.command_byte() |= SYSTEM_FLAG;
                self.answer(0x55);
            }
            // Test of the keyboard port: no error.
            0xab => self.answer(0x00),
            0xad => *self.command_byte() |= KEYBOARD_OFF,
            0xae => *self.command_byte() &= !KEYBOARD_OFF,
            // Input port: keyboard not inhibited.
            0xc0 => self.answer(0x80),
            0xd0 => {
                let full = if self.output.is_some() { 1 << 4 } else { 0 };
                self.answer(self.output_port | full);
            }
            // A20 off and on. The line is not wired: the guest's addresses are never cut.
            0xdd => self.output_port &= !A20,
            0xdf => self.output_port |= A20,
            // Pulses those of the low four output lines whose bit is clear.
            0xf0..=0xff => return command & NOT_RESET == 0,
            _ => log::debug!("i8042: unknown command {command:#04x}"),
        }
        false
    }

    /// A byte for the data port; true when the machine is to be reset.
    fn data(&mut self, byte: u8) -> bool {
        self.command_last = false;
        match self.pending.take() {
            Some(command @ 0x60..=0x7f) => {
                if let Some(cell) = self.ram.get_mut(usize::from(command & 0x1f)) {
                    *cell = byte;
                }
            }
            Some(0xd1) => {
                self.output_port = byte | NOT_RESET;
                return byte & NOT_RESET == 0;
            }
            Some(0xd2) => self.answer(byte),
            Some(0xd3) => self.output = Some((byte, AUX)),
            // Writing to a device also enables it.
            Some(0xd4) => {
                *self.command_byte() &= !AUX_OFF;
                self.mouse.command(byte);
            }
            _ => {
                *self.command_byte() &= !KEYBOARD_OFF;
                self.release = false;
                self.keyboard.command(byte);
            }
        }
        false
    }

    fn take(&mut self) -> u8 {
        if let Some((byte, _)) = self.output.take() {
            self.last = byte;
        }
        self.last
    }

    /// The levels of the two lines.
    fn interrupts(&self) -> [bool; 2] {
        let Some((_, with)) = self.output else { return [false; 2] };
        let aux = with & AUX != 0;
        [!aux && self.is(KEYBOARD_INTERRUPT), aux && self.is(AUX_INTERRUPT)]
    }

    fn ready(&self, class: Class) -> bool {
        match class {
            Class::Keyboard => self.touched && self.keyboard.scans() && !self.is(KEYBOARD_OFF),
            Class::Mouse => self.mouse.reports() && !self.is(AUX_OFF),
            Class::Tablet => false,
        }
    }

    fn put(&mut self, events: &[Event]) {
        for event in events {
            match *event {
                Event::Key { code, down } => self.keyboard.key(code, down),
                other => self.mouse.put(other),
            }
        }
    }
}

/// Of an answer the controller translates only what looks like a key of its own: the second byte of the identification.
fn translate_answer(byte: u8) -> u8 {
    if byte < 0x80 || matches!(byte, 0x83 | 0x84) { translate(byte) } else { byte }
}

/// One of the two devices, as people have it in their hands.
struct Device {
    controller: Arc<I8042>,
    class: Class,
}

impl Input for Device {
    fn class(&self) -> Class {
        self.class
    }

    fn ready(&self) -> bool {
        self.controller.state.lock().ready(self.class)
    }

    fn put(&self, events: &[Event]) {
        self.controller.change(|state| {
            state.put(events);
            false
        });
    }

    fn settled(&self) -> bool {
        let state = self.controller.state.lock();
        state.output.is_none() && state.keyboard.is_empty() || !state.ready(self.class)
    }

    fn leds(&self) -> Option<Leds> {
        self.controller.state.lock().keyboard.leds()
    }
}

impl I8042 {
    /// `lines` are ISA interrupts 1 and 12.
    pub fn new(lines: [Arc<dyn Line>; 2], notify: Notify) -> Arc<I8042> {
        Arc::new(I8042 { lines, notify, state: Lock::new(State::new()), lights: OnceLock::new() })
    }

    /// Puts its keyboard and its mouse before people.
    pub fn attach(self: &Arc<I8042>, seat: &Seat) {
        self.lights.get_or_init(|| seat.lights().clone());
        for class in [Class::Keyboard, Class::Mouse] {
            seat.attach_below(Arc::new(Device { controller: self.clone(), class }));
        }
    }

    /// Port 0x60, 1 byte.
    pub fn data_port(self: &Arc<I8042>) -> Arc<dyn Mmio> {
        Arc::new(DataPort(self.clone()))
    }

    /// Port 0x64, 1 byte.
    pub fn command_port(self: &Arc<I8042>) -> Arc<dyn Mmio> {
        Arc::new(CommandPort(self.clone()))
    }

    /// The lines fall when a byte is taken, and rise again with the next: their inputs see edges.
    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        let (before, lights) = (state.interrupts(), state.keyboard.leds());
        let reset = change(&mut state);
        let between = state.interrupts();
        state.refill();
        let after = state.interrupts();
        for (index, line) in self.lines.iter().enumerate() {
            let mut level = before.get(index).copied();
            for next in [between.get(index).copied(), after.get(index).copied()] {
                if let Some(next) = next.filter(|next| Some(*next) != level) {
                    line.set(next);
                    level = Some(next);
                }
            }
        }
        let lit = state.keyboard.leds() != lights;
        drop(state);
        if lit {
            self.lights.get().inspect(|lights| lights.changed());
        }
        if reset {
            (self.notify)(Request::Reset);
        }
    }
}

struct DataPort(Arc<I8042>);

impl Mmio for DataPort {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some(byte) = data.first_mut() {
            self.0.change(|state| {
                *byte = state.take();
                false
            });
        }
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        if let Some(&byte) = data.first() {
            self.0.change(|state| {
                state.touched = true;
                state.data(byte)
            });
        }
    }
}

struct CommandPort(Arc<I8042>);

impl Mmio for CommandPort {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some(byte) = data.first_mut() {
            *byte = self.0.state.lock().status();
        }
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        if let Some(&command) = data.first() {
            self.0.change(|state| {
                state.touched = true;
                state.command(command)
            });
        }
    }
}

impl Part for I8042 {
    fn name(&self) -> &str {
        "i8042"
    }

    fn reset(&self) -> Result<()> {
        self.change(|state| {
            *state = State::new();
            false
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
