//! A flash chip with Intel's command set (JEDEC JESD68, "CFI", primary set 1), eight bits wide: where UEFI keeps its
//! variables. What of it firmware for QEMU uses is here, and what it needs to tell the chip from a ROM and from RAM.
//!
//! While the chip is in read-array mode its content is seen by the guest as memory that cannot be written; only stores come
//! here. A command takes the memory away, so that loads come here too and give what the command asks for.

use crate::bus::Mmio;
use crate::mem::Memory;
use crate::part::Part;
use crate::sys::Lock;
use anyhow::{Result, ensure};
use std::sync::Arc;

/// Bytes that are erased together.
pub const BLOCK: u64 = 4096;
/// Most bytes of one buffered program command: its count has eight bits.
const BUFFER: usize = 256;

/// Commands.
mod command {
    pub const PROGRAM: u8 = 0x10;
    pub const ERASE: u8 = 0x20;
    pub const PROGRAM_AGAIN: u8 = 0x40;
    pub const CLEAR_STATUS: u8 = 0x50;
    pub const READ_STATUS: u8 = 0x70;
    pub const READ_ID: u8 = 0x90;
    pub const CONFIRM: u8 = 0xd0;
    pub const PROGRAM_BUFFER: u8 = 0xe8;
}

/// The status register: ready; an erasure, a program command failed (both: the commands came in the wrong order).
/// It is zero once it has been cleared, READY too, until the next command is done: by that EDK2 knows the chip.
const READY: u8 = 1 << 7;
const ERASE_ERROR: u8 = 1 << 5;
const PROGRAM_ERROR: u8 = 1 << 4;

/// Intel, and a chip of it.
const ID: [u8; 2] = [0x89, 0x18];

/// What is told of changes, and of modes.
pub trait Backing: Send + Sync {
    /// The content has changed there; it must survive the machine. Errors fail the command.
    fn store(&self, at: u64, data: &[u8]) -> Result<()>;
    /// Whether loads of the guest see the content.
    fn show(&self, on: bool) -> Result<()>;
}

pub struct Flash {
    /// The chip's content.
    memory: Memory,
    base: u64,
    len: u64,
    backing: Box<dyn Backing>,
    state: Lock<State>,
}

struct State {
    mode: Mode,
    status: u8,
    shown: bool,
}

/// What the next store, and what a load means.
enum Mode {
    Array,
    Status,
    Id,
    /// A byte to program follows.
    Program,
    /// A confirmation follows.
    Erase,
    /// The number of bytes, less one, follows.
    Count,
    /// Bytes follow, at places of their own.
    Buffer {
        left: usize,
        bytes: Vec<(u64, u8)>,
    },
    /// A confirmation follows.
    BufferFull {
        bytes: Vec<(u64, u8)>,
    },
}

impl Flash {
    /// `memory` is one region, and has the content; it is shown.
    pub fn new(memory: Memory, backing: Box<dyn Backing>) -> Result<Arc<Flash>> {
        let regions = memory.regions();
        ensure!(regions.len() == 1, "a flash chip is one piece");
        let (base, len) = regions.first().map_or((0, 0), |r| (r.base, r.len));
        let state = Lock::new(State { mode: Mode::Array, status: READY, shown: true });
        Ok(Arc::new(Flash { memory, base, len, backing, state }))
    }

    fn cell(&self, at: u64) -> u8 {
        let inside = self.base.checked_add(at).filter(|_| at < self.len);
        inside.and_then(|at| self.memory.read::<1>(at).ok()).map_or(0xff, |[byte]| byte)
    }

    /// What a load of one byte gives.
    fn load(&self, state: &State, at: u64) -> u8 {
        match state.mode {
            Mode::Array => self.cell(at),
            Mode::Id => ID.get((at & 0xff) as usize).copied().unwrap_or(0),
            _ => state.status,
        }
    }

    fn store(&self, state: &mut State, at: u64, value: u8) {
        state.mode = match std::mem::replace(&mut state.mode, Mode::Status) {
            Mode::Array | Mode::Status | Mode::Id => self.command(state, value),
            Mode::Program => {
                self.program(state, &[(at, value)]);
                Mode::Status
            }
            Mode::Erase => {
                match value {
                    command::CONFIRM => self.erase(state, at),
                    _ => state.status |= ERASE_ERROR | PROGRAM_ERROR,
                }
                Mode::Status
            }
            Mode::Count => Mode::Buffer { left: usize::from(value) + 1, bytes: Vec::with_capacity(BUFFER) },
            Mode::Buffer { left, mut bytes } => {
                bytes.push((at, value));
                match left.saturating_sub(1) {
                    0 => Mode::BufferFull { bytes },
                    left => Mode::Buffer { left, bytes },
                }
            }
            Mode::BufferFull { bytes } => {
                match value {
                    command::CONFIRM => self.program(state, &bytes),
                    _ => state.status |= ERASE_ERROR | PROGRAM_ERROR,
                }
                Mode::Status
            }
        };
    }

    fn command(&self, state: &mut State, value: u8) -> Mode {
        match value {
            command::PROGRAM | command::PROGRAM_AGAIN => Mode::Program,
            command::ERASE => Mode::Erase,
            command::PROGRAM_BUFFER => {
                state.status |= READY;
                Mode::Count
            }
            command::READ_STATUS => Mode::Status,
            command::READ_ID => Mode::Id,
            command::CLEAR_STATUS => {
                state.status = 0;
                Mode::Array
            }
            // Read array (0xff), and all that the chip does not know.
            _ => Mode::Array,
        }
    }

    /// Programming clears bits, and sets none.
    fn program(&self, state: &mut State, bytes: &[(u64, u8)]) {
        state.status |= READY;
        for (at, value) in bytes {
            let value = self.cell(*at) & value;
            self.change(state, *at, &[value], PROGRAM_ERROR);
        }
    }

    /// Erasing sets all bits of a block.
    fn erase(&self, state: &mut State, at: u64) {
        state.status |= READY;
        self.change(state, at - at % BLOCK, &[0xff; BLOCK as usize], ERASE_ERROR);
    }

    /// First what is kept, then what is seen: a change that the guest has seen has been kept.
    fn change(&self, state: &mut State, at: u64, data: &[u8], error: u8) {
        let address = self.base.saturating_add(at);
        let slice = self.memory.slice(address, data.len());
        let done = slice.and_then(|slice| self.backing.store(at, data).map(|()| slice.copy_from(data)));
        if let Err(e) = done {
            log::error!("flash: change {} bytes at {at:#x}: {e:#}", data.len());
            state.status |= error;
        }
    }

    fn show(&self, state: &mut State) {
        let on = matches!(state.mode, Mode::Array);
        if on != state.shown {
            match self.backing.show(on) {
                Ok(()) => state.shown = on,
                Err(e) => log::error!("flash: {e:#}"),
            }
        }
    }
}

impl Mmio for Flash {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let state = self.state.lock();
        (offset..=u64::MAX).zip(data).for_each(|(at, byte)| *byte = self.load(&state, at));
    }

    /// A wider store is several of one byte, the lowest first.
    fn write(&self, offset: u64, data: &[u8]) {
        let mut state = self.state.lock();
        (offset..=u64::MAX).zip(data).for_each(|(at, byte)| self.store(&mut state, at, *byte));
        self.show(&mut state);
    }
}

impl Part for Flash {
    fn name(&self) -> &str {
        "flash"
    }

    /// The content stays.
    fn reset(&self) -> Result<()> {
        let mut state = self.state.lock();
        (state.mode, state.status) = (Mode::Array, READY);
        self.show(&mut state);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
