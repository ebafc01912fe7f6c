//! Inodes, and where the bytes of their files are: in extents, in lists of blocks, or in the inode itself.

use super::super::super::fields::{slice, u8_at, u16_at, u32_at};
use super::super::{Content, Kind, Node, Run};
use super::Ext;
use anyhow::{Context, Result, ensure};

/// i_flags.
const ENCRYPTED: u32 = 0x800;
const EXTENTS: u32 = 0x8_0000;
const INLINE: u32 = 0x1000_0000;
/// Of an extent tree's nodes.
const EXTENT_MAGIC: u16 = 0xf30a;
const DEPTH_MAX: u16 = 5;
/// An extent this much longer than it is was allocated and never written.
const UNWRITTEN: u16 = 32768;
/// Pieces of one file.
const RUNS_MAX: usize = 1 << 20;
/// Bytes of an inode that every one has, and where what follows says how much it is.
const CORE: usize = 128;
const ATTRIBUTES: u32 = 0xea02_0000;
/// e_name_index of `system.`
const SYSTEM: u8 = 7;

pub struct Inode {
    pub number: u64,
    mode: u16,
    pub len: u64,
    flags: u32,
    /// i_block: extents, or block numbers, or the file.
    block: [u8; 60],
    /// The rest of the bytes.
    more: Vec<u8>,
}

impl Inode {
    pub fn parse(number: u64, bytes: &[u8]) -> Result<Inode> {
        let mode = u16_at(bytes, 0)?;
        // Of directories, i_size_high was something else once.
        let high = if mode & 0xf000 == 0x8000 { u32_at(bytes, 0x6c)? } else { 0 };
        Ok(Inode {
            number,
            mode,
            len: u64::from(high) << 32 | u64::from(u32_at(bytes, 4)?),
            flags: u32_at(bytes, 0x20)?,
            block: slice(bytes, 0x28, 60)?.try_into()?,
            more: bytes.get(CORE..).unwrap_or_default().to_vec(),
        })
    }

    pub fn node(&self) -> Node {
        let kind = match self.mode & 0xf000 {
            0x8000 => Kind::File,
            0x4000 => Kind::Directory,
            0xa000 => Kind::Link,
            _ => Kind::Other,
        };
        Node { kind, id: self.number, len: self.len, target: None }
    }

    pub fn is_inline(&self) -> bool {
        self.flags & INLINE != 0
    }

    pub fn content(&self, ext: &Ext, most: u64) -> Result<Content> {
        ensure!(self.flags & ENCRYPTED == 0, "is encrypted");
        ensure!(self.len <= most, "has {} bytes, more than {most}", self.len);
        if self.is_inline() {
            return Ok(Content::Bytes(self.inline()?));
        }
        // A short link is in the inode, unless blocks say otherwise.
        if self.node().kind == Kind::Link && self.len < self.block.len() as u64 && self.flags & EXTENTS == 0 {
            return Ok(Content::Bytes(slice(&self.block, 0, self.len as usize)?.to_vec()));
        }
        let mut map = Map { ext, runs: Vec::new(), at: 0, blocks: self.len.div_ceil(ext.block) };
        match self.flags & EXTENTS != 0 {
            true => map.extents(&self.block, None).context("extents")?,
            false => map.lists(&self.block).context("block list")?,
        }
        map.hole_to(map.blocks)?;
        let mut runs = map.runs;
        // The last block is used in part.
        let beyond = self.len.next_multiple_of(ext.block) - self.len;
        if let Some(last) = runs.last_mut() {
            last.len = last.len.saturating_sub(beyond);
        }
        Ok(Content::Runs(runs))
    }

    /// What begins in i_block goes on in the attribute `system.data` behind the inode.
    pub fn inline(&self) -> Result<Vec<u8>> {
        let mut bytes = self.block.to_vec();
        bytes.extend(self.attribute().unwrap_or_default());
        let len = usize::try_from(self.len)?;
        ensure!(len <= bytes.len(), "has {len} bytes in the inode, where {} are", bytes.len());
        bytes.truncate(len);
        Ok(bytes)
    }

    fn attribute(&self) -> Option<&[u8]> {
        let extra = usize::from(u16_at(&self.more, 0).ok()?);
        let list = self.more.get(extra..)?;
        if u32_at(list, 0).ok()? != ATTRIBUTES {
            return None;
        }
        let list = list.get(4..)?;
        let mut at = 0;
        while u32_at(list, at).ok()? != 0 {
            let name_len = usize::from(u8_at(list, at).ok()?);
            let name = slice(list, at + 16, name_len).ok()?;
            if u8_at(list, at + 1).ok()? == SYSTEM && name == b"data" {
                let (from, len) = (u16_at(list, at + 2).ok()?, u32_at(list, at + 8).ok()?);
                return slice(list, from.into(), usize::try_from(len).ok()?).ok();
            }
            at = (at + 16 + name_len).next_multiple_of(4);
        }
        None
    }
}

/// What has been found of a file so far.
struct Map<'a> {
    ext: &'a Ext<'a>,
    runs: Vec<Run>,
    /// Blocks of the file in `runs`.
    at: u64,
    /// Blocks that the file has.
    blocks: u64,
}

impl Map<'_> {
    fn hole_to(&mut self, end: u64) -> Result<()> {
        let end = end.min(self.blocks);
        if let Some(blocks) = end.checked_sub(self.at).filter(|n| *n > 0) {
            self.push(None, blocks.saturating_mul(self.ext.block))?;
            self.at = end;
        }
        Ok(())
    }

    fn push(&mut self, at: Option<u64>, len: u64) -> Result<()> {
        Content::push(&mut self.runs, Run { at, len });
        ensure!(self.runs.len() <= RUNS_MAX, "in more than {RUNS_MAX} pieces");
        Ok(())
    }

    /// Adds up to `blocks` of the file, which are on the disk from `block` on.
    fn blocks(&mut self, block: u64, blocks: u64) -> Result<()> {
        let blocks = blocks.min(self.blocks.saturating_sub(self.at));
        if blocks == 0 {
            return Ok(());
        }
        let last = block.checked_add(blocks - 1).context("a block is too far away")?;
        self.ext.place(last)?;
        if !self.ext.journal.has(block..=last) {
            let place = self.ext.place(block)?;
            self.push(Some(place), blocks.saturating_mul(self.ext.block))?;
        } else {
            for block in block..=last {
                let copy = self.ext.journal.copy(block);
                ensure!(!copy.is_some_and(|c| c.escaped), "block {block} is in the journal, and changed there");
                let place = self.ext.place(copy.map_or(block, |c| c.block))?;
                self.push(Some(place), self.ext.block)?;
            }
        }
        self.at = self.at.saturating_add(blocks);
        Ok(())
    }

    /// A node of an extent tree; `depth` is what its parent says.
    fn extents(&mut self, node: &[u8], depth: Option<u16>) -> Result<()> {
        ensure!(u16_at(node, 0)? == EXTENT_MAGIC, "a node has no magic number");
        let (entries, own) = (usize::from(u16_at(node, 2)?), u16_at(node, 6)?);
        ensure!(own <= DEPTH_MAX, "{own} levels are more than {DEPTH_MAX}");
        ensure!(depth.is_none_or(|d| d == own), "a node is on the wrong level");
        for i in 0..entries {
            let entry = slice(node, 12 + 12 * i, 12)?;
            let first = u64::from(u32_at(entry, 0)?);
            if first >= self.blocks {
                break;
            }
            ensure!(first >= self.at || own > 0 && i == 0, "extents overlap");
            if own > 0 {
                let child = u64::from(u16_at(entry, 8)?) << 32 | u64::from(u32_at(entry, 4)?);
                let before = self.at;
                let bytes = self.ext.read_block(child)?;
                self.extents(&bytes, Some(own - 1))?;
                // A tree whose nodes bring nothing would be read for ever.
                ensure!(self.at > before || entries == 1, "a node is empty");
                continue;
            }
            self.hole_to(first)?;
            let len = u16_at(entry, 4)?;
            let start = u64::from(u16_at(entry, 6)?) << 32 | u64::from(u32_at(entry, 8)?);
            match len > UNWRITTEN {
                true => self.hole_to(first.saturating_add(u64::from(len - UNWRITTEN)))?,
                false => self.blocks(start, len.into())?,
            }
        }
        Ok(())
    }

    /// Twelve blocks, and a list, a list of lists and a list of those.
    fn lists(&mut self, i_block: &[u8]) -> Result<()> {
        for i in 0..15 {
            let level = u32::try_from(i).unwrap_or(0).saturating_sub(11);
            self.list(u32_at(i_block, 4 * i)?.into(), level)?;
        }
        Ok(())
    }

    fn list(&mut self, block: u64, level: u32) -> Result<()> {
        if self.at >= self.blocks {
            return Ok(());
        }
        if block == 0 {
            let blocks = (self.ext.block / 4).checked_pow(level).context("lists too deep")?;
            return self.hole_to(self.at.saturating_add(blocks));
        }
        if level == 0 {
            return self.blocks(block, 1);
        }
        let list = self.ext.read_block(block)?;
        for at in (0..list.len()).step_by(4) {
            self.list(u32_at(&list, at)?.into(), level - 1)?;
        }
        Ok(())
    }
}
