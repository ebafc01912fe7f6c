//! GUID partition tables. The second copy at the disk's end is taken where the first is broken.

use super::super::disk::Part;
use super::super::fields::{slice, u32_at, u64_at, uuid};
use super::{Partition, Scheme, Table};
use anyhow::{Context, Result, bail, ensure};
use flate2::Crc;

const SIGNATURE: &[u8] = b"EFI PART";
/// Sectors that disks are made with.
const SECTORS: [u64; 2] = [512, 4096];
/// Entries of a table; every tool makes 128.
const ENTRIES_MAX: u32 = 1024;
const ENTRY_MAX: u32 = 4096;

pub fn read(disk: &Part) -> Result<Option<Table>> {
    let mut broken = None;
    for sector in SECTORS {
        let Some(last) = (disk.len / sector).checked_sub(1).filter(|last| *last >= 2) else { continue };
        for lba in [1, last] {
            let header = disk.bytes(lba * sector, 512)?;
            if !header.starts_with(SIGNATURE) {
                continue;
            }
            let which = if lba == 1 { "primary" } else { "backup" };
            match table(disk, &header, lba, sector) {
                Ok(partitions) => {
                    let remarks = if lba == 1 { None } else { broken.or(Some("GPT: no primary header".to_string())) };
                    let remarks = remarks.map(|r| format!("{r}; the backup is used")).into_iter().collect();
                    return Ok(Some(Table { scheme: Scheme::Gpt, partitions, remarks }));
                }
                Err(e) => broken = Some(broken.map_or(String::new(), |b| b + "; ") + &format!("GPT: {which} {e:#}")),
            }
        }
    }
    match broken {
        Some(e) => bail!("{e}"),
        None => Ok(None),
    }
}

fn crc(bytes: &[&[u8]]) -> u32 {
    let mut crc = Crc::new();
    bytes.iter().for_each(|b| crc.update(b));
    crc.sum()
}

/// UEFI 2.10, table 5.5 and 5.6.
fn table(disk: &Part, header: &[u8], lba: u64, sector: u64) -> Result<Vec<Partition>> {
    let size = u32_at(header, 12)?;
    ensure!((92..=512).contains(&size), "header: its size is {size}");
    let size = size as usize;
    let sum = crc(&[slice(header, 0, 16)?, &[0; 4], slice(header, 20, size - 20)?]);
    ensure!(sum == u32_at(header, 16)?, "header: its checksum is wrong");
    let own = u64_at(header, 24)?;
    ensure!(own == lba, "header: it says it is at sector {own}, and is at {lba}");
    let (at, number, each) = (u64_at(header, 72)?, u32_at(header, 80)?, u32_at(header, 84)?);
    ensure!(number <= ENTRIES_MAX, "header: {number} entries are more than {ENTRIES_MAX}");
    ensure!((128..=ENTRY_MAX).contains(&each) && each.is_power_of_two(), "header: an entry of {each} bytes");
    let at = at.checked_mul(sector).context("header: its entries are beyond the disk")?;
    let entries = disk.bytes(at, number as usize * each as usize).context("entries")?;
    ensure!(crc(&[&entries]) == u32_at(header, 88)?, "entries: their checksum is wrong");
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(each as usize)) {
        let id = slice(entry, 16, 16)?;
        if slice(entry, 0, 16)? == [0; 16] {
            continue;
        }
        let (first, last) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
        let len = last.checked_sub(first).and_then(|n| n.checked_add(1)).and_then(|n| n.checked_mul(sector));
        let start = first.checked_mul(sector);
        let place = start.zip(len).filter(|(start, len)| disk.part(*start, *len).is_some());
        let (start, len) =
            place.with_context(|| format!("partition {number}: sectors {first} to {last} are not on the disk"))?;
        found.push(Partition { number, start, len, uuid: guid(id) });
    }
    Ok(found)
}

/// The first three fields of a GUID are little endian.
fn guid(bytes: &[u8]) -> String {
    const ORDER: [usize; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let ordered: Vec<u8> = ORDER.iter().filter_map(|i| bytes.get(*i).copied()).collect();
    uuid(&ordered)
}
