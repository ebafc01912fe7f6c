//! The self-test's disk: a file in memory, filled before the guest runs and compared afterwards.

use super::agreed::{self, Part};
use crate::sys::memfd;
use anyhow::{Context, Result};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Queues of the disk, and so pieces of [`agreed::QUEUES`].
pub const QUEUES: u64 = 2;
const QUEUE_PIECE: u64 = 64 << 10;
/// Bytes that are compared at once.
const PIECE: u64 = 64 << 10;

/// A disk as the guest is to find it.
pub fn new() -> Result<File> {
    let disk = memfd(c"selftest-disk").context("make the self-test's disk")?;
    let mut given = vec![0; usize::try_from(agreed::GIVEN.len)?];
    agreed::fill(agreed::GIVEN.pattern, agreed::GIVEN.at, &mut given);
    let filled = disk.set_len(agreed::DISK).and_then(|()| disk.write_all_at(&given, agreed::GIVEN.at));
    filled.context("fill the self-test's disk")?;
    Ok(disk)
}

/// Inverts one bit.
pub fn corrupt(disk: &File, at: u64) -> io::Result<()> {
    let mut byte = [0];
    disk.read_exact_at(&mut byte, at)?;
    disk.write_all_at(&byte.map(|b| b ^ 1), at)
}

/// Whether the disk holds what it must after all tests of the group `blk`.
pub fn check(disk: &File) -> Result<(), String> {
    for part in finished() {
        let mut at = part.at;
        while at < part.at + part.len {
            let len = PIECE.min(part.at + part.len - at);
            let mut piece = vec![0; len as usize];
            disk.read_exact_at(&mut piece, at).map_err(|e| format!("read the disk at {at:#x}: {e}"))?;
            if let Some(wrong) = agreed::difference(part.pattern, at, &piece) {
                return Err(format!("byte {wrong:#x} of the disk is wrong"));
            }
            at += len;
        }
    }
    Ok(())
}

/// All parts in order, without overlaps; what was discarded is left out.
fn finished() -> Vec<Part> {
    let Part { at: zeroed, len: zeroes, .. } = agreed::ZEROED;
    let queues = Part { len: QUEUES * QUEUE_PIECE, ..agreed::QUEUES };
    let discarded = agreed::DISCARDED.at + agreed::DISCARDED.len;
    let from = |at, pattern, to: u64| Part { at, len: to - at, pattern };
    vec![
        agreed::GIVEN,
        from(agreed::LARGE.at, agreed::LARGE.pattern, zeroed),
        agreed::ZEROED,
        from(zeroed + zeroes, agreed::LARGE.pattern, agreed::LARGE.at + agreed::LARGE.len),
        agreed::SMALL,
        from(queues.at + queues.len, 0, agreed::DISCARDED.at),
        queues,
        from(discarded, 0, agreed::LAST.at),
        agreed::LAST,
    ]
}

#[cfg(test)]
mod tests;
