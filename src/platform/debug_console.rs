//! The port on which SeaBIOS, OVMF and others write what they do (QEMU's and Bochs' debug console).

use crate::bus::Mmio;
use crate::sys::Lock;
use std::fs::File;
use std::io::Write;

/// What a read gives: firmware takes it for the sign that somebody listens.
const PRESENT: u8 = 0xe9;
/// Longer lines are logged in pieces.
const LINE: usize = 512;

/// Text goes to a file, or line by line to kiln's own log.
pub struct DebugConsole(Lock<Sink>);

enum Sink {
    File(File),
    Log(Vec<u8>),
}

impl DebugConsole {
    /// Without a file: the log, at level `debug`.
    pub fn new(file: Option<File>) -> DebugConsole {
        DebugConsole(Lock::new(file.map_or(Sink::Log(Vec::new()), Sink::File)))
    }
}

impl Sink {
    fn put(&mut self, data: &[u8]) {
        match self {
            // What cannot be written is lost; the guest does not care.
            Sink::File(file) => drop(file.write_all(data)),
            Sink::Log(line) => {
                for byte in data {
                    match byte {
                        b'\r' => {}
                        b'\n' => flush(line),
                        byte => line.push(*byte),
                    }
                    if line.len() >= LINE {
                        flush(line);
                    }
                }
            }
        }
    }
}

fn flush(line: &mut Vec<u8>) {
    log::debug!("firmware: {}", line.escape_ascii());
    line.clear();
}

impl Mmio for DebugConsole {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(PRESENT);
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        self.0.lock().put(data);
    }
}

#[cfg(test)]
mod tests;
