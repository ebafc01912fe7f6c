//! What an image is. It is only looked at: nothing is locked, so that of a running guest can be asked too.

use super::super::qcow2_meta::header::{self, Compression};
use super::super::qcow2_meta::tables::Tables;
use super::super::{Format, Kind, chain, file, lock, readonly};
use super::{Snapshot, listed};
use anyhow::{Context, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Images on top of each other.
const DEPTH: usize = 64;

pub struct Info {
    pub path: PathBuf,
    pub kind: Kind,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes that the file takes of its file system, and its length.
    pub used: u64,
    pub length: u64,
    pub qcow2: Option<Qcow2>,
    /// What it stands on, the nearest first; or why that cannot be told.
    pub backing: Vec<(PathBuf, Result<Kind, String>)>,
    /// Another process that has it open.
    pub holder: Option<(u32, String)>,
}

pub struct Qcow2 {
    pub version: u32,
    pub cluster: u64,
    pub refcount_bits: u32,
    pub compression: &'static str,
    /// What its header has it marked with: dirty, corrupt, lazy refcounts, extended L2 entries, bitmaps.
    pub marks: Vec<&'static str>,
    pub snapshots: Vec<Snapshot>,
}

pub fn info(path: &Path, format: Format) -> Result<Info> {
    let (file, meta) = file::open_readonly(path)?;
    let length = file::length(&file, path, &meta)?;
    let kind = match format {
        Format::Auto => chain::probe(&file, path)?,
        Format::Known(kind) => kind,
    };
    let holder = lock::holder(&file).filter(|(pid, _)| *pid != std::process::id());
    let (size, qcow2, first) = match kind {
        Kind::Raw => (length, None, None),
        Kind::Vmdk => (readonly::vmdk::open(file, path)?.size(), None, None),
        Kind::Vdi => (readonly::vdi::open(file, path)?.size(), None, None),
        Kind::Vpc => (readonly::vhd::open(file, path)?.size(), None, None),
        Kind::Qcow2 => {
            let tables = Tables::open(file, path)?;
            let first = tables.header.backing.clone();
            (tables.header.size, Some(qcow2(&tables)), first)
        }
    };
    let used = meta.blocks().saturating_mul(512);
    let backing = first.map(|first| below(path, first)).unwrap_or_default();
    Ok(Info { path: path.to_path_buf(), kind, size, used, length, qcow2, backing, holder })
}

fn qcow2(tables: &Tables) -> Qcow2 {
    let head = &tables.header;
    let marks = [
        (head.incompatible & header::DIRTY, "dirty"),
        (head.incompatible & header::CORRUPT, "corrupt"),
        (head.incompatible & header::EXTENDED_L2, "extended L2 entries"),
        (head.compatible & header::LAZY_REFCOUNTS, "lazy refcounts"),
        (head.autoclear & header::BITMAPS, "bitmaps"),
    ];
    Qcow2 {
        version: head.version,
        cluster: head.cluster(),
        refcount_bits: 1 << head.refcount_order,
        compression: match head.compression {
            Compression::Zlib => "zlib",
            Compression::Zstd => "zstd",
        },
        marks: marks.iter().filter(|(set, _)| *set != 0).map(|(_, name)| *name).collect(),
        snapshots: listed(tables),
    }
}

fn below(path: &Path, first: header::Backing) -> Vec<(PathBuf, Result<Kind, String>)> {
    let mut found = Vec::new();
    let (mut over, mut next) = (path.to_path_buf(), Some(first));
    while let Some(backing) = next.take() {
        if found.len() >= DEPTH {
            found.push((PathBuf::from(&backing.name), Err(format!("more than {DEPTH} images deep, or a circle"))));
            break;
        }
        let path = chain::locate(&over, &backing.name).unwrap_or_else(|_| PathBuf::from(&backing.name));
        match look(&over, &path, &backing) {
            Ok((kind, under)) => {
                found.push((path.clone(), Ok(kind)));
                (over, next) = (path, under);
            }
            Err(e) => found.push((path, Err(format!("{e:#}")))),
        }
    }
    found
}

/// The format of a backing file, and what that stands on.
fn look(over: &Path, path: &Path, backing: &header::Backing) -> Result<(Kind, Option<header::Backing>)> {
    chain::locate(over, &backing.name)?;
    let (file, meta) = file::open_readonly(path)?;
    file::length(&file, path, &meta)?;
    let kind = match backing.format.as_deref().map(Format::of_backing).transpose().context("backing format")? {
        Some(Format::Known(kind)) => kind,
        _ => chain::probe(&file, path)?,
    };
    let under = if kind == Kind::Qcow2 { chain::header(file, path)?.1.backing } else { None };
    Ok((kind, under))
}
