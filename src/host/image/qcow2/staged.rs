//! The tables that imago changed and that are not in the file yet.
//!
//! imago writes some of them at once and the rest when it is asked to, in an order that kill -9 or a power cut may leave
//! with tables that name clusters nobody counted. So all its writes wait here, by clusters, and go to the file in an
//! order that is safe to be cut short anywhere: first refcounts are only raised; then what needs them is linked, from
//! the tables up to the header; last, refcounts are lowered. What a crash leaves behind at worst is counted and not used.
//!
//! kill -9 leaves the file as the last write left it. A power cut may undo any write since the last barrier: against
//! that, version 3 has the dirty bit (refcounts may be wrong, who opens the image has to count again), which is set
//! before the first change and cleared at the end; version 2 gets a barrier around every change of refcounts.

use super::medium::read_or_zero;
use crate::host::image::qcow2_meta::header::{self, Header};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes of the header that say where the L1 table and the refcount table are.
const L1_FIELDS: Range<usize> = 36..48;
const REFCOUNT_FIELDS: Range<usize> = 48..60;
/// An image with more tables than this is not watched for entries that lead into its L2 tables.
const WATCHED: u64 = 1 << 20;

pub struct Staged {
    bits: u32,
    refcount_order: u32,
    /// By number of the cluster.
    clusters: BTreeMap<u64, Vec<u8>>,
    /// What is in the file: the refcount table, and where it and the L1 table are.
    refcount_table: Vec<u64>,
    /// Clusters of refcounts that it names.
    blocks: HashSet<u64>,
    refcount_clusters: Range<u64>,
    l1_clusters: Range<u64>,
    /// Clusters that hold no data.
    tables: HashSet<u64>,
    /// L2 tables that the file has; `None`: too many to know.
    linked: Option<HashSet<u64>>,
    /// Whether the dirty bit is set; `None`: there is no such bit.
    dirty: Option<bool>,
}

impl Staged {
    pub fn new(file: &fs::File, header: &Header) -> io::Result<Staged> {
        let cluster = header.cluster();
        let at = |offset: u64, bytes: u64| offset / cluster..(offset + bytes).div_ceil(cluster);
        let bytes = u64::from(header.refcount_table_clusters) << header.cluster_bits;
        let mut staged = Staged {
            bits: header.cluster_bits,
            refcount_order: header.refcount_order,
            clusters: BTreeMap::new(),
            refcount_table: numbers(file, header.refcount_table_offset, bytes)?,
            blocks: HashSet::new(),
            refcount_clusters: at(header.refcount_table_offset, bytes),
            l1_clusters: at(header.l1_offset, u64::from(header.l1_size) * 8),
            tables: HashSet::from([0]),
            linked: None,
            dirty: (header.version >= 3).then_some(header.incompatible & header::DIRTY != 0),
        };
        staged.blocks = named(&staged.refcount_table, staged.bits);
        // One block for many ranges could keep who looks for a free cluster busy for ever.
        if staged.refcount_table.iter().filter(|entry| **entry & header::OFFSET != 0).count() != staged.blocks.len() {
            return Err(corrupt("two entries of the refcount table name one block"));
        }
        staged.tables.extend(&staged.blocks);
        if u64::from(header.l1_size) < WATCHED {
            let l1 = numbers(file, header.l1_offset, u64::from(header.l1_size) * 8)?;
            let linked = named(&l1, staged.bits);
            staged.tables.extend(&linked);
            staged.linked = Some(linked);
        }
        staged.tables.extend(staged.refcount_clusters.clone().chain(staged.l1_clusters.clone()));
        Ok(staged)
    }

    fn cluster(&self) -> u64 {
        1 << self.bits
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> u64 {
        (self.clusters.len() as u64) << self.bits
    }

    /// Puts what waits over what was read from the file at `offset`.
    pub fn over(&self, offset: u64, to: &mut [u8]) {
        let end = offset.saturating_add(to.len() as u64);
        for (number, bytes) in self.clusters.range(offset >> self.bits..end.div_ceil(self.cluster())) {
            super::medium::overlay(offset, to, number << self.bits, bytes);
        }
    }

    /// imago writes.
    pub fn write(&mut self, file: &fs::File, offset: u64, from: &[u8]) -> io::Result<()> {
        let cluster = self.cluster();
        let numbers = offset >> self.bits..(offset + from.len() as u64).div_ceil(cluster);
        // It changes these by single entries and fields; a whole cluster is a new table, where there was no room.
        let fixed = |n| n == 0 || self.refcount_clusters.contains(&n) || self.l1_clusters.contains(&n);
        if from.len() as u64 >= cluster && numbers.clone().any(fixed) {
            return Err(corrupt("a refcount of 0 for a cluster that is in use"));
        }
        for number in numbers {
            let start = number << self.bits;
            let mut bytes = match self.clusters.remove(&number) {
                Some(bytes) => bytes,
                None => {
                    let mut bytes = vec![0; cluster as usize];
                    read_or_zero(file, start, &mut bytes)?;
                    bytes
                }
            };
            super::medium::overlay(start, &mut bytes, offset, from);
            self.clusters.insert(number, bytes);
            self.tables.insert(number);
        }
        Ok(())
    }

    /// An error unless `offset..offset + len` is free for data.
    pub fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut numbers = offset >> self.bits..offset.saturating_add(len).div_ceil(self.cluster());
        match numbers.find(|number| self.tables.contains(number)) {
            Some(number) => Err(corrupt(&format!("data at {:#x}, where a table is", number << self.bits))),
            None => Ok(()),
        }
    }

    /// These clusters are for data now. (A table that was there before is gone.)
    pub fn allot(&mut self, offset: u64, len: u64) -> io::Result<()> {
        for number in offset >> self.bits..(offset + len).div_ceil(self.cluster()) {
            let fixed = number == 0 || self.refcount_clusters.contains(&number) || self.l1_clusters.contains(&number);
            if fixed || self.blocks.contains(&number) {
                return Err(corrupt("a refcount of 0 for a cluster that is in use"));
            }
            self.clusters.remove(&number);
            self.tables.remove(&number);
            if let Some(linked) = &mut self.linked {
                linked.remove(&number);
            }
        }
        Ok(())
    }

    /// Whether the file, as it is, has a use for any of these clusters.
    pub fn in_use(&self, file: &fs::File, offset: u64, len: u64) -> io::Result<bool> {
        let per_block = (self.cluster() * 8) >> self.refcount_order;
        for number in offset >> self.bits..(offset + len) >> self.bits {
            let block =
                self.refcount_table.get((number / per_block) as usize).map_or(0, |entry| entry & header::OFFSET);
            if block == 0 {
                continue;
            }
            let bit = (number % per_block) << self.refcount_order;
            let mut count = vec![0; (1usize << self.refcount_order).div_ceil(8)];
            read_or_zero(file, block + bit / 8, &mut count)?;
            if count.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings all that waits to the file. After an error it waits still, and the file is good all the same.
    pub fn commit(&mut self, file: &fs::File) -> io::Result<()> {
        if self.clusters.is_empty() {
            return Ok(());
        }
        self.mark(file, true)?;
        let careful = self.dirty.is_none();
        let mut out = Ordered { file, bits: self.bits, written: false };
        let head = self.clusters.get(&0).cloned();
        let (table, table_clusters) = self.new_refcount_table(file, head.as_deref())?;
        let blocks = named(&table, self.bits);

        // What nothing leads to yet can be written at any time.
        let l1: Vec<u64> = self.clusters.keys().filter(|n| self.l1_clusters.contains(n)).copied().collect();
        let fixed =
            |n: &u64| *n == 0 || blocks.contains(n) || table_clusters.contains(n) || self.l1_clusters.contains(n);
        let (new, linked): (Vec<u64>, Vec<u64>) = self
            .clusters
            .keys()
            .filter(|number| !fixed(number))
            .partition(|number| self.linked.as_ref().is_some_and(|linked| !linked.contains(number)));
        for number in &new {
            out.write(*number, self.bytes(*number))?;
        }
        out.barrier()?;

        let mut lower = Vec::new();
        for (number, bytes) in self.clusters.iter().filter(|(number, _)| blocks.contains(number)) {
            let mut raised = bytes.clone();
            if self.blocks.contains(number) {
                let mut old = vec![0; bytes.len()];
                read_or_zero(file, number << self.bits, &mut old)?;
                raise(&mut raised, &old, self.refcount_order);
            }
            out.write(*number, &raised)?;
            if raised != *bytes {
                lower.push(*number);
            }
        }
        if careful {
            out.barrier()?;
        }
        for (number, bytes) in self.clusters.iter().filter(|(number, _)| table_clusters.contains(number)) {
            out.write(*number, bytes)?;
        }
        if let Some(fields) = head.as_ref().and_then(|head| head.get(REFCOUNT_FIELDS)) {
            out.barrier()?;
            out.fields(REFCOUNT_FIELDS, fields)?;
        }
        if careful {
            out.barrier()?;
        }
        (self.refcount_table, self.refcount_clusters, self.blocks) = (table, table_clusters, blocks);

        for number in &linked {
            out.write(*number, self.bytes(*number))?;
        }
        if careful || self.linked.is_none() && !l1.is_empty() {
            out.barrier()?;
        }
        for number in &l1 {
            out.write(*number, self.bytes(*number))?;
        }
        if let Some(head) = &head {
            out.barrier()?;
            out.fields(L1_FIELDS, head.get(L1_FIELDS).unwrap_or_default())?;
            self.l1_clusters = l1_of(head, self.bits).unwrap_or(self.l1_clusters.clone());
        }
        if careful && !lower.is_empty() {
            out.barrier()?;
        }
        for number in &lower {
            out.write(*number, self.bytes(*number))?;
        }
        if let Some(linked) = &mut self.linked {
            linked.extend(new);
        }
        self.clusters.clear();
        Ok(())
    }

    fn bytes(&self, number: u64) -> &[u8] {
        self.clusters.get(&number).map(Vec::as_slice).unwrap_or_default()
    }

    /// Sets the dirty bit, for good, or clears it.
    pub fn mark(&mut self, file: &fs::File, dirty: bool) -> io::Result<()> {
        if self.dirty.is_none_or(|now| now == dirty) {
            return Ok(());
        }
        let mut bits = [0; 8];
        file.read_exact_at(&mut bits, header::INCOMPATIBLE)?;
        let others = u64::from_be_bytes(bits) & !header::DIRTY;
        let bits = others | if dirty { header::DIRTY } else { 0 };
        file.write_all_at(&bits.to_be_bytes(), header::INCOMPATIBLE)?;
        if dirty {
            file.sync_data()?;
        }
        self.dirty = Some(dirty);
        Ok(())
    }

    /// The refcount table as it will be, and its clusters.
    fn new_refcount_table(&self, file: &fs::File, head: Option<&[u8]>) -> io::Result<(Vec<u64>, Range<u64>)> {
        let fields = head.and_then(|head| Some((number(head, 48)?, *head.get(56..60)?.first_chunk::<4>()?)));
        let clusters = match fields {
            Some((offset, count)) => {
                let start = offset >> self.bits;
                start..start.saturating_add(u64::from(u32::from_be_bytes(count)))
            }
            None => self.refcount_clusters.clone(),
        };
        if clusters == self.refcount_clusters && self.clusters.range(clusters.clone()).next().is_none() {
            return Ok((self.refcount_table.clone(), clusters));
        }
        let mut bytes = vec![0; ((clusters.end - clusters.start) << self.bits) as usize];
        let offset = clusters.start << self.bits;
        read_or_zero(file, offset, &mut bytes)?;
        self.over(offset, &mut bytes);
        Ok((bytes.chunks_exact(8).filter_map(|entry| number(entry, 0)).collect(), clusters))
    }
}

/// The clusters that a table's entries lead to.
fn named(table: &[u64], bits: u32) -> HashSet<u64> {
    table.iter().map(|entry| (entry & header::OFFSET) >> bits).filter(|number| *number != 0).collect()
}

fn l1_of(head: &[u8], bits: u32) -> Option<Range<u64>> {
    let entries = u32::from_be_bytes(*head.get(L1_FIELDS)?.first_chunk()?);
    let offset = number(head, 40)?;
    Some(offset >> bits..offset.checked_add(u64::from(entries) * 8)?.div_ceil(1 << bits))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn numbers(file: &fs::File, offset: u64, len: u64) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; len as usize];
    read_or_zero(file, offset, &mut bytes)?;
    Ok(bytes.chunks_exact(8).filter_map(|entry| number(entry, 0)).collect())
}

/// Makes every refcount in `block` at least what it is in `old`.
fn raise(block: &mut [u8], old: &[u8], order: u32) {
    if order >= 3 {
        let width = 1 << (order - 3);
        for (new, old) in block.chunks_exact_mut(width).zip(old.chunks_exact(width)) {
            // Big-endian numbers are in the order of their bytes.
            if *old > *new {
                new.copy_from_slice(old);
            }
        }
        return;
    }
    let (bits, mask) = (1 << order, ((1u16 << (1 << order)) - 1) as u8);
    for (new, old) in block.iter_mut().zip(old) {
        let most = |shift: u32| ((*new >> shift) & mask).max((old >> shift) & mask) << shift;
        *new = (0..8).step_by(bits).map(|shift| most(shift as u32)).fold(0, |all, part| all | part);
    }
}

pub fn corrupt(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the qcow2 image is corrupt: {what}"))
}

/// Writes, with barriers between that a crash of the host respects.
struct Ordered<'a> {
    file: &'a fs::File,
    bits: u32,
    written: bool,
}

impl Ordered<'_> {
    fn write(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        self.written = true;
        self.file.write_all_at(bytes, number << self.bits)
    }

    /// Writes a part of the header.
    fn fields(&mut self, at: Range<usize>, bytes: &[u8]) -> io::Result<()> {
        self.written = true;
        self.file.write_all_at(bytes, at.start as u64)
    }

    fn barrier(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.written) { self.file.sync_data() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
