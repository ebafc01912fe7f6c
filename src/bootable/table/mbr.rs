//! The partition table of the master boot record: four primary partitions, and logical ones that are chained.

use super::super::disk::Part;
use super::super::fields::{slice, u8_at, u32_at};
use super::{Partition, Scheme, Table};
use anyhow::Result;

const SECTOR: u64 = 512;
/// Where the four entries are, of 16 bytes each.
const ENTRIES: usize = 0x1be;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// More logical partitions than this are not looked at.
const LOGICAL_MAX: u32 = 60;
/// Types of partitions that hold a chain of others.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

struct Entry {
    kind: u8,
    first: u64,
    sectors: u64,
}

pub fn is(sector: &[u8]) -> bool {
    let Ok(entries) = slice(sector, ENTRIES, 64) else { return false };
    let sound = entries.chunks_exact(16).all(|e| matches!(e.first(), Some(0 | 0x80)));
    let used = entries.chunks_exact(16).any(|e| e.get(4).is_some_and(|kind| *kind != 0));
    slice(sector, 510, 2).is_ok_and(|s| s == SIGNATURE) && sound && used
}

pub fn read(disk: &Part) -> Result<Option<Table>> {
    if disk.len < SECTOR {
        return Ok(None);
    }
    let sector = disk.bytes(0, 512)?;
    if !is(&sector) {
        return Ok(None);
    }
    let disk_id = u32_at(&sector, 0x1b8)?;
    let mut found = Found { disk, disk_id, table: Table { scheme: Scheme::Mbr, partitions: vec![], remarks: vec![] } };
    let mut extended = None;
    for (number, entry) in (1..).zip(entries(&sector)?) {
        match EXTENDED.contains(&entry.kind) {
            true => extended = extended.or(Some(entry.first)),
            false => found.add(number, entry.first, &entry),
        }
    }
    if let Some(base) = extended
        && let Err(e) = found.chain(base)
    {
        found.table.remarks.push(format!("partition table: a logical partition: {e:#}"));
    }
    Ok(Some(found.table))
}

fn entries(sector: &[u8]) -> Result<Vec<Entry>> {
    let entry = |bytes: &[u8]| {
        Ok(Entry { kind: u8_at(bytes, 4)?, first: u32_at(bytes, 8)?.into(), sectors: u32_at(bytes, 12)?.into() })
    };
    slice(sector, ENTRIES, 64)?.chunks_exact(16).map(entry).collect()
}

struct Found<'a> {
    disk: &'a Part<'a>,
    disk_id: u32,
    table: Table,
}

impl Found<'_> {
    fn add(&mut self, number: u32, first: u64, entry: &Entry) {
        if entry.kind == 0 || entry.sectors == 0 {
            return;
        }
        let (start, mut len) = (first * SECTOR, entry.sectors * SECTOR);
        if self.disk.part(start, len).is_none() {
            // Images are cut after the last thing in use, and hybrid ISOs have a table that only has to please a BIOS.
            let remark = format!("partition {number}: reaches beyond the disk");
            self.table.remarks.push(remark);
            let Some(rest) = self.disk.len.checked_sub(start) else { return };
            len = rest;
        }
        let uuid = format!("{:08x}-{number:02x}", self.disk_id);
        self.table.partitions.push(Partition { number, start, len, uuid });
    }

    /// Each link has a partition, relative to the link, and the next link, relative to the first.
    fn chain(&mut self, base: u64) -> Result<()> {
        let mut link = base;
        for number in 5..5 + LOGICAL_MAX {
            let sector = self.disk.bytes(link * SECTOR, 512)?;
            if slice(&sector, 510, 2)? != SIGNATURE {
                break;
            }
            let mut next = None;
            for entry in entries(&sector)?.iter().take(2) {
                match EXTENDED.contains(&entry.kind) {
                    true => next = Some(base.saturating_add(entry.first)),
                    false => self.add(number, link.saturating_add(entry.first), entry),
                }
            }
            // A chain only goes forward, so that it ends.
            match next.filter(|next| *next > link) {
                Some(next) => link = next,
                None => break,
            }
        }
        Ok(())
    }
}
