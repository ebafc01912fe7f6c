//! A cpio archive in the format that Linux unpacks, "newc" (Linux: Documentation/driver-api/early-userspace/
//! buffer-format.rst).

use crate::config::{Archive, Part};
use anyhow::{Context, Result};
use std::sync::Arc;

const S_IFCHR: u32 = 0o020_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
/// Headers and contents begin at multiples of this.
const ALIGN: u64 = 4;
const TRAILER: &str = "TRAILER!!!";

#[derive(Default)]
pub struct Cpio {
    archive: Archive,
    /// Headers and padding that wait for the next contents.
    pending: Vec<u8>,
    entries: u32,
}

impl Cpio {
    /// Names are relative to the root and have no slash in front.
    pub fn directory(&mut self, name: &str) {
        self.header(name, S_IFDIR | 0o755, 2, 0, (0, 0));
    }

    /// `device`: major and minor number.
    pub fn character_device(&mut self, name: &str, mode: u32, device: (u32, u32)) {
        self.header(name, S_IFCHR | mode, 1, 0, device);
    }

    /// Its contents are `parts`, one behind the other; less than 4 GiB.
    pub fn file(&mut self, name: &str, mode: u32, parts: Vec<Part>) -> Result<()> {
        let len = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.len()));
        let size = len.and_then(|len| u32::try_from(len).ok());
        self.header(name, S_IFREG | mode, 1, size.with_context(|| format!("{name} is 4 GiB or larger"))?, (0, 0));
        self.archive.push(Part::Bytes(Arc::new(std::mem::take(&mut self.pending))));
        parts.into_iter().for_each(|part| self.archive.push(part));
        self.pad();
        Ok(())
    }

    pub fn finish(mut self) -> Archive {
        self.entries = u32::MAX; // becomes inode 0
        self.header(TRAILER, 0, 1, 0, (0, 0));
        self.archive.push(Part::Bytes(Arc::new(self.pending)));
        self.archive
    }

    /// Everything belongs to root and is of 1970: the archive of the same files is always the same.
    fn header(&mut self, name: &str, mode: u32, links: u32, size: u32, (major, minor): (u32, u32)) {
        self.entries = self.entries.wrapping_add(1);
        let name_size = name.len() as u32 + 1;
        let fields = [self.entries, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
        self.pending.extend_from_slice(b"070701");
        for field in fields {
            self.pending.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.pending.extend_from_slice(name.as_bytes());
        self.pending.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        let len = self.archive.len() + self.pending.len() as u64;
        let pad = len.next_multiple_of(ALIGN) - len;
        self.pending.extend((0..pad).map(|_| 0));
    }
}

#[cfg(test)]
pub mod tests;
