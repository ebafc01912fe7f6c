//! What a kernel file wants where in guest memory: checked as a whole, then loaded segment by segment.

use super::multiboot;
use super::note::Notes;
use super::source::Source;
use super::{Placed, Protocol};
use crate::mem::Memory;
use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;

/// Notes are short; more is not read.
const NOTE_MAX: u64 = 64 << 10;
/// All entry protocols begin with 32-bit addresses, or page tables that cover as much.
const ADDRESSES: u64 = 1 << 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Elf32,
    Elf64,
    /// Bytes that a multiboot header describes.
    Raw,
}

/// Part of a file that belongs somewhere in memory. The `memsz - filesz` bytes behind it are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub vaddr: u64,
    pub paddr: u64,
    pub filesz: u64,
    pub memsz: u64,
    pub align: u64,
}

impl Segment {
    fn range(&self) -> Option<Range<u64>> {
        Some(self.paddr..self.paddr.checked_add(self.memsz)?)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub class: Class,
    pub entry: u64,
    /// In the order of their offsets.
    pub segments: Vec<Segment>,
    pub notes: Vec<Segment>,
    pub multiboot: Option<multiboot::Header>,
}

impl Program {
    /// Loads all segments. `memory` reads as zero where nothing was loaded yet, so what follows a segment's file part is
    /// left alone; nothing is put into `taken`.
    pub fn load(&self, source: &mut Source<'_>, memory: &Memory, taken: &[Range<u64>]) -> Result<Vec<Range<u64>>> {
        let ranges = self.ranges(source.len(), memory, taken)?;
        for segment in self.segments.iter().filter(|s| s.filesz > 0) {
            let into = memory.slice(segment.paddr, usize::try_from(segment.filesz)?)?;
            source.read(segment.offset, &into)?;
        }
        Ok(ranges)
    }

    /// Where the segments go; errors unless every one lies in the file and in free memory, apart from the others.
    fn ranges(&self, len: u64, memory: &Memory, taken: &[Range<u64>]) -> Result<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let need = self.segments.iter().filter_map(Segment::range).map(|r| r.end).max().unwrap_or_default();
        for s in &self.segments {
            let Some(range) = s.range() else { bail!("segment at {:#x} wraps around", s.paddr) };
            let (start, end) = (range.start, range.end);
            ensure!(s.filesz <= s.memsz, "segment at {start:#x} is larger in the file than in memory");
            let in_file = s.offset.checked_add(s.filesz).filter(|end| *end <= len);
            ensure!(in_file.is_some(), "truncated: segment at {start:#x} needs more than the file's {len} bytes");
            ensure!(end <= ADDRESSES, "segment at {start:#x} is above 4 GiB, where no kernel is entered");
            check_room(&range, memory, taken, "segment", need)?;
            if let Some(other) = ranges.iter().find(|r| overlap(r, &range)) {
                bail!("segments overlap: {start:#x}..{end:#x} and {:#x}..{:#x}", other.start, other.end);
            }
            ranges.push(range);
        }
        Ok(ranges)
    }

    /// The entry for the protocol this kernel is made for, of which `bzimage` leaves only Linux's own.
    /// To be called after `load`, as notes are read from where they were loaded.
    pub fn place(
        &self,
        ranges: Vec<Range<u64>>,
        memory: &Memory,
        source: &Source<'_>,
        bzimage: bool,
    ) -> Result<Placed> {
        let notes = if bzimage { Notes { linux: true, ..Notes::default() } } else { self.read_notes(memory, source) };
        ensure!(!notes.program, "an ELF program for an operating system, not a kernel (it has a GNU ABI tag)");
        let (protocol, entry) = match (self.class, notes, &self.multiboot) {
            (Class::Raw, ..) => (Protocol::Multiboot, self.entry),
            (Class::Elf64, Notes { linux: true, .. }, _) => (Protocol::Linux64, self.physical_entry()),
            (Class::Elf32, Notes { linux: true, .. }, _) => (Protocol::Linux32, self.physical_entry()),
            // Both are possible: loaders that know multiboot take it first, but only for 32-bit files.
            (Class::Elf32, _, Some(_)) => (Protocol::Multiboot, self.physical_entry()),
            (_, Notes { pvh: Some(entry), .. }, _) => (Protocol::Pvh, entry),
            (_, _, Some(_)) => (Protocol::Multiboot, self.physical_entry()),
            (Class::Elf64, ..) => (Protocol::Linux64, self.physical_entry()),
            (Class::Elf32, ..) => (Protocol::Linux32, self.physical_entry()),
        };
        if let (Protocol::Multiboot, Some(header)) = (protocol, &self.multiboot) {
            header.check()?;
        }
        ensure!(ranges.iter().any(|r| r.contains(&entry)), "its entry {entry:#x} is in none of its segments");
        Ok(Placed { entry, protocol, ranges })
    }

    /// Most kernels have a physical e_entry; for the others it is translated as their segments are.
    fn physical_entry(&self) -> u64 {
        if self.segments.iter().filter_map(Segment::range).any(|r| r.contains(&self.entry)) {
            return self.entry;
        }
        let translate = |s: &Segment| {
            let offset = self.entry.checked_sub(s.vaddr).filter(|o| *o < s.memsz)?;
            s.paddr.checked_add(offset)
        };
        self.segments.iter().find_map(translate).unwrap_or(self.entry)
    }

    /// Notes are loaded with a segment as a rule; otherwise they are read from the file, unless it is packed.
    fn read_notes(&self, memory: &Memory, source: &Source<'_>) -> Notes {
        let mut notes = Notes::default();
        for note in &self.notes {
            let bytes = self.loaded(note, memory).or_else(|| match source {
                Source::File { file, .. } => {
                    super::source::bytes(file, note.offset, note.filesz.min(NOTE_MAX) as usize).ok()
                }
                Source::Stream(_) => None,
            });
            notes.read(&bytes.unwrap_or_default(), note.align);
        }
        notes
    }

    /// The bytes of `part` of the file, as far as they were loaded with a segment.
    fn loaded(&self, part: &Segment, memory: &Memory) -> Option<Vec<u8>> {
        let len = part.filesz.min(NOTE_MAX);
        self.segments.iter().find_map(|s| {
            let offset = part.offset.checked_sub(s.offset)?;
            (offset.checked_add(len)? <= s.filesz).then_some(())?;
            let mut bytes = vec![0; usize::try_from(len).ok()?];
            memory.slice(s.paddr.checked_add(offset)?, bytes.len()).ok()?.copy_to(&mut bytes);
            Some(bytes)
        })
    }
}

pub fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Errors with `what` when `range` is not free memory; `need` is where the kernel's last part ends.
pub fn check_room(range: &Range<u64>, memory: &Memory, taken: &[Range<u64>], what: &str, need: u64) -> Result<()> {
    let (start, end) = (range.start, range.end);
    let len = end.checked_sub(start).and_then(|n| usize::try_from(n).ok());
    let len = len.with_context(|| format!("{what} {start:#x}..{end:#x} wraps around"))?;
    if memory.slice(start, len).is_err() {
        let (have, need) = (memory.size() >> 20, need.div_ceil(1 << 20));
        // More memory than that may not be in one piece from 0 on.
        if have < need && need <= 2048 {
            bail!("needs at least {need} MiB of guest memory, which has {have}; give --memory {need}M or more");
        }
        bail!("{what} {start:#x}..{end:#x} is outside the guest's memory of {have} MiB");
    }
    if let Some(other) = taken.iter().find(|r| overlap(r, range)) {
        bail!("{what} {start:#x}..{end:#x} lies where the boot data is ({:#x}..{:#x})", other.start, other.end);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
