//! What is done with an image while no guest has it: looked at, made, copied, checked, resized, its snapshots.

pub mod check;
mod copy;
mod info;
mod new;
mod output;

pub use copy::convert;
pub use info::{Info, info};
pub use new::{Plan, create};

use super::qcow2_meta::tables::Tables;
use super::qcow2_meta::{header, resize as tables_resize, snapshot};
use super::{Format, How, Kind, Writes, chain, file, lock, open};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// An internal snapshot, for people.
pub struct Snapshot {
    pub id: String,
    pub name: String,
    pub date: SystemTime,
    /// Bytes of the disk then.
    pub size: Option<u64>,
    /// Bytes of a guest's saved memory and devices.
    pub state: u64,
}

/// Opens an image's file alone, and locks it as a guest would.
fn alone(path: &Path, format: Format, writable: bool) -> Result<(fs::File, Kind)> {
    let (file, meta) = if writable { file::open_writable(path)? } else { file::open_readonly(path)? };
    file::length(&file, path, &meta)?;
    let kind = match format {
        Format::Auto => chain::probe(&file, path)?,
        Format::Known(kind) => kind,
    };
    lock::lock(&file, path, writable)?;
    Ok((file, kind))
}

fn tables(path: &Path, format: Format, writable: bool) -> Result<Tables> {
    let (file, kind) = alone(path, format, writable)?;
    ensure!(kind == Kind::Qcow2, "open {}: {kind} images have no snapshots", path.display());
    Tables::open(file, path)
}

fn listed(tables: &Tables) -> Vec<Snapshot> {
    let one = |s: &snapshot::Snapshot| Snapshot {
        id: s.id.clone(),
        name: s.name.clone(),
        date: s.date,
        size: s.size,
        state: s.state,
    };
    tables.snapshots.iter().map(one).collect()
}

pub fn snapshots(path: &Path, format: Format) -> Result<Vec<Snapshot>> {
    Ok(listed(&tables(path, format, false)?))
}

pub fn create_snapshot(path: &Path, format: Format, name: &str) -> Result<()> {
    snapshot::create(&mut tables(path, format, true)?, name)
}

pub fn apply_snapshot(path: &Path, format: Format, name: &str) -> Result<()> {
    snapshot::apply(&mut tables(path, format, true)?, name)
}

pub fn delete_snapshot(path: &Path, format: Format, name: &str) -> Result<()> {
    snapshot::delete(&mut tables(path, format, true)?, name)
}

/// Gives the disk another size, which `wanted` makes of the old one; says both. What is cut off by `shrink` is gone.
pub fn resize(
    path: &Path,
    format: Format,
    shrink: bool,
    wanted: impl FnOnce(u64) -> Result<u64>,
) -> Result<(u64, u64)> {
    let (file, kind) = alone(path, format, true)?;
    let name = path.display();
    let meta = file.metadata().with_context(|| format!("look at {name}"))?;
    let allowed = |old: u64| -> Result<u64> {
        let new = wanted(old)?;
        ensure!(new > 0 && i64::try_from(new).is_ok(), "resize {name}: {new} bytes are no size for a disk");
        let smaller = "is less than it has, and what is behind would be lost; `--shrink` does it all the same";
        ensure!(new >= old || shrink, "resize {name}: {new} bytes: that {smaller}");
        Ok(new)
    };
    match kind {
        Kind::Raw => {
            ensure!(meta.is_file(), "resize {name}: it is a device, whose size is not kiln's to change");
            let old = meta.len();
            let new = allowed(old)?;
            file.set_len(new).and_then(|()| file.sync_all()).with_context(|| format!("resize {name}"))?;
            Ok((old, new))
        }
        Kind::Qcow2 => {
            let mut tables = Tables::open(file, path)?;
            let old = tables.header.size;
            let new = allowed(old)?;
            let (cluster, backed) = (tables.header.cluster(), tables.header.backing.is_some());
            let zstd = tables.header.incompatible & (header::COMPRESSION | header::EXTENDED_L2) != 0;
            let shows = new > old && (backed || old % cluster != 0);
            ensure!(!(shows && zstd), "resize {name}: kiln only reads images like this one (zstd or extended L2)");
            tables_resize::resize(&mut tables, new)?;
            drop(tables);
            if shows {
                // The rest of the last cluster, or a longer backing file, must not come to light.
                let end = if backed { new } else { old.next_multiple_of(cluster).min(new) };
                zero(path, old, end).with_context(|| format!("resize {name}: make what is new zero"))?;
            }
            Ok((old, new))
        }
        kind => bail!("resize {name}: kiln only reads {kind} images; `kiln image convert` makes another of it"),
    }
}

fn zero(path: &Path, from: u64, end: u64) -> Result<()> {
    let how = How { format: Format::Known(Kind::Qcow2), readonly: false, direct: false, writes: Writes::Image };
    let image = open(path, &how)?;
    let end = end.min(image.size());
    image.write_zeroes(from, end.saturating_sub(from), true)?;
    Ok(image.flush()?)
}

#[cfg(test)]
mod tests;
