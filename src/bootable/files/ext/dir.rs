//! Directories. They are read from the first entry to the last: an index hides itself in entries that look unused.

use super::super::super::fields::{slice, u8_at, u16_at, u32_at};
use super::super::{Kind, NAMES_MAX};
use super::Ext;
use super::inode::Inode;
use anyhow::{Context, Result, ensure};

const BYTES_MAX: u64 = 64 << 20;
/// Of a directory in its inode: the number of the one above.
const PARENT: usize = 4;
/// Bytes of i_block; entries do not go from it into what follows.
const FIRST: usize = 60;

/// Names and inode numbers.
pub fn entries(ext: &Ext, dir: &Inode) -> Result<Vec<(Vec<u8>, u64)>> {
    read(ext, dir).with_context(|| format!("directory, inode {}", dir.number))
}

fn read(ext: &Ext, dir: &Inode) -> Result<Vec<(Vec<u8>, u64)>> {
    ensure!(dir.node().kind == Kind::Directory, "is none");
    let bytes = dir.content(ext, BYTES_MAX)?.bytes(&ext.part)?;
    let mut found = Vec::new();
    if dir.is_inline() {
        let (first, rest) = bytes.split_at(FIRST.min(bytes.len()));
        block(first.get(PARENT..).unwrap_or_default(), &mut found)?;
        block(rest, &mut found)?;
        return Ok(found);
    }
    for bytes in bytes.chunks(ext.block as usize) {
        block(bytes, &mut found)?;
    }
    Ok(found)
}

fn block(bytes: &[u8], found: &mut Vec<(Vec<u8>, u64)>) -> Result<()> {
    let mut at = 0;
    while at + 8 <= bytes.len() {
        let (inode, name_len) = (u32_at(bytes, at)?, u8_at(bytes, at + 6)?);
        // 64 KiB do not fit into 16 bits.
        let len = match u16_at(bytes, at + 4)? {
            0 | 0xffff => bytes.len() - at,
            len => len.into(),
        };
        ensure!(len >= 8 && at + len <= bytes.len(), "an entry has {len} bytes");
        if inode != 0 {
            let name = slice(bytes, at + 8, name_len.into()).context("a name")?;
            found.push((name.to_vec(), inode.into()));
            ensure!(found.len() <= NAMES_MAX, "has more than {NAMES_MAX} entries");
        }
        at += len;
    }
    Ok(())
}
