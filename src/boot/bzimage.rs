//! Linux's bzImage: the setup header (Linux: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"), the packed
//! kernel in it, and its own decompressor.

use super::bytes::{has, u16_at, u32_at, u64_at};
use super::program::{Program, check_room};
use super::source::{Section, Source, Stream, bytes, fill};
use super::unpack::Method;
use super::{Placed, Protocol, elf};
use crate::mem::Memory;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::ops::Range;

/// Where the setup header lies in the file, and in the zero page.
pub const HEADER: usize = 0x1f1;
/// The zero page has room for the header up to here.
pub const HEADER_END: usize = 0x290;

const LOADED_HIGH: u8 = 1 << 0;
const XLF_KERNEL_64: u16 = 1 << 0;
/// Where a kernel is loaded that cannot be relocated.
const LOAD: u64 = 0x10_0000;
/// Of the 64-bit entry in the protected-mode part ("64-bit Boot Protocol").
const ENTRY_64: u64 = 0x200;
/// Enough for the headers of an ELF file.
const HEAD: usize = 4096;

/// The fields of the setup header that matter here, with the documented value where the protocol is too old for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The header itself, from byte 0x1f1 of the file, as long as it says it is.
    pub raw: Vec<u8>,
    /// Boot protocol, 0x020f for 2.15.
    pub version: u16,
    pub xloadflags: u16,
    /// The highest address an initrd may occupy.
    pub initrd_addr_max: u64,
    /// Bytes, without the terminating zero.
    pub cmdline_size: u64,
    /// Power of two.
    alignment: u64,
    relocatable: bool,
    pref_address: u64,
    init_size: u64,
    /// The protected-mode part in the file.
    code: Range<u64>,
    /// The packed kernel in the file.
    payload: Option<Range<u64>>,
}

/// Whether there is a setup header at all: those before protocol 2.00 are kernels 1.3.73 and older.
pub fn is(head: &[u8]) -> bool {
    has(head, 0x202, b"HdrS") && u16_at(head, 0x1fe) == Some(0xaa55)
}

impl Setup {
    /// `head` is the start of a file of `len` bytes.
    pub fn parse(head: &[u8], len: u64) -> Result<Setup> {
        // The jump over the header says where it ends; what lies behind is code, and reads as zero here.
        let end = 0x202 + usize::from(head.get(0x201).copied().unwrap_or_default());
        let raw = head.get(HEADER..end.min(HEADER_END)).context("truncated: its setup header is cut off")?;
        let mut header = [0; HEADER_END];
        for (to, from) in header.iter_mut().skip(HEADER).zip(raw) {
            *to = *from;
        }
        let byte = |at: usize| header.get(at).copied().unwrap_or_default();
        let word = |at| u64::from(u32_at(&header, at).unwrap_or_default());
        let version = u16_at(&header, 0x206).unwrap_or_default();
        let since = |v: u16, at: usize, before: u64| if version >= v { word(at) } else { before };

        ensure!(version >= 0x200, "its boot protocol {version:#x} is older than 2.00");
        ensure!(byte(0x211) & LOADED_HIGH != 0, "a zImage (loaded below 1 MiB); only bzImages boot");
        let sectors = if byte(0x1f1) == 0 { 4 } else { u64::from(byte(0x1f1)) };
        let start = (sectors + 1) * 512;
        let size = since(0x204, 0x1f4, u64::from(u16_at(&header, 0x1f4).unwrap_or_default())) * 16;
        let rest =
            len.checked_sub(start).filter(|n| *n > 0).context("truncated: ends before its protected-mode part")?;
        // syssize is rounded up to 16 bytes, or is zero where nobody filled it in.
        ensure!(size <= rest + 15, "truncated: has {len} bytes, its header says {}", start + size);
        let code = start..start + if size == 0 { rest } else { size.min(rest) };

        let alignment = since(0x205, 0x230, 1 << 20);
        let relocatable = version >= 0x205 && byte(0x234) != 0;
        ensure!(!relocatable || alignment.is_power_of_two(), "its kernel_alignment {alignment:#x} is no power of two");
        Ok(Setup {
            raw: raw.to_vec(),
            version,
            xloadflags: if version >= 0x20c { u16_at(&header, 0x236).unwrap_or_default() } else { 0 },
            initrd_addr_max: since(0x203, 0x22c, 0x37ff_ffff),
            cmdline_size: since(0x206, 0x238, 255),
            alignment,
            relocatable,
            pref_address: if version >= 0x20a { u64_at(&header, 0x258).unwrap_or_default() } else { LOAD },
            // Room for a kernel unpacked to four times the size, where the header does not say.
            init_size: since(0x20a, 0x260, rest.saturating_mul(4)),
            payload: if version >= 0x208 { payload(&code, word(0x248), word(0x24c), len)? } else { None },
            code,
        })
    }

    /// Whether it has the 64-bit entry that 64-bit kernels have, where its protocol is new enough to say.
    pub fn is_64bit(&self) -> Option<bool> {
        (self.version >= 0x20c).then_some(self.xloadflags & XLF_KERNEL_64 != 0)
    }

    /// How the kernel inside is packed, where this kernel is new enough to say where it is.
    pub fn method(&self, file: &File) -> Result<Option<(Method, Range<u64>)>> {
        let Some(payload) = &self.payload else { return Ok(None) };
        let head = bytes(file, payload.start, 16).context("read its payload")?;
        Ok(Method::of(&head).map(|method| (method, payload.clone())))
    }

    /// Unpacks the kernel proper into guest memory.
    pub fn unpack(
        file: &File,
        (method, payload): (Method, Range<u64>),
        memory: &Memory,
        taken: &[Range<u64>],
    ) -> Result<Placed> {
        // The last word says how large the unpacked kernel is. To gzip it belongs, to the others Linux's build adds it.
        let end = payload.end.checked_sub(4).filter(|end| *end > payload.start).context("its payload is empty")?;
        let size = u32_at(&bytes(file, end, 4)?, 0).context("its payload is cut off")?;
        let end = if method == Method::Gzip { payload.end } else { end };
        let packed = Section { file, at: payload.start, end };
        let reader = method.unpack(packed)?;
        let unpack = || -> Result<Placed> {
            let (stream, head) = Stream::new(reader, Some(u64::from(size)), HEAD)?;
            ensure!(head.starts_with(elf::MAGIC), "it is no ELF file (--boot-decompressor may boot it)");
            let program: Program = elf::parse(&head, |_, _| bail!("its ELF program headers are far from the start"))?;
            let mut source = Source::Stream(stream);
            let ranges = program.load(&mut source, memory, taken)?;
            let placed = program.place(ranges, memory, &source, true)?;
            match source {
                Source::Stream(stream) => stream.finish()?,
                Source::File { .. } => {}
            }
            Ok(placed)
        };
        unpack().with_context(|| format!("unpack its {method} payload"))
    }

    /// Copies the protected-mode part, to be entered at the decompressor's 64-bit entry, or the 32-bit one where there is
    /// no other.
    pub fn load(&self, file: &File, memory: &Memory, taken: &[Range<u64>]) -> Result<Placed> {
        let size = self.code.end.saturating_sub(self.code.start);
        let at = if self.relocatable { self.pref_address.checked_next_multiple_of(self.alignment) } else { Some(LOAD) };
        let at = at.filter(|at| *at >= LOAD).context("its pref_address is below 1 MiB, or wraps around")?;
        // A kernel that cannot be relocated unpacks itself at pref_address.
        let work = at.max(if self.relocatable { at } else { self.pref_address });
        let end = at.checked_add(size).zip(work.checked_add(self.init_size)).map(|(a, b)| a.max(b));
        let end = end.filter(|end| *end <= 1 << 32).context("its init_size does not fit below 4 GiB")?;
        check_room(&(at..end), memory, taken, "its decompressor's room", end)?;
        fill(file, self.code.start, &memory.slice(at, usize::try_from(size)?)?)?;
        let ranges = std::iter::once(at..end).collect();
        match self.xloadflags & XLF_KERNEL_64 {
            0 => Ok(Placed { entry: at, protocol: Protocol::Linux32, ranges }),
            _ => Ok(Placed { entry: at + ENTRY_64, protocol: Protocol::Linux64, ranges }),
        }
    }
}

/// The payload's place in the file, from its place in the protected-mode part.
fn payload(code: &Range<u64>, offset: u64, length: u64, len: u64) -> Result<Option<Range<u64>>> {
    if length == 0 {
        return Ok(None);
    }
    let start = code.start + offset;
    let end = start + length;
    ensure!(end <= len, "truncated: has {len} bytes, its payload ends at byte {end}");
    Ok(Some(start..end))
}

#[cfg(test)]
mod tests;
