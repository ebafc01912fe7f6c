//! The refcounts as they are stored: in blocks that a table lists.

use super::tables::{Tables, packed};
use super::walk::most;
use anyhow::{Result, ensure};

/// Bits of a table entry that are an offset.
const PLACE: u64 = !0x1ff;

pub struct Refcounts<'a> {
    tables: &'a Tables,
    table: Vec<u64>,
    /// Clusters that a block counts.
    per_block: u64,
    /// The block that was read last.
    block: Option<(usize, Vec<u8>)>,
}

impl<'a> Refcounts<'a> {
    pub fn read(tables: &'a Tables) -> Result<Refcounts<'a>> {
        let head = &tables.header;
        let entries = (u64::from(head.refcount_table_clusters) << head.cluster_bits) / 8;
        let table = tables.numbers(head.refcount_table_offset, entries as usize)?;
        Ok(Refcounts { tables, table, per_block: per_block(tables), block: None })
    }

    /// The refcount of a cluster; `None`: it cannot be told.
    pub fn get(&mut self, cluster: usize) -> Result<Option<u64>> {
        let number = cluster / self.per_block as usize;
        if self.block.as_ref().is_none_or(|(n, _)| *n != number) {
            // Bits that are reserved are somebody else's to complain of.
            let at = self.table.get(number).copied().unwrap_or(0) & PLACE;
            if !at.is_multiple_of(self.tables.header.cluster()) || i64::try_from(at).is_err() {
                return Ok(None);
            }
            let size = self.tables.header.cluster() as usize;
            self.block = Some((number, if at == 0 { vec![0; size] } else { self.tables.read(at, size)? }));
        }
        let block = self.block.as_ref().map_or(&[][..], |(_, block)| block);
        Ok(Some(get(block, cluster % self.per_block as usize, self.tables.header.refcount_order)))
    }

    /// Writes `counts` where blocks for them are; blocks that would not change are left. `Ok(false)`: there are not all
    /// blocks, and nothing was written.
    pub fn store(&mut self, counts: &[u32]) -> Result<bool> {
        let per_block = self.per_block as usize;
        let order = self.tables.header.refcount_order;
        let at = |number: usize| self.table.get(number).copied().unwrap_or(0) & PLACE;
        if counts.chunks(per_block).enumerate().any(|(n, counts)| at(n) == 0 && counts.iter().any(|c| *c != 0)) {
            return Ok(false);
        }
        self.block = None;
        for (number, counts) in counts.chunks(per_block).enumerate() {
            let at = at(number);
            if at == 0 {
                continue;
            }
            let old = self.tables.read(at, self.tables.header.cluster() as usize)?;
            let mut new = old.clone();
            fill(&mut new, counts, order, self.tables)?;
            if new != old {
                self.tables.write(at, &new)?;
            }
        }
        Ok(true)
    }
}

fn per_block(tables: &Tables) -> u64 {
    (tables.header.cluster() * 8) >> tables.header.refcount_order
}

fn get(block: &[u8], index: usize, order: u32) -> u64 {
    let bits = 1usize << order;
    if bits < 8 {
        let byte = block.get(index * bits / 8).copied().unwrap_or(0);
        return u64::from(byte) >> (index * bits % 8) & most(order);
    }
    let bytes = index.checked_mul(bits / 8).and_then(|at| block.get(at..at + bits / 8));
    bytes.unwrap_or_default().iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

fn set(block: &mut [u8], index: usize, order: u32, value: u64) {
    let bits = 1usize << order;
    if bits < 8 {
        let shift = index * bits % 8;
        if let Some(byte) = block.get_mut(index * bits / 8) {
            *byte = *byte & !((most(order) as u8) << shift) | (value as u8) << shift;
        }
        return;
    }
    let bytes = value.to_be_bytes();
    let from = bytes.get(8 - bits / 8..).unwrap_or_default();
    let to = block.get_mut(index * bits / 8..).unwrap_or_default();
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn fill(block: &mut [u8], counts: &[u32], order: u32, tables: &Tables) -> Result<()> {
    for (i, count) in counts.iter().enumerate() {
        ensure!(
            u64::from(*count) <= most(order),
            "change {}: a refcount of {count} does not fit into its {} bits (refcount_order)",
            tables.name(),
            1 << order
        );
        set(block, i, order, (*count).into());
    }
    Ok(())
}

/// Writes a new table and new blocks behind the end of the file, and has the header point to them: the last step, so a
/// half-written one is never seen. `counts` do not know of the new ones yet.
pub fn rebuild(tables: &mut Tables, counts: &[u32]) -> Result<()> {
    let per_block = per_block(tables) as usize;
    let cluster = tables.header.cluster();
    let start = counts.len().max(tables.clusters()?);
    let used = |number: usize| counts.iter().skip(number * per_block).take(per_block).any(|count| *count != 0);
    let mut wanted: Vec<usize> = (0..counts.len().div_ceil(per_block)).filter(|n| used(*n)).collect();
    // The blocks count themselves, and the table: more of them until that comes out even.
    let table_clusters = loop {
        let new = wanted.len() + 1;
        let table_clusters = |end: usize| (end.div_ceil(per_block) as u64 * 8).div_ceil(cluster) as usize;
        let mut end = start + new;
        end += table_clusters(end + table_clusters(end) + 1);
        let more: Vec<usize> = (start / per_block..=(end - 1) / per_block).filter(|n| !wanted.contains(n)).collect();
        if more.is_empty() {
            break end - start - wanted.len();
        }
        wanted.extend(more);
    };
    let end = start + wanted.len() + table_clusters;
    let mut counts = counts.to_vec();
    counts.resize(start, 0);
    counts.resize(end, 1);
    let mut table = vec![0; table_clusters * (cluster / 8) as usize];
    for (i, number) in wanted.iter().enumerate() {
        let mut block = vec![0; cluster as usize];
        let from = counts.get(number * per_block..).unwrap_or_default();
        fill(&mut block, from.get(..per_block).unwrap_or(from), tables.header.refcount_order, tables)?;
        let at = (start + i) as u64 * cluster;
        tables.write(at, &block)?;
        if let Some(entry) = table.get_mut(*number) {
            *entry = at;
        }
    }
    let at = (start + wanted.len()) as u64 * cluster;
    tables.write(at, &packed(&table))?;
    tables.flush()?;
    tables.header.refcount_table_offset = at;
    tables.header.refcount_table_clusters = u32::try_from(table_clusters)?;
    tables.write_header()?;
    tables.flush()
}
