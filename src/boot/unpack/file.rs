//! A file as it is inside, packed or not: kernel modules come either way (.ko, .ko.gz, .ko.xz, .ko.zst).

use super::Method;
use crate::boot::source::{Section, bytes};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Enough for every magic number.
const HEAD: usize = 16;

/// What is in a file.
pub enum Contents {
    /// An ELF file as it is, and its length in bytes.
    Stored(File, u64),
    Unpacked(Vec<u8>),
}

/// Opens an ELF file, or unpacks one. How it is packed is known by its first bytes, never by its name.
/// Errors when it has, unpacked, more than `most` bytes.
pub fn contents(path: &Path, most: u64) -> Result<Contents> {
    let (file, len) = crate::boot::open(path)?;
    ensure!(len <= most, "has {len} bytes, more than {most}");
    let method = Method::of(&bytes(&file, 0, HEAD)?).context("neither an ELF file nor packed in a known way")?;
    if method == Method::Stored {
        return Ok(Contents::Stored(file, len));
    }
    let mut unpacked = Vec::new();
    let reader = method.unpack(Section { file: &file, at: 0, end: len })?;
    reader.take(most.saturating_add(1)).read_to_end(&mut unpacked).with_context(|| format!("unpack it ({method})"))?;
    ensure!(unpacked.len() as u64 <= most, "unpacks to more than {most} bytes");
    Ok(Contents::Unpacked(unpacked))
}

#[cfg(test)]
mod tests;
