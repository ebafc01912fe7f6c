//! The journal of ext3 and ext4 (Linux: Documentation/filesystems/ext4/journal.rst): which blocks have a newer copy in
//! it. Nothing is written; who reads a block reads its copy. Big endian.

use super::super::super::fields::{be32_at, slice};
use super::super::{Content, Run};
use super::Ext;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

const MAGIC: u32 = 0xc03b_3998;
const BYTES_MAX: u64 = 4 << 30;
/// Blocks with copies that are kept in mind.
const COPIES_MAX: usize = 1 << 20;

/// h_blocktype.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCK: [u32; 2] = [3, 4];
const REVOKE: u32 = 5;

/// s_feature_incompat.
const WIDE: u32 = 0x2;
const CHECKSUMS_2: u32 = 0x8;
const CHECKSUMS_3: u32 = 0x10;
const FAST_COMMIT: u32 = 0x20;
const KNOWN: u32 = 0x1 | WIDE | 0x4 | CHECKSUMS_2 | CHECKSUMS_3 | FAST_COMMIT;
/// Blocks at the end for fast commits, when s_num_fc_blks says nothing.
const FAST_BLOCKS: u32 = 256;

/// t_flags.
const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;

/// The newest copy of a block.
#[derive(Debug, Clone, Copy)]
pub struct Copy {
    /// Where on the disk.
    pub block: u64,
    /// It begins like a block of the journal, and is kept without these bytes.
    pub escaped: bool,
}

/// Copies by the block that they belong to.
#[derive(Default)]
pub struct Journal(BTreeMap<u64, Copy>);

/// Gives a block the bytes back that were taken from it.
pub fn unescape(block: &mut [u8]) {
    if let Some(start) = block.get_mut(..4) {
        start.copy_from_slice(&MAGIC.to_be_bytes());
    }
}

impl Journal {
    pub fn copy(&self, block: u64) -> Option<Copy> {
        self.0.get(&block).copied()
    }

    pub fn has(&self, blocks: RangeInclusive<u64>) -> bool {
        self.0.range(blocks).next().is_some()
    }

    /// Reads the journal in inode `number`. `ext` has none yet.
    pub fn read(ext: &Ext, number: u64) -> Result<Journal> {
        let inode = ext.inode(number)?;
        let Content::Runs(runs) = ext.content_of(&inode, BYTES_MAX)? else { return Ok(Journal::default()) };
        let mut log = Log::open(ext, &runs)?;
        if log.start == 0 {
            return Ok(Journal::default());
        }
        let mut at = log.start;
        while let Some(next) = log.transaction(at)? {
            at = next;
            log.sequence = log.sequence.wrapping_add(1);
        }
        Ok(log.finish())
    }
}

struct Log<'a> {
    ext: &'a Ext<'a>,
    runs: &'a [Run],
    features: u32,
    first: u32,
    /// One past the last block.
    end: u32,
    start: u32,
    /// Of the transaction that comes next.
    sequence: u32,
    /// Blocks to go: the log is a ring.
    left: u32,
    seed: u32,
    /// Ordered as they were committed: block, transaction, copy.
    copies: Vec<(u64, u64, Copy)>,
    /// The last transaction that said that no older copy of a block counts.
    revoked: BTreeMap<u64, u64>,
    /// Transactions so far.
    count: u64,
}

impl<'a> Log<'a> {
    fn open(ext: &'a Ext<'a>, runs: &'a [Run]) -> Result<Log<'a>> {
        let mut log = Log {
            ext,
            runs,
            features: 0,
            first: 0,
            end: 1,
            start: 0,
            sequence: 0,
            left: 0,
            seed: 0,
            copies: Vec::new(),
            revoked: BTreeMap::new(),
            count: 0,
        };
        let sb = log.block(0)?;
        let kind = be32_at(&sb, 4)?;
        ensure!(be32_at(&sb, 0)? == MAGIC && SUPERBLOCK.contains(&kind), "superblock: has no magic number");
        let size = be32_at(&sb, 12)?;
        ensure!(u64::from(size) == ext.block, "superblock: s_blocksize is {size}, the file system's is {}", ext.block);
        log.features = if kind == SUPERBLOCK[1] { be32_at(&sb, 0x28)? } else { 0 };
        let unknown = log.features & !KNOWN;
        ensure!(unknown == 0, "superblock: has features that kiln does not know (s_feature_incompat {unknown:#x})");
        log.seed = crc32c(!0, slice(&sb, 0x30, 16)?);
        let fast = match (log.features & FAST_COMMIT != 0, be32_at(&sb, 0x54)?) {
            (false, _) => 0,
            (true, 0) => FAST_BLOCKS,
            (true, n) => n,
        };
        let len = be32_at(&sb, 16)?;
        (log.first, log.sequence, log.start) = (be32_at(&sb, 0x14)?, be32_at(&sb, 0x18)?, be32_at(&sb, 0x1c)?);
        log.end = len.checked_sub(fast).context("superblock: s_num_fc_blks is more than there are")?;
        let has = u64::from(len).saturating_mul(ext.block) <= Content::Runs(runs.to_vec()).len();
        let sound = has && log.first > 0 && log.first < log.end;
        ensure!(sound, "superblock: s_first is {}, s_maxlen {len}", log.first);
        let inside = log.start == 0 || (log.first..log.end).contains(&log.start);
        ensure!(inside, "superblock: s_start is {}", log.start);
        log.left = log.end - log.first;
        Ok(log)
    }

    /// Block `at` of the log: where it is on the disk.
    fn place(&self, at: u32) -> Result<u64> {
        let mut offset = u64::from(at).saturating_mul(self.ext.block);
        for run in self.runs {
            if offset < run.len {
                let start = run.at.with_context(|| format!("block {at} of the journal is a hole"))?;
                return Ok(start.saturating_add(offset) / self.ext.block);
            }
            offset -= run.len;
        }
        anyhow::bail!("has no block {at}")
    }

    fn block(&self, at: u32) -> Result<Vec<u8>> {
        self.ext.part.bytes(self.ext.place(self.place(at)?)?, self.ext.block as usize)
    }

    fn next(&mut self, at: u32) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let next = at.saturating_add(1);
        Some(if next >= self.end { self.first } else { next })
    }

    /// Takes in the transaction at block `at`, and says where the next one is. None: there is none that is complete.
    fn transaction(&mut self, mut at: u32) -> Result<Option<u32>> {
        let (mut copies, mut revoked) = (Vec::new(), Vec::new());
        loop {
            let block = self.block(at)?;
            if be32_at(&block, 0)? != MAGIC || be32_at(&block, 8)? != self.sequence {
                return Ok(None);
            }
            let Some(next) = self.next(at) else { return Ok(None) };
            at = next;
            match be32_at(&block, 4)? {
                DESCRIPTOR => match self.descriptor(&block, at, &mut copies)? {
                    Some(next) => at = next,
                    None => return Ok(None),
                },
                REVOKE => self.revocations(&block, &mut revoked)?,
                COMMIT if self.committed(&block)? => break,
                _ => return Ok(None),
            }
            let number = copies.len().saturating_add(self.copies.len()).saturating_add(revoked.len());
            ensure!(number <= COPIES_MAX, "has more than {COPIES_MAX} blocks");
        }
        self.count += 1;
        let count = self.count;
        self.copies.extend(copies.into_iter().map(|(block, copy)| (block, count, copy)));
        self.revoked.extend(revoked.into_iter().map(|block| (block, count)));
        Ok(Some(at))
    }

    fn has(&self, feature: u32) -> bool {
        self.features & feature != 0
    }

    /// Notes the blocks that follow; says what comes behind them.
    fn descriptor(&mut self, block: &[u8], mut at: u32, copies: &mut Vec<(u64, Copy)>) -> Result<Option<u32>> {
        let tail = if self.has(CHECKSUMS_2 | CHECKSUMS_3) { 4 } else { 0 };
        // journal_tag_bytes() of Linux
        let size = match (self.has(CHECKSUMS_3), self.has(WIDE)) {
            (true, _) => 16,
            (false, wide) => 8 + if self.has(CHECKSUMS_2) { 2 } else { 0 } + if wide { 4 } else { 0 },
        };
        let mut from = 12;
        while from + size + tail <= block.len() {
            let tag = slice(block, from, size)?;
            let flags = if self.has(CHECKSUMS_3) { be32_at(tag, 4)? } else { be32_at(tag, 4)? & 0xffff };
            let high = if self.has(WIDE) { be32_at(tag, 8)? } else { 0 };
            let target = u64::from(high) << 32 | u64::from(be32_at(tag, 0)?);
            copies.push((target, Copy { block: self.place(at)?, escaped: flags & ESCAPED != 0 }));
            let Some(next) = self.next(at) else { return Ok(None) };
            at = next;
            if flags & LAST != 0 {
                break;
            }
            from += size + if flags & SAME_UUID != 0 { 0 } else { 16 };
        }
        Ok(Some(at))
    }

    fn revocations(&self, block: &[u8], revoked: &mut Vec<u64>) -> Result<()> {
        let end = (be32_at(block, 12)? as usize).min(block.len());
        let size = if self.has(WIDE) { 8 } else { 4 };
        for at in (16..end).step_by(size).filter(|at| at + size <= end) {
            let first = u64::from(be32_at(block, at)?);
            revoked.push(if size == 8 { first << 32 | u64::from(be32_at(block, at + 4)?) } else { first });
        }
        Ok(())
    }

    /// Whether a commit block is as it was to be written.
    fn committed(&self, block: &[u8]) -> Result<bool> {
        if !self.has(CHECKSUMS_2 | CHECKSUMS_3) {
            return Ok(true);
        }
        let mut crc = crc32c(self.seed, slice(block, 0, 16)?);
        crc = crc32c(crc, &[0; 4]);
        crc = crc32c(crc, slice(block, 20, block.len().saturating_sub(20))?);
        Ok(crc == be32_at(block, 16)?)
    }

    fn finish(self) -> Journal {
        let counts = |(block, count, _): &(u64, u64, Copy)| self.revoked.get(block).is_none_or(|r| r < count);
        Journal(self.copies.into_iter().filter(counts).map(|(block, _, copy)| (block, copy)).collect())
    }
}

/// The checksum of Castagnoli, without the last inversion.
fn crc32c(mut crc: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    crc
}
