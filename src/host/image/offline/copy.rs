//! A copy of an image in another format.

use super::super::chain::{self, Chain};
use super::super::{Format, Image, Kind, qcow2};
use super::new::format;
use super::output::Output;
use crate::mem::Memory;
use anyhow::{Context, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that are copied at a time.
const STEP: usize = 2 << 20;
/// Zeroes are not written where there are so many of them, by offset.
const BLOCK: usize = 4096;

/// Writes all that the disk of `from` shows to a new image. `told` hears how far it is, and of how many bytes.
pub fn convert(
    from: (&Path, Format),
    to: (&Path, Kind),
    cluster: Option<u64>,
    mut told: impl FnMut(u64, u64),
) -> Result<u64> {
    let image = Chain::default().open(from.0, from.1)?.0.into_image();
    let output = Output::new(to.0)?;
    let size = image.size();
    let name = to.0.display();
    format(output.file(), to.1, size, None, cluster).with_context(|| format!("create {name}"))?;
    let file = output.file().try_clone().with_context(|| format!("create {name}"))?;
    if to.1 == Kind::Raw {
        let write = |at: u64, bytes: &[u8]| Ok(file.write_all_at(bytes, at)?);
        copy(image.as_ref(), from.0, to.0, BLOCK, write, |at| told(at, size))?;
    } else {
        let (file, header) = chain::header(file, to.0)?;
        let new = qcow2::Qcow2::new(qcow2::layer(file, &header, None, false)?, &header, false);
        let memory = Memory::new(&[(0, STEP as u64)], None)?;
        let write = |at: u64, bytes: &[u8]| {
            memory.write(0, bytes)?;
            Ok(new.write_at(at, &[memory.slice(0, bytes.len())?])?)
        };
        let unit = (header.cluster() as usize).min(STEP);
        copy(image.as_ref(), from.0, to.0, unit, write, |at| told(at, size))?;
        new.flush().with_context(|| format!("flush {name}"))?;
    }
    output.finish()?;
    Ok(size)
}

/// Writes what is not zero, in whole units.
fn copy(
    image: &dyn Image,
    from: &Path,
    to: &Path,
    unit: usize,
    mut write: impl FnMut(u64, &[u8]) -> Result<()>,
    mut told: impl FnMut(u64),
) -> Result<()> {
    let reading = || format!("read {}", from.display());
    let mut bytes = vec![0; STEP];
    let mut at = 0;
    while let Some(data) = image.next_data(at).with_context(reading)? {
        // From the beginning of a unit: it may have been written by the stretch before, whose bytes are read again then.
        at = (data.start / unit as u64 * unit as u64).max(at);
        while at < data.end {
            told(at);
            let n = (image.size() - at).min(STEP as u64) as usize;
            let part = bytes.get_mut(..n).unwrap_or_default();
            image.read_bytes(at, part).with_context(reading)?;
            for (from, len) in stored(part, unit) {
                let what = part.get(from..from + len).unwrap_or_default();
                write(at + from as u64, what).with_context(|| format!("write {}", to.display()))?;
            }
            at += n as u64;
        }
    }
    told(image.size());
    Ok(())
}

/// Where something else than zeroes is: offset and length, as many units together as possible.
fn stored(bytes: &[u8], unit: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, block) in bytes.chunks(unit).enumerate() {
        if zeroes(block) {
            continue;
        }
        let at = i * unit;
        match runs.last_mut() {
            Some((start, len)) if *start + *len == at => *len += block.len(),
            _ => runs.push((at, block.len())),
        }
    }
    runs
}

fn zeroes(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}
