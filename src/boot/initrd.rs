//! Initial RAM disks and modules: opened, given a place as high as they can be, and read straight into guest memory.

use super::program::overlap;
use super::source::fill;
use crate::config::{Archive, Part};
use crate::mem::{Memory, Slice};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PAGE: u64 = 4096;
/// Below are vectors, boot data and firmware tables.
const FLOOR: u64 = 0x10_0000;

/// A file that the kernel finds in memory.
pub struct Module {
    source: Source,
    /// Bytes.
    pub len: u64,
    /// What multiboot and PVH kernels are told of it: what the user wrote, path and arguments.
    pub string: String,
}

enum Source {
    File(PathBuf, File),
    Made(String, Arc<Archive>),
}

impl Module {
    /// `arguments`: a path that does not exist may have words behind it that are not part of it (`file.bin key=value`).
    pub fn open(path: &Path, arguments: bool) -> Result<Module> {
        let string = path.to_string_lossy().into_owned();
        let path = match string.split_once(' ') {
            Some((first, _)) if arguments && !path.exists() => PathBuf::from(first),
            _ => path.to_path_buf(),
        };
        let (file, len) = super::open(&path).with_context(|| format!("initrd {}", path.display()))?;
        Ok(Module { source: Source::File(path, file), len, string })
    }

    /// One that kiln made.
    pub fn built(archive: Arc<Archive>) -> Module {
        Module { len: archive.len(), source: Source::Made("made by kiln".to_string(), archive), string: String::new() }
    }

    /// One that was in an image; messages call it `name`.
    pub fn found(name: &str, archive: Arc<Archive>) -> Module {
        Module { len: archive.len(), source: Source::Made(name.to_string(), archive), string: name.to_string() }
    }

    /// Reads the file to guest address `at`.
    pub fn load(&self, memory: &Memory, at: u64) -> Result<()> {
        let into = memory.slice(at, usize::try_from(self.len)?)?;
        match &self.source {
            Source::File(path, file) => fill(file, 0, &into).with_context(|| format!("initrd {}", path.display())),
            Source::Made(name, archive) => gather(archive, into).with_context(|| format!("initrd {name}")),
        }
    }
}

/// Puts the parts of an archive into `rest`, which is as long.
fn gather(archive: &Archive, mut rest: Slice) -> Result<()> {
    for part in archive.parts() {
        let len = usize::try_from(part.len())?;
        let into = rest.take(len);
        ensure!(into.len() == len, "is longer than its parts were");
        match part {
            Part::Bytes(bytes) => drop(into.copy_from(bytes)),
            Part::File { file, range } => fill(file, range.start, &into)?,
        }
        rest = rest.skip(len);
    }
    Ok(())
}

/// The place of each of `modules` from a base of 0, and the bytes of all; every one begins at a multiple of `align`.
pub fn arrange(modules: &[Module], align: u64) -> Result<(Vec<u64>, u64)> {
    let mut end = 0u64;
    let mut offsets = Vec::new();
    for module in modules {
        let at = end.checked_next_multiple_of(align).context("the initrds are too large")?;
        end = at.checked_add(module.len).context("the initrds are too large")?;
        offsets.push(at);
    }
    Ok((offsets, end))
}

/// The highest page-aligned place for `len` bytes below `top` that leaves the kernel alone. `low` is where RAM ends that
/// begins at 0, and `limit` where the kernel cannot reach any more.
pub fn place(len: u64, kernel: &[Range<u64>], low: u64, limit: u64) -> Result<u64> {
    let mut top = low.min(limit);
    let mut ranges: Vec<&Range<u64>> = kernel.iter().collect();
    ranges.sort_by_key(|r| std::cmp::Reverse(r.start));
    let mut ranges = ranges.into_iter();
    loop {
        let at = top.checked_sub(len).map(|at| at - at % PAGE).filter(|at| *at >= FLOOR);
        let Some(at) = at else { break };
        match ranges.find(|r| overlap(r, &(at..top))) {
            None => return Ok(at),
            Some(range) => top = top.min(range.start),
        }
    }
    let end = kernel.iter().map(|r| r.end).max().unwrap_or(FLOOR).max(FLOOR);
    let need = end.checked_next_multiple_of(PAGE).and_then(|end| end.checked_add(len));
    match need.filter(|need| *need <= limit) {
        Some(need) => {
            let (len, need) = (len.div_ceil(1 << 20), need.div_ceil(1 << 20));
            bail!("an initrd of {len} MiB needs at least {need} MiB of guest memory; give --memory {need}M or more")
        }
        None => bail!("initrd of {} MiB: this kernel takes at most {} MiB", len >> 20, limit.saturating_sub(end) >> 20),
    }
}

#[cfg(test)]
mod tests;
