//! ext2, ext3 and ext4 (Linux: Documentation/filesystems/ext4), read-only. A journal that was not played back is taken
//! into account: images are often of machines that were switched off.

mod dir;
mod inode;
mod journal;

use super::super::disk::Part;
use super::super::fields::{slice, text, u16_at, u32_at, uuid};
use super::{Content, FileSystem, Kind, Node};
use anyhow::{Context, Result, ensure};
use inode::Inode;
use journal::Journal;

const SUPERBLOCK: usize = 1024;
const MAGIC: u16 = 0xef53;
const ROOT: u64 = 2;
const JOURNAL: u32 = 4;

/// s_feature_incompat.
const RECOVER: u32 = 0x4;
const META_BG: u32 = 0x10;
const EXTENTS: u32 = 0x40;
const WIDE: u32 = 0x80;
/// Features that would make a difference here, and are not known: (bit, name).
const REFUSED: [(u32, &str); 3] = [(0x1, "compression"), (0x8, "journal_dev"), (0x1000, "dirdata")];
/// filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, csum_seed, large_dir, inline_data, encrypt,
/// casefold.
const KNOWN: u32 =
    0x2 | RECOVER | META_BG | EXTENTS | WIDE | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x3_0000;

pub struct Ext<'a> {
    part: Part<'a>,
    /// Bytes of a block.
    block: u64,
    blocks: u64,
    first_block: u64,
    blocks_per_group: u64,
    inodes: u64,
    inodes_per_group: u64,
    inode_size: u64,
    descriptor: u64,
    /// The group of blocks of descriptors from which on these are spread over the disk.
    first_meta: Option<u64>,
    wide: bool,
    uuid: String,
    label: Option<String>,
    kind: &'static str,
    journal: Journal,
}

pub fn is(head: &[u8]) -> bool {
    u16_at(head, SUPERBLOCK + 0x38).is_ok_and(|magic| magic == MAGIC)
}

pub fn open<'a>(part: Part<'a>, head: &[u8]) -> Result<Ext<'a>> {
    let sb = slice(head, SUPERBLOCK, 1024).context("superblock")?;
    let log = u32_at(sb, 0x18)?;
    ensure!(log <= 6, "superblock: s_log_block_size is {log}: blocks of more than 64 KiB");
    let block = 1024u64 << log;
    let (compat, incompat) = (u32_at(sb, 0x5c)?, u32_at(sb, 0x60)?);
    // The first revision has no features, and fixed sizes.
    let dynamic = u32_at(sb, 0x4c)? > 0;
    let (compat, incompat) = if dynamic { (compat, incompat) } else { (0, 0) };
    for (bit, name) in REFUSED {
        ensure!(incompat & bit == 0, "superblock: has the feature {name}, which kiln does not read");
    }
    let unknown = incompat & !KNOWN;
    ensure!(unknown == 0, "superblock: has features that kiln does not know (s_feature_incompat {unknown:#x})");
    let wide = incompat & WIDE != 0;
    let high = if wide { u32_at(sb, 0x150)? } else { 0 };
    let inode_size = if dynamic { u16_at(sb, 0x58)? } else { 128 };
    let sound = inode_size.is_power_of_two() && inode_size >= 128 && u64::from(inode_size) <= block;
    ensure!(sound, "superblock: s_inode_size is {inode_size}");
    let descriptor = if wide { u16_at(sb, 0xfe)? } else { 32 };
    let sound =
        descriptor >= if wide { 64 } else { 32 } && u64::from(descriptor) <= block && descriptor.is_power_of_two();
    ensure!(sound, "superblock: s_desc_size is {descriptor}");
    let (blocks_per_group, inodes_per_group) = (u32_at(sb, 0x20)?, u32_at(sb, 0x28)?);
    ensure!(blocks_per_group > 0, "superblock: s_blocks_per_group is 0");
    ensure!(inodes_per_group > 0, "superblock: s_inodes_per_group is 0");
    let extents = incompat & (EXTENTS | WIDE) != 0;
    let mut ext = Ext {
        part,
        block,
        blocks: u64::from(high) << 32 | u64::from(u32_at(sb, 4)?),
        first_block: u32_at(sb, 0x14)?.into(),
        blocks_per_group: blocks_per_group.into(),
        inodes: u32_at(sb, 0)?.into(),
        inodes_per_group: inodes_per_group.into(),
        inode_size: inode_size.into(),
        descriptor: descriptor.into(),
        first_meta: (incompat & META_BG != 0).then_some(u32_at(sb, 0x104)?.into()),
        wide,
        uuid: uuid(slice(sb, 0x68, 16)?),
        label: text(slice(sb, 0x78, 16)?),
        kind: if extents {
            "ext4"
        } else if compat & JOURNAL != 0 {
            "ext3"
        } else {
            "ext2"
        },
        journal: Journal::default(),
    };
    if compat & JOURNAL != 0 && incompat & RECOVER != 0 {
        let number = u32_at(sb, 0xe0)?;
        ext.journal = Journal::read(&ext, number.into()).context("its journal, which was not played back")?;
    }
    Ok(ext)
}

impl Ext<'_> {
    /// Where a block is, in bytes.
    fn place(&self, block: u64) -> Result<u64> {
        ensure!(block < self.blocks && block > 0, "block {block} of {}", self.blocks);
        block.checked_mul(self.block).context("a block is too far away")
    }

    /// A block as it is after the journal was played back.
    fn read_block(&self, block: u64) -> Result<Vec<u8>> {
        let copy = self.journal.copy(block);
        let mut bytes = self.part.bytes(self.place(copy.map_or(block, |c| c.block))?, self.block as usize)?;
        if copy.is_some_and(|c| c.escaped) {
            journal::unescape(&mut bytes);
        }
        Ok(bytes)
    }

    fn inode(&self, number: u64) -> Result<Inode> {
        self.read_inode(number).with_context(|| format!("inode {number}"))
    }

    fn read_inode(&self, number: u64) -> Result<Inode> {
        let index = number.checked_sub(1).filter(|_| number <= self.inodes);
        let index = index.with_context(|| format!("there are inodes 1 to {}", self.inodes))?;
        let (group, index) = (index / self.inodes_per_group, index % self.inodes_per_group);
        let table = self.inode_table(group).with_context(|| format!("descriptor of block group {group}"))?;
        let at = index * self.inode_size;
        let block = self.read_block(table.saturating_add(at / self.block))?;
        let bytes = slice(&block, (at % self.block) as usize, self.inode_size as usize)?;
        Inode::parse(number, bytes)
    }

    /// The first block of a group's inode table.
    fn inode_table(&self, group: u64) -> Result<u64> {
        let per_block = self.block / self.descriptor;
        let at = group / per_block;
        let block = match self.first_meta {
            Some(first) if at >= first => self.meta_block(at * per_block),
            // Behind the superblock, which is in block 1 where blocks have 1 KiB, whatever s_first_data_block says.
            _ => (SUPERBLOCK as u64 / self.block).saturating_add(1).saturating_add(at),
        };
        let block = self.read_block(block)?;
        let descriptor = slice(&block, ((group % per_block) * self.descriptor) as usize, self.descriptor as usize)?;
        let high = if self.wide { u32_at(descriptor, 0x28)? } else { 0 };
        Ok(u64::from(high) << 32 | u64::from(u32_at(descriptor, 8)?))
    }

    /// With meta_bg, the descriptors of some groups are in the first one of them, behind its superblock if it has one.
    fn meta_block(&self, group: u64) -> u64 {
        let start = self.first_block.saturating_add(group.saturating_mul(self.blocks_per_group));
        let power = |base: u64| {
            let mut n = base;
            while n < group {
                n = n.saturating_mul(base);
            }
            n == group
        };
        // sparse_super, which meta_bg never goes without
        let superblock = group <= 1 || power(3) || power(5) || power(7);
        let second = self.block == SUPERBLOCK as u64 && group == 0 && self.first_block == 0;
        start.saturating_add(u64::from(superblock)).saturating_add(second.into())
    }

    fn content_of(&self, inode: &Inode, most: u64) -> Result<Content> {
        inode.content(self, most).with_context(|| format!("inode {}", inode.number))
    }
}

impl FileSystem for Ext<'_> {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn uuid(&self) -> Option<&str> {
        Some(&self.uuid)
    }

    fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    fn root(&self) -> Result<Node> {
        let root = self.inode(ROOT)?.node();
        ensure!(root.kind == Kind::Directory, "inode {ROOT}: is no directory");
        Ok(root)
    }

    fn names(&self, dir: &Node) -> Result<Vec<String>> {
        let entries = dir::entries(self, &self.inode(dir.id)?)?;
        Ok(entries.into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect())
    }

    fn find(&self, dir: &Node, name: &str) -> Result<Option<Node>> {
        let entries = dir::entries(self, &self.inode(dir.id)?)?;
        match entries.into_iter().find(|(n, _)| n == name.as_bytes()) {
            Some((_, number)) => Ok(Some(self.inode(number)?.node())),
            None => Ok(None),
        }
    }

    fn content(&self, node: &Node, most: u64) -> Result<Content> {
        self.content_of(&self.inode(node.id)?, most)
    }
}

#[cfg(test)]
mod tests;
