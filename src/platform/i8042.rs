//! The keyboard controller (i8042, IBM PC AT Technical Reference, "Keyboard Controller") with nothing plugged in.
//! It answers every command at once, so that a kernel that probes it does not wait, and it resets the machine.
//!
//! A byte for the keyboard is answered as the AT's controller does when nobody acknowledges it: 0xfe with the
//! time-out bit. There is no auxiliary port: its loop-back command comes back as keyboard data, its test fails.

use crate::bus::Mmio;
use crate::event::{Notify, Request};
use crate::irq::Line;
use crate::part::Part;
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;

/// Status register bits.
const OUTPUT_FULL: u8 = 1 << 0;
const SYSTEM_FLAG: u8 = 1 << 2;
/// The last write went to the command port.
const COMMAND: u8 = 1 << 3;
const NOT_LOCKED: u8 = 1 << 4;
const TIME_OUT: u8 = 1 << 6;

/// Command byte (byte 0 of the controller's RAM) bits; the system flag has the place it has in the status.
const KEYBOARD_INTERRUPT: u8 = 1 << 0;
const KEYBOARD_OFF: u8 = 1 << 4;
const AUX_OFF: u8 = 1 << 5;
const TRANSLATE: u8 = 1 << 6;

/// Output port bits: the processor's reset line (active low), A20, output buffer full.
const NOT_RESET: u8 = 1 << 0;
const A20: u8 = 1 << 1;
const OUTPUT_PORT: u8 = 0xc0 | A20 | NOT_RESET;

/// The keyboard did not take the byte.
const RESEND: u8 = 0xfe;

pub struct I8042 {
    line: Arc<dyn Line>,
    notify: Notify,
    state: Lock<State>,
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
}

impl State {
    fn new() -> State {
        let mut ram = [0; 32];
        ram[0] = TRANSLATE | SYSTEM_FLAG | KEYBOARD_INTERRUPT;
        State { ram, output: None, last: 0, output_port: OUTPUT_PORT, pending: None, command_last: false }
    }

    fn command_byte(&mut self) -> &mut u8 {
        &mut self.ram[0]
    }

    fn answer(&mut self, byte: u8) {
        self.output = Some((byte, 0));
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
            // Test of the auxiliary port: clock line stuck low.
            0xa9 => self.answer(0x01),
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
            Some(0xd2 | 0xd3) => self.answer(byte),
            _ => {
                // Writing to the keyboard also enables it.
                *self.command_byte() &= !KEYBOARD_OFF;
                self.output = Some((RESEND, TIME_OUT));
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

    fn interrupt(&self) -> bool {
        self.output.is_some() && self.ram[0] & KEYBOARD_INTERRUPT != 0
    }
}

impl I8042 {
    /// `line` is ISA interrupt 1.
    pub fn new(line: Arc<dyn Line>, notify: Notify) -> Arc<I8042> {
        Arc::new(I8042 { line, notify, state: Lock::new(State::new()) })
    }

    /// Port 0x60, 1 byte.
    pub fn data_port(self: &Arc<I8042>) -> Arc<dyn Mmio> {
        Arc::new(DataPort(self.clone()))
    }

    /// Port 0x64, 1 byte.
    pub fn command_port(self: &Arc<I8042>) -> Arc<dyn Mmio> {
        Arc::new(CommandPort(self.clone()))
    }

    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        let before = state.interrupt();
        let reset = change(&mut state);
        if state.interrupt() != before {
            self.line.set(!before);
        }
        drop(state);
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
            self.0.change(|state| state.data(byte));
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
            self.0.change(|state| state.command(command));
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
