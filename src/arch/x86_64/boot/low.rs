//! The room below 640 KiB for strings and lists of the boot protocols, given out from its start.

use super::layout;
use crate::mem::Memory;
use anyhow::{Result, ensure};

/// Where the room ends; a kernel may lie from here on.
pub const END: u64 = 0x4_0000;

pub struct Low<'a> {
    memory: &'a Memory,
    next: u64,
}

impl<'a> Low<'a> {
    pub fn new(memory: &'a Memory) -> Low<'a> {
        Low { memory, next: layout::CMDLINE }
    }

    /// Stores `data` at a multiple of 8; gives its address.
    pub fn put(&mut self, data: &[u8]) -> Result<u64> {
        let at = self.next;
        let end = at + data.len() as u64;
        ensure!(end <= END, "command line and module list need more than {} bytes", END - layout::CMDLINE);
        self.memory.write(at, data)?;
        self.next = end.next_multiple_of(8);
        Ok(at)
    }

    /// Stores a string with a terminating zero.
    pub fn string(&mut self, text: &str) -> Result<u64> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.put(&bytes)
    }
}
