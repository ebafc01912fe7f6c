//! Another size for the disk of a qcow2 image.

use super::header;
use super::snapshot::{copy_l1, place};
use super::tables::{Tables, packed};
use anyhow::{Result, ensure};

/// QEMU's limit: bytes of an L1 table.
const MAX_L1: u64 = 32 << 20;

/// The bytes that are new read as zero; when the disk becomes smaller, what was behind its end is gone.
pub fn resize(tables: &mut Tables, size: u64) -> Result<()> {
    let name = tables.name().to_string();
    let span = tables.header.span();
    let entries = size.div_ceil(span);
    ensure!(entries * 8 <= MAX_L1, "resize {name}: {size} bytes are too many for its clusters");
    let mut taken = tables.sound()?;
    let mut roots = tables.roots();
    // Snapshots of version 2 do not keep the disk's size (qcow2's specification, "Snapshots"), so QEMU takes it that all have this one.
    let one_size = tables.header.version == 2 && !tables.snapshots.is_empty();
    ensure!(
        size == roots.size || !one_size,
        "resize {name}: its snapshots do not tell their size (it is of version 2, compat=0.10); delete them first"
    );
    if size < roots.size {
        ensure!(tables.snapshots.is_empty(), "resize {name}: its snapshots want it larger; delete them first");
        roots.l1 = cut(tables, &mut taken, size)?;
    } else if entries > u64::from(roots.l1.entries) {
        roots.l1 = copy_l1(tables, &mut taken, roots.l1, entries as u32)?;
    }
    roots.size = size;
    tables.flush()?;
    tables.change(&roots)
}

/// An L1 table without what is behind `size`.
fn cut(tables: &Tables, taken: &mut Vec<u32>, size: u64) -> Result<super::tables::L1> {
    let head = &tables.header;
    let mut roots = tables.roots().l1;
    let mut table = tables.l1(roots)?;
    table.truncate(size.div_ceil(head.span()) as usize);
    // The table that the new end is in, without its last entries.
    let kept = size % head.span();
    if let Some(last) = table.last_mut().filter(|last| kept != 0 && **last & header::OFFSET != 0) {
        let mut l2 = tables.numbers(*last & header::OFFSET, (head.cluster() / 8) as usize)?;
        let entries = kept.div_ceil(head.cluster()) * head.l2_entry() / 8;
        l2.get_mut(entries as usize..).unwrap_or_default().fill(0);
        *last = place(tables, taken, packed(&l2))?;
    }
    table.iter_mut().for_each(|entry| *entry &= !header::COPIED);
    roots.entries = table.len() as u32;
    roots.at = place(tables, taken, packed(&table))?;
    Ok(roots)
}
