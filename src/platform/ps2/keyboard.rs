//! The keyboard: an MF2 with 102 keys, and those that came later. It repeats nothing by itself: whoever types does.

use super::codes::codes;
use super::{ACK, FIFO, Out, PASSED, RESEND};
use crate::host::seat::Leds;
use std::collections::BTreeMap;

/// Identifies it.
const ID: [u8; 2] = [0xab, 0x83];
const ECHO: u8 = 0xee;

#[derive(Debug)]
pub struct Keyboard {
    out: Out,
    /// The scan code set.
    set: u8,
    /// It says what is typed.
    scanning: bool,
    lights: Option<u8>,
    /// The command whose parameter comes next.
    pending: Option<u8>,
    /// Keys whose press was said, and what their release sends.
    held: BTreeMap<u16, Vec<u8>>,
}

impl Default for Keyboard {
    /// After power-on.
    fn default() -> Keyboard {
        Keyboard { out: Out::default(), set: 2, scanning: true, lights: None, pending: None, held: BTreeMap::new() }
    }
}

impl Keyboard {
    /// A byte from the host.
    pub fn command(&mut self, byte: u8) {
        if let Some(command) = self.pending.take().filter(|_| byte < 0xed) {
            return self.parameter(command, byte);
        }
        match byte {
            // Lights, scan code set, rate of repetition.
            0xed | 0xf0 | 0xf3 => {
                self.pending = Some(byte);
                self.out.answer(&[ACK]);
            }
            0xee => self.out.answer(&[ECHO]),
            0xf2 => self.out.answer(&[ACK, ID[0], ID[1]]),
            0xf4 => {
                self.clear();
                self.scanning = true;
                self.out.answer(&[ACK]);
            }
            0xf5 | 0xf6 => {
                self.clear();
                self.scanning = byte == 0xf6;
                self.set = 2;
                self.out.answer(&[ACK]);
            }
            // Which keys of set 3 repeat and which say that they are let go: all say it. Single keys follow the last three.
            0xf7..=0xfa => self.out.answer(&[ACK]),
            0xfb..=0xfd => {
                self.pending = Some(byte);
                self.out.answer(&[ACK]);
            }
            RESEND => {
                let last = self.out.last;
                self.out.answer(&[last]);
            }
            0xff => {
                *self = Keyboard::default();
                self.out.answer(&[ACK, PASSED]);
            }
            _ => self.out.answer(&[RESEND]),
        }
    }

    fn parameter(&mut self, command: u8, byte: u8) {
        match (command, byte) {
            (0xed, lights) => {
                self.lights = Some(lights & 7);
                self.out.answer(&[ACK]);
            }
            (0xf0, 0) => self.out.answer(&[ACK, self.set]),
            (0xf0, set @ 1..=3) => {
                self.clear();
                self.set = set;
                self.out.answer(&[ACK]);
            }
            (0xf0, _) => self.out.answer(&[RESEND]),
            (0xfb..=0xfd, _) => {
                // More keys may follow, until a command does.
                self.pending = Some(command);
                self.out.answer(&[ACK]);
            }
            _ => self.out.answer(&[ACK]),
        }
    }

    /// What was typed and not read is forgotten.
    fn clear(&mut self) {
        self.out.data.clear();
        self.held.clear();
    }

    /// Whether anybody is told of keys.
    pub fn scans(&self) -> bool {
        self.scanning
    }

    /// A key is pressed, once more perhaps, or let go.
    pub fn key(&mut self, code: u16, down: bool) {
        if !self.scanning {
            return;
        }
        if !down {
            // Nobody was told that a key is pressed whose press was lost.
            self.out.data.extend(self.held.remove(&code).unwrap_or_default());
            return;
        }
        let Some((make, release)) = codes(self.set, code) else { return };
        // There is to be room for what is held to be let go.
        let held: usize = self.held.values().map(Vec::len).sum();
        let again = self.held.contains_key(&code);
        let after = make.len() + held + if again { 0 } else { release.len() };
        if self.out.data.is_empty() || self.out.data.len() + after <= FIFO {
            self.out.data.extend(make);
            self.held.insert(code, release);
        }
    }

    pub fn next(&mut self) -> Option<u8> {
        self.out.next()
    }

    /// The next byte is an answer, which is not translated as keys are.
    pub fn answers(&self) -> bool {
        !self.out.answers.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// `None`: the host has not said since the last reset.
    pub fn leds(&self) -> Option<Leds> {
        let lights = self.lights?;
        let light = |bit: u8| lights >> bit & 1 == 1;
        Some(Leds { scroll_lock: light(0), num_lock: light(1), caps_lock: light(2) })
    }
}
