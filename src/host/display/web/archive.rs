//! noVNC, as its package is published: a compressed archive that is in the binary, and is unpacked while a page is served.

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::io::Read;

/// Empty in a build that had no package.
static PACKAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/novnc.tgz"));

/// The most bytes that it unpacks to.
const MOST: u64 = 8 << 20;
/// A header and contents are padded to this (POSIX.1-2024, pax, ustar interchange format).
const BLOCK: usize = 512;

/// Its files by their names, without the first directory.
pub type Files = BTreeMap<String, Vec<u8>>;

pub fn open() -> Result<Files> {
    ensure!(!PACKAGE.is_empty(), "this kiln was built without noVNC: run `make setup`, and build it again");
    unpack(PACKAGE).context("unpack noVNC")
}

pub(super) fn unpack(package: &[u8]) -> Result<Files> {
    let mut data = Vec::new();
    GzDecoder::new(package).take(MOST).read_to_end(&mut data)?;
    let mut files = Files::new();
    let mut rest = &data[..];
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        // Two blocks of zeros are the end.
        let name = text(header, 0..100)?;
        if name.is_empty() {
            break;
        }
        let size = usize::from_str_radix(text(header, 124..136)?.trim(), 8).context("a size that is none")?;
        let (contents, after) = after.split_at_checked(size).context("it ends too early")?;
        rest = after.get(size.next_multiple_of(BLOCK) - size..).unwrap_or_default();
        // Type 0 is a file.
        if matches!(header.get(156), Some(b'0' | 0))
            && let Some((_, name)) = name.split_once('/')
        {
            files.insert(name.to_string(), contents.to_vec());
        }
    }
    Ok(files)
}

/// A field of a header, up to its first zero.
fn text(header: &[u8], at: std::ops::Range<usize>) -> Result<&str> {
    let field = header.get(at).unwrap_or_default().split(|b| *b == 0).next().unwrap_or_default();
    std::str::from_utf8(field).context("a name that is no text")
}
