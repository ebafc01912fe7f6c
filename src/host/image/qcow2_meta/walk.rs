//! Counts what refers to each cluster of the file. A table that many refer to is read once, so the time this takes is
//! bounded by the size of the file, whatever the tables say. What is counted as wrong is what QEMU counts.

use super::bitmaps;
use super::header;
use super::tables::{L1, Roots, Tables};
use anyhow::{Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Display;

/// Bits of entries that nothing is defined for.
const L1_RESERVED: u64 = 0x7f00_0000_0000_01ff;
const L2_RESERVED: u64 = 0x3f00_0000_0000_01fe;
const REFCOUNT_TABLE_RESERVED: u64 = 0x1ff;
/// What is kept of what was found; all of it is counted.
const TOLD: usize = 50;

/// What a cluster is used for, as bits.
pub mod kind {
    pub const HEADER: u8 = 1;
    pub const REFCOUNT_TABLE: u8 = 2;
    pub const REFCOUNT_BLOCK: u8 = 4;
    pub const L1: u8 = 8;
    pub const L2: u8 = 16;
    pub const SNAPSHOTS: u8 = 32;
    pub const DATA: u8 = 64;
    pub const BITMAPS: u8 = 128;
    /// Those that have one use only.
    pub const SINGLE: u8 = HEADER | REFCOUNT_TABLE | REFCOUNT_BLOCK | SNAPSHOTS;
}

/// What is found, for people.
#[derive(Debug, Default)]
pub struct Found(pub Vec<String>);

impl Found {
    pub fn add(&mut self, what: impl Display) {
        if self.0.len() < TOLD {
            self.0.push(what.to_string());
        }
    }
}

pub struct Walk<'a> {
    tables: &'a Tables,
    len: u64,
    most: u64,
    pub counts: Vec<u32>,
    kinds: Vec<u8>,
    /// Entries that are wrong.
    pub corruptions: u64,
    /// The refcount table or a block of it cannot stay.
    pub broken_refcounts: bool,
    pub found: Found,
}

/// Counts all references of an image that has these roots.
pub fn walk<'a>(tables: &'a Tables, roots: &Roots) -> Result<Walk<'a>> {
    let clusters = tables.clusters()?;
    let mut walk = Walk {
        tables,
        len: tables.len()?,
        most: most(tables.header.refcount_order),
        counts: vec![0; clusters],
        kinds: vec![0; clusters],
        corruptions: 0,
        broken_refcounts: false,
        found: Found::default(),
    };
    let head = &tables.header;
    walk.refer(0, head.cluster(), kind::HEADER, 1);
    walk.l1_tables(roots)?;
    walk.refer(roots.table.0, roots.table.1, kind::SNAPSHOTS, 1);
    bitmaps::walk(tables, |at, len, wrong| match wrong {
        Some(what) => walk.wrong(1, what),
        None => walk.refer(at, len, kind::BITMAPS, 1),
    })?;
    walk.refcount_blocks()?;
    Ok(walk)
}

/// The largest refcount.
pub fn most(order: u32) -> u64 {
    u64::MAX >> (64 - (1u32 << order.min(6)))
}

impl Walk<'_> {
    fn wrong(&mut self, times: u32, what: impl Display) {
        self.corruptions = self.corruptions.saturating_add(times.into());
        self.found.add(what);
    }

    /// `len` bytes at `at` are used `times` times.
    pub fn refer(&mut self, at: u64, len: u64, kind: u8, times: u32) {
        if len == 0 {
            return;
        }
        let cluster = self.tables.header.cluster();
        let end = at.saturating_add(len);
        // The last cluster need not be there as a whole.
        if end.saturating_sub(self.len) >= cluster && end > self.len {
            return self.wrong(times, format_args!("{len} bytes at {at:#x} are beyond the end of the file"));
        }
        let clusters = (at / cluster) as usize..end.div_ceil(cluster) as usize;
        if clusters.end > self.counts.len() {
            self.counts.resize(clusters.end, 0);
            self.kinds.resize(clusters.end, 0);
        }
        let mut over = 0;
        for (n, count) in self.counts.get_mut(clusters.clone()).unwrap_or_default().iter_mut().enumerate() {
            let room = self.most.saturating_sub((*count).into()).min(u64::from(u32::MAX - *count)) as u32;
            *count += times.min(room);
            over += times.saturating_sub(room);
            if times > room {
                self.found.add(format_args!("cluster {} has more users than a refcount can say", clusters.start + n));
            }
        }
        self.corruptions += u64::from(over);
        self.kinds.get_mut(clusters).unwrap_or_default().iter_mut().for_each(|k| *k |= kind);
    }

    fn l1_tables(&mut self, roots: &Roots) -> Result<()> {
        let mut l1s: BTreeMap<L1, u32> = BTreeMap::new();
        *l1s.entry(roots.l1).or_default() += 1;
        for (i, l1) in roots.snapshots.iter().enumerate() {
            if l1.at % self.tables.header.cluster() != 0 {
                self.wrong(1, format_args!("snapshot {i}: L1 table at {:#x}: not the place of a cluster", l1.at));
            } else {
                *l1s.entry(*l1).or_default() += 1;
            }
        }
        // Tables that do not overlap all have room in the file.
        let all: u64 = l1s.keys().map(|l1| u64::from(l1.entries) * 8).sum();
        ensure!(all <= self.len.saturating_add(1 << 25), "check {}: its L1 tables overlap", self.tables.name());
        let mut l2s: BTreeMap<u64, u32> = BTreeMap::new();
        for (l1, times) in l1s {
            if l1.entries == 0 {
                continue;
            }
            self.refer(l1.at, u64::from(l1.entries) * 8, kind::L1, times);
            for (i, entry) in self.tables.l1(l1)?.into_iter().enumerate().filter(|(_, entry)| *entry != 0) {
                if entry & L1_RESERVED != 0 {
                    self.wrong(times, format_args!("L1 table at {:#x}: entry {i}: {entry:#x}: reserved bits", l1.at));
                }
                let at = entry & header::OFFSET;
                self.refer(at, self.tables.header.cluster(), kind::L2, times);
                if !at.is_multiple_of(self.tables.header.cluster()) {
                    self.wrong(
                        times,
                        format_args!("L1 table at {:#x}: entry {i}: {at:#x} is no cluster's place", l1.at),
                    );
                }
                if at < self.len {
                    let sum = l2s.entry(at).or_default();
                    *sum = sum.saturating_add(times);
                }
            }
        }
        l2s.into_iter().try_for_each(|(at, times)| self.l2_table(at, times))
    }

    fn l2_table(&mut self, table: u64, times: u32) -> Result<()> {
        let head = &self.tables.header;
        let numbers = self.tables.numbers(table, (head.cluster() / 8) as usize)?;
        for (i, entry) in numbers.chunks(head.l2_entry() as usize / 8).enumerate() {
            let (entry, bitmap) = (entry.first().copied().unwrap_or(0), entry.get(1).copied().unwrap_or(0));
            if entry | bitmap != 0 {
                self.entry(table, i, entry, bitmap, times);
            }
        }
        Ok(())
    }

    fn entry(&mut self, table: u64, i: usize, entry: u64, bitmap: u64, times: u32) {
        let head = &self.tables.header;
        let (cluster, extended, packed) = (head.cluster(), head.extended(), head.packed(entry));
        let name = format_args!("L2 table at {table:#x}: entry {i}: {entry:#x}");
        if entry & header::COMPRESSED != 0 {
            if entry & header::COPIED != 0 {
                self.wrong(times, format_args!("{name}: a compressed cluster that is marked as copied"));
            }
            if bitmap != 0 {
                return self.wrong(times, format_args!("{name}: a compressed cluster that has subclusters"));
            }
            return self.refer(packed.0, packed.1, kind::DATA, times);
        }
        if entry & L2_RESERVED != 0 {
            self.wrong(times, format_args!("{name}: reserved bits"));
        }
        let at = entry & header::OFFSET;
        if at == 0 {
            if extended && bitmap as u32 != 0 {
                self.wrong(times, format_args!("{name}: subclusters are stored, but the cluster has no place"));
            }
            return;
        }
        if extended && bitmap >> 32 & bitmap != 0 {
            self.wrong(times, format_args!("{name}: subclusters that are both stored and zero"));
        }
        if !at.is_multiple_of(cluster) {
            self.wrong(times, format_args!("{name}: {at:#x} is not the place of a cluster"));
        }
        self.refer(at, cluster, kind::DATA, times);
    }

    fn refcount_blocks(&mut self) -> Result<()> {
        let head = &self.tables.header;
        let (at, cluster) = (head.refcount_table_offset, head.cluster());
        let len = u64::from(head.refcount_table_clusters) << head.cluster_bits;
        self.refer(at, len, kind::REFCOUNT_TABLE, 1);
        let table = (at / cluster) as usize..((at + len) / cluster) as usize;
        let alone = |kinds: &[u8], only: u8| kinds.iter().all(|k| *k == only);
        self.broken_refcounts |= !alone(self.kinds.get(table).unwrap_or_default(), kind::REFCOUNT_TABLE);
        for (i, entry) in self.tables.numbers(at, (len / 8) as usize)?.into_iter().enumerate() {
            if entry == 0 {
                continue;
            }
            let name = format_args!("refcount table: entry {i}: {entry:#x}");
            let number = (entry / cluster) as usize;
            if entry & REFCOUNT_TABLE_RESERVED != 0 || entry % cluster != 0 {
                self.wrong(1, format_args!("{name}: not the place of a cluster"));
            } else if number >= self.counts.len() {
                self.wrong(1, format_args!("{name}: beyond the end of the file"));
            } else {
                let before = self.corruptions;
                self.refer(entry, cluster, kind::REFCOUNT_BLOCK, 1);
                self.broken_refcounts |= self.corruptions != before;
                self.broken_refcounts |= self.kinds.get(number) != Some(&kind::REFCOUNT_BLOCK);
                if self.counts.get(number) == Some(&1) {
                    continue;
                }
                self.wrong(1, format_args!("{name}: something else uses the same cluster"));
            }
            self.broken_refcounts = true;
        }
        Ok(())
    }

    /// Clusters that are used for two things at once.
    pub fn overlaps(&mut self) -> u64 {
        let mut overlaps = 0;
        for (n, (kinds, count)) in self.kinds.iter().zip(&self.counts).enumerate() {
            if kinds.count_ones() > 1 || (kinds & kind::SINGLE != 0 && *count > 1) {
                overlaps += 1;
                self.found.add(format_args!("cluster {n} is used for {}", names(*kinds)));
            }
        }
        overlaps
    }
}

fn names(kinds: u8) -> String {
    const NAMES: [&str; 8] =
        ["the header", "the refcount table", "refcounts", "an L1 table", "an L2 table", "snapshots", "data", "bitmaps"];
    let names: Vec<&str> = (0..).zip(NAMES).filter(|(bit, _)| kinds >> bit & 1 != 0).map(|(_, name)| name).collect();
    if names.len() == 1 { format!("{} twice", names.join("")) } else { names.join(" and ") }
}
