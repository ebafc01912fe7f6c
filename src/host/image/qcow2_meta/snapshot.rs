//! Internal snapshots: L1 tables that are kept, and the table that lists them.

use super::header::{self, Header, MAX_SNAPSHOTS};
use super::tables::{L1, Roots, Tables, packed};
use crate::host::image::source::{Fields, Source};
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of an entry before its extra data, ID and name.
const ENTRY: usize = 40;
/// QEMU's limits: bytes of the table, of an entry's extra data, of an L1 table.
const MAX_TABLE: usize = 64 << 20;
const MAX_EXTRA: usize = 1024;
const MAX_L1: u64 = 32 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: String,
    pub name: String,
    pub l1: L1,
    pub date: SystemTime,
    /// Bytes of the disk then; `None`: as now (version 2 need not say).
    pub size: Option<u64>,
    /// Bytes of a guest's memory and devices that were saved with it.
    pub state: u64,
    /// The entry as it stands in the file.
    bytes: Vec<u8>,
}

/// All snapshots, and the bytes of their table.
pub fn read(source: &Source, header: &Header) -> Result<(Vec<Snapshot>, u64)> {
    let mut snapshots = Vec::new();
    let mut at = header.snapshots_offset;
    for i in 0..header.snapshots {
        let snapshot = entry(source, at).with_context(|| format!("entry {i}"))?;
        at = at.saturating_add(snapshot.bytes.len() as u64);
        let len = at.saturating_sub(header.snapshots_offset);
        ensure!(len <= MAX_TABLE as u64, "entry {i}: the table is larger than {MAX_TABLE} bytes");
        snapshots.push(snapshot);
    }
    Ok((snapshots, at.saturating_sub(header.snapshots_offset)))
}

fn entry(source: &Source, at: u64) -> Result<Snapshot> {
    let mut head = [0; ENTRY];
    source.exactly(at, &mut head)?;
    let head = Fields(&head);
    let (id, name, extra) = (usize::from(head.be16(12)), usize::from(head.be16(14)), head.be32(36) as usize);
    ensure!(extra <= MAX_EXTRA, "extra_data_size: {extra}, want {MAX_EXTRA} at most");
    let l1 = L1 { at: head.be64(0), entries: head.be32(8) };
    ensure!(u64::from(l1.entries) * 8 <= MAX_L1, "l1_size: {}, want {} at most", l1.entries, MAX_L1 / 8);
    let len = (ENTRY + extra + id + name).next_multiple_of(8);
    let mut bytes = vec![0; len];
    // The last entry need not be padded.
    let n = source.some(at, &mut bytes)?;
    ensure!(n >= ENTRY + extra + id + name, "the file ends within it");
    let text =
        |from: usize, len: usize| String::from_utf8_lossy(bytes.get(from..from + len).unwrap_or_default()).into_owned();
    let large = Fields(bytes.get(ENTRY..ENTRY + extra).unwrap_or_default());
    Ok(Snapshot {
        id: text(ENTRY + extra, id),
        name: text(ENTRY + extra + id, name),
        l1,
        date: UNIX_EPOCH + Duration::new(head.be32(16).into(), head.be32(20).min(999_999_999)),
        size: (extra >= 16).then(|| large.be64(8)),
        state: if extra >= 8 { large.be64(0) } else { head.be32(32).into() },
        bytes,
    })
}

impl Snapshot {
    /// As QEMU 5.0 and later write it.
    fn new(id: String, name: &str, l1: L1, size: u64) -> Result<Snapshot> {
        let date = SystemTime::now();
        let now = date.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut bytes = Vec::new();
        bytes.extend(l1.at.to_be_bytes());
        bytes.extend(l1.entries.to_be_bytes());
        bytes.extend(u16::try_from(id.len())?.to_be_bytes());
        bytes.extend(u16::try_from(name.len()).context("the name is too long")?.to_be_bytes());
        bytes.extend((now.as_secs() as u32).to_be_bytes());
        bytes.extend(now.subsec_nanos().to_be_bytes());
        // The guest's clock, and its saved state: there was no guest.
        bytes.extend([0; 12]);
        bytes.extend(24u32.to_be_bytes());
        bytes.extend(0u64.to_be_bytes());
        bytes.extend(size.to_be_bytes());
        // Instructions that were executed: not counted.
        bytes.extend(u64::MAX.to_be_bytes());
        bytes.extend(id.as_bytes());
        bytes.extend(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        Ok(Snapshot { id, name: name.to_string(), l1, date, size: Some(size), state: 0, bytes })
    }
}

/// Keeps the state of the disk as it is now.
pub fn create(tables: &mut Tables, name: &str) -> Result<()> {
    ensure!(!name.is_empty() && name.len() <= 255, "snapshot name: want 1 to 255 bytes");
    let image = tables.name().to_string();
    ensure!(find(tables, name).is_err(), "create snapshot {name}: {image} has one already");
    ensure!(tables.snapshots.len() < MAX_SNAPSHOTS as usize, "create snapshot {name}: {image} has too many");
    let mut taken = tables.sound()?;
    let mut roots = tables.roots();
    let l1 = copy_l1(tables, &mut taken, roots.l1, roots.l1.entries)?;
    let last = tables.snapshots.iter().filter_map(|s| s.id.parse::<u64>().ok()).max().unwrap_or(0);
    let snapshot = Snapshot::new(last.saturating_add(1).to_string(), name, l1, roots.size)?;
    let mut all = tables.snapshots.clone();
    all.push(snapshot);
    replace(tables, &taken, &mut roots, all)
}

/// Makes the disk what it was. The snapshot stays.
pub fn apply(tables: &mut Tables, name: &str) -> Result<()> {
    let snapshot = find(tables, name)?.clone();
    let image = tables.name().to_string();
    ensure!(
        tables.header.autoclear & header::BITMAPS == 0,
        "apply snapshot {name}: {image} has bitmaps, which would be wrong then (`qemu-img bitmap --remove`)"
    );
    let mut taken = tables.sound()?;
    let mut roots = tables.roots();
    roots.size = snapshot.size.unwrap_or(roots.size);
    ensure!(i64::try_from(roots.size).is_ok(), "apply snapshot {name}: disk size: {} bytes", roots.size);
    let entries = u64::from(snapshot.l1.entries).max(roots.size.div_ceil(tables.header.span()));
    ensure!(entries * 8 <= MAX_L1, "apply snapshot {name}: disk size: {} bytes are too many", roots.size);
    roots.l1 = copy_l1(tables, &mut taken, snapshot.l1, entries as u32)?;
    tables.change(&roots)
}

pub fn delete(tables: &mut Tables, name: &str) -> Result<()> {
    let id = find(tables, name)?.id.clone();
    let taken = tables.sound()?;
    let mut roots = tables.roots();
    let mut all = tables.snapshots.clone();
    all.retain(|snapshot| snapshot.id != id);
    replace(tables, &taken, &mut roots, all)
}

/// By name, else by ID.
pub fn find<'a>(tables: &'a Tables, name: &str) -> Result<&'a Snapshot> {
    let all = &tables.snapshots;
    if let Some(found) = all.iter().find(|s| s.name == name).or_else(|| all.iter().find(|s| s.id == name)) {
        return Ok(found);
    }
    let names: Vec<&str> = all.iter().map(|s| s.name.as_str()).collect();
    match names.is_empty() {
        true => bail!("{} has no snapshots", tables.name()),
        false => bail!("{} has no snapshot `{name}`, but {}", tables.name(), names.join(", ")),
    }
}

/// Another L1 table with the same entries, and none of them is the only user of what it points to.
pub fn copy_l1(tables: &Tables, taken: &mut Vec<u32>, from: L1, entries: u32) -> Result<L1> {
    let mut table = tables.l1(from)?;
    table.iter_mut().for_each(|entry| *entry &= !header::COPIED);
    table.resize(entries as usize, 0);
    let at = place(tables, taken, packed(&table))?;
    Ok(L1 { at, entries })
}

/// Writes bytes to clusters that are free, and takes them.
pub fn place(tables: &Tables, taken: &mut Vec<u32>, bytes: Vec<u8>) -> Result<u64> {
    let clusters = tables.clusters_of(bytes.len() as u64).max(1);
    let at = tables.free(taken, clusters)?;
    let first = (at / tables.header.cluster()) as usize;
    let end = first + clusters as usize;
    taken.resize(taken.len().max(end), 0);
    taken.get_mut(first..end).unwrap_or_default().fill(1);
    tables.write_clusters(at, if bytes.is_empty() { vec![0] } else { bytes })?;
    Ok(at)
}

/// Writes another snapshot table and goes on with it.
fn replace(tables: &mut Tables, taken: &[u32], roots: &mut Roots, all: Vec<Snapshot>) -> Result<()> {
    let bytes = all.iter().flat_map(|s| s.bytes.iter().copied()).collect::<Vec<u8>>();
    let len = bytes.len() as u64;
    ensure!(len <= MAX_TABLE as u64, "change {}: its snapshot table gets too large", tables.name());
    roots.table = if len == 0 { (0, 0) } else { (place(tables, &mut taken.to_vec(), bytes)?, len) };
    roots.snapshots = all.iter().map(|s| s.l1).collect();
    tables.flush()?;
    tables.change(roots)?;
    tables.snapshots = all;
    tables.snapshots_len = len;
    Ok(())
}
