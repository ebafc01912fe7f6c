//! The clusters of persistent bitmaps (which sectors a backup has), so that nobody takes them for lost. Bitmaps
//! themselves are not changed here.

use super::header;
use super::tables::Tables;
use crate::host::image::source::Fields;
use anyhow::Result;
use std::fmt;

/// QEMU's limits: bitmaps of an image, bytes of their directory, entries of a table.
const MAX: u32 = 65535;
const MAX_DIRECTORY: u64 = 1024 * 65535;
const MAX_TABLE: u64 = 1 << 20;
/// Bytes of an entry before its extra data and name.
const ENTRY: usize = 24;

/// Tells `each` every stretch of the file that bitmaps use, or what is wrong.
pub fn walk(tables: &Tables, mut each: impl FnMut(u64, u64, Option<fmt::Arguments>)) -> Result<()> {
    let Some((at, len)) = tables.header.bitmaps.filter(|_| tables.header.autoclear & header::BITMAPS != 0) else {
        return Ok(());
    };
    let extension = tables.read(at, 24)?;
    let extension = Fields(&extension);
    let (count, size, directory) = (extension.be32(0), extension.be64(8), extension.be64(16));
    if len != 24 || count > MAX || size > MAX_DIRECTORY {
        each(0, 0, Some(format_args!("bitmaps extension: {count} bitmaps in {size} bytes")));
        return Ok(());
    }
    each(directory, size, None);
    let bytes = tables.read(directory, size as usize)?;
    let mut at = 0usize;
    for i in 0..count {
        let entry = Fields(bytes.get(at..).unwrap_or_default());
        let (table, entries) = (entry.be64(0), u64::from(entry.be32(8)));
        if entry.0.len() < ENTRY || entries > MAX_TABLE {
            each(0, 0, Some(format_args!("bitmap directory: entry {i}: bitmap_table_size: {entries}")));
            return Ok(());
        }
        each(table, entries * 8, None);
        let cluster = tables.header.cluster();
        for entry in tables.numbers(table, entries as usize)? {
            match entry & header::OFFSET {
                0 => {}
                data if data % cluster != 0 => {
                    each(0, 0, Some(format_args!("bitmap {i}: {data:#x} is not the place of a cluster")));
                }
                data => each(data, cluster, None),
            }
        }
        let (name, extra) = (usize::from(entry.be16(18)), entry.be32(20) as usize);
        at = at.saturating_add(ENTRY + name).saturating_add(extra).next_multiple_of(8);
    }
    Ok(())
}
