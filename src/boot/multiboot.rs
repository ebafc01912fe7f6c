//! The multiboot header in a kernel file (Multiboot Specification 0.6.96, 3.1).

use super::bytes::u32_at;
use super::program::{Class, Program, Segment};
use anyhow::{Context, Result, ensure};

const MAGIC: u32 = 0x1bad_b002;
/// The header lies within this many bytes, 4-aligned.
pub const SEARCH: usize = 8192;

const PAGE_ALIGN: u32 = 1 << 0;
const MEMORY_INFO: u32 = 1 << 1;
const VIDEO_MODE: u32 = 1 << 2;
const ADDRESSES: u32 = 1 << 16;
/// A loader that does not know one of these must not go on.
const MANDATORY: u32 = 0xffff;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    flags: u32,
    /// Offset in the file.
    at: u64,
    /// header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr.
    addresses: Option<[u32; 5]>,
}

impl Header {
    pub fn find(head: &[u8]) -> Option<Header> {
        let head = head.get(..SEARCH.min(head.len()))?;
        (0..head.len()).step_by(4).find_map(|at| {
            let flags = u32_at(head, at + 4)?;
            let sum = MAGIC.wrapping_add(flags).wrapping_add(u32_at(head, at + 8)?);
            (u32_at(head, at)? == MAGIC && sum == 0).then_some(())?;
            let field = |i: usize| u32_at(head, at + 12 + 4 * i);
            let all = || Some([field(0)?, field(1)?, field(2)?, field(3)?, field(4)?]);
            let addresses = if flags & ADDRESSES != 0 { Some(all()?) } else { None };
            Some(Header { flags, at: at as u64, addresses })
        })
    }

    /// Errors when the kernel demands what kiln does not give.
    pub fn check(&self) -> Result<()> {
        let unknown = self.flags & MANDATORY & !(PAGE_ALIGN | MEMORY_INFO | VIDEO_MODE);
        ensure!(unknown == 0, "its multiboot header demands unknown features (flags {unknown:#x})");
        if self.flags & VIDEO_MODE != 0 {
            log::warn!("the kernel's multiboot header asks for a video mode; there is none");
        }
        Ok(())
    }

    /// What the address fields describe, where the header has them; `len` is the length of the file, if that is known.
    pub fn program(&self, len: Option<u64>) -> Result<Option<Program>> {
        let Some(addresses) = self.addresses else { return Ok(None) };
        let [header, load, load_end, bss_end, entry] = addresses.map(u64::from);
        let before = header.checked_sub(load).context("its multiboot header_addr is below load_addr")?;
        let offset = self.at.checked_sub(before).context("its multiboot load_addr is before the file's start")?;
        let filesz = match load_end {
            0 => {
                len.context("its multiboot header leaves the length to the file, which is packed")?.checked_sub(offset)
            }
            end => end.checked_sub(load),
        };
        let filesz = filesz.context("its multiboot load_end_addr is below load_addr")?;
        let memsz = match bss_end {
            0 => filesz,
            end => end.checked_sub(load).filter(|n| *n >= filesz).context("its multiboot bss_end_addr is too low")?,
        };
        let segment = Segment { offset, vaddr: load, paddr: load, filesz, memsz, align: 1 };
        Ok(Some(Program {
            class: Class::Raw,
            entry,
            segments: vec![segment],
            notes: Vec::new(),
            multiboot: Some(*self),
        }))
    }
}

#[cfg(test)]
mod tests;
