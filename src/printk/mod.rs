//! The log of a Linux kernel, read out of its memory: complete whatever its consoles were told to show, and without an
//! exit for any of it. Needs no help of the guest and believes nothing of what it says.
//!
//! ```text
//! VMCOREINFO note ──▶ where `prb` is, offsets of the structures, the kernel's page table
//! prb ──▶ descriptors (state, place of the text) + infos (time, length) + one ring of text
//! ```

mod record;
mod tables;
pub mod vmcoreinfo;

use crate::mem::Memory;
use anyhow::{Context, Result, ensure};
use record::Layout;
use tables::Tables;

/// Bytes of text in the largest ring that is read (log_buf_len=8M), and the records that come with it (one for 32 bytes).
const LONGEST: u64 = 8 << 20;
const MOST_RECORDS: u64 = LONGEST / 32;
/// Bytes that are printed at most: records may claim the same text, and each line gets its time.
const MOST_PRINTED: usize = 64 << 20;

/// A kernel's log.
pub struct Log {
    /// Lines as dmesg prints them: `[    1.234567] text`.
    pub text: Vec<u8>,
    /// Records that were overwritten by later ones.
    pub lost: u64,
}

/// Reads the log of the guest kernel that wrote `vmcoreinfo`. The guest does not run.
///
/// Errors say what does not fit: an older kernel (the ring is Linux 5.10's), or a guest that wrote nonsense there.
pub fn read(memory: &Memory, vmcoreinfo: &[u8]) -> Result<Log> {
    let layout = Layout::parse(vmcoreinfo)?;
    let tables = Tables::new(memory, vmcoreinfo)?;
    let ring = layout.ring(&tables)?;
    let count = 1u64.checked_shl(ring.count_bits).filter(|n| *n <= MOST_RECORDS).context("too many records")?;
    let size = 1u64.checked_shl(ring.size_bits).filter(|n| *n <= LONGEST).context("too much text")?;
    let (head, tail) = (ring.head_id, ring.tail_id);
    ensure!(
        head.wrapping_sub(tail) & record::ID < count,
        "head {head:#x} and tail {tail:#x} do not fit {count} records"
    );
    let mut log = Log { text: Vec::new(), lost: 0 };
    let mut first = None;
    for step in 0..=(head.wrapping_sub(tail) & record::ID) {
        let id = tail.wrapping_add(step) & record::ID;
        let Some(entry) = layout.entry(&tables, &ring, id, count, size)? else { continue };
        first.get_or_insert(entry.seq);
        entry.print(&mut log.text);
        ensure!(log.text.len() <= MOST_PRINTED, "more text than a ring of {size} bytes has");
    }
    log.lost = first.unwrap_or(0);
    Ok(log)
}

#[cfg(test)]
mod tests;
