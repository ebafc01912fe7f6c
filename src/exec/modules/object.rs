//! A kernel module's file, an ELF object (System V ABI, chapter 4, "Sections"), read as untrusted bytes: what it says of
//! itself, and the file without its debug information, which is most of it in a build tree.

use super::list::name;
use crate::boot::bytes::{u16_at, u32_at, u64_at};
use crate::config::Part;
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// sizeof(Elf64_Ehdr), sizeof(Elf64_Shdr).
const EHDR: usize = 64;
const SHDR: usize = 64;
const ELFCLASS64: u8 = 2;
const SHT_NULL: u32 = 0;
const SHT_NOBITS: u32 = 8;
const SHT_GROUP: u32 = 17;
const SHF_ALLOC: u64 = 2;
/// SHN_LORESERVE: more sections are counted elsewhere, and no module has them.
const SECTIONS_MAX: u16 = 0xff00;
/// Bytes of the largest section that is read here.
const READ_MAX: u64 = 16 << 20;
/// Sections are aligned to a page at most.
const ALIGN_MAX: u64 = 4096;
/// Stands at the end of a signed module (Linux: include/linux/module_signature.h).
const SIGNED: &[u8] = b"~Module signature appended~\n";

pub struct Object {
    file: Part,
    header: Vec<u8>,
    sections: Vec<Section>,
}

struct Section {
    /// Elf64_Shdr.
    raw: [u8; SHDR],
    name: Vec<u8>,
    kind: u32,
    flags: u64,
    range: Range<u64>,
}

impl Object {
    pub fn parse(file: Part) -> Result<Object> {
        let header = bytes(&file, 0..EHDR as u64).context("its ELF header is cut off")?;
        ensure!(header.get(4) == Some(&ELFCLASS64), "is no 64-bit ELF file");
        let field = || Some((u64_at(&header, 0x28)?, [0x3a, 0x3c, 0x3e].map(|at| u16_at(&header, at).unwrap_or(0))));
        let (at, [size, count, names]) = field().context("its ELF header is cut off")?;
        ensure!(usize::from(size) == SHDR && (1..SECTIONS_MAX).contains(&count), "it has no ELF sections");
        let end = at.checked_add(u64::from(count) * SHDR as u64).context("its ELF sections are cut off")?;
        let table = bytes(&file, at..end).context("its ELF sections are cut off")?;
        let mut sections = Vec::new();
        for raw in table.chunks_exact(SHDR) {
            sections.push(section(raw).context("its ELF sections are cut off")?);
        }
        let names = sections.get(usize::from(names)).context("its ELF sections have no names")?.range.clone();
        let names = bytes(&file, names).context("its ELF sections have no names")?;
        for section in &mut sections {
            let at = u32_at(&section.raw, 0).and_then(|at| usize::try_from(at).ok());
            let text = at.and_then(|at| names.get(at..)).unwrap_or_default();
            section.name = text.iter().copied().take_while(|b| *b != 0).take(64).collect();
        }
        Ok(Object { file, header, sections })
    }

    /// The names of the modules it needs.
    pub fn depends(&self) -> Result<Vec<String>> {
        let text = self.info("depends")?.unwrap_or_default();
        Ok(text.split(',').filter_map(name).collect())
    }

    /// Of the kernel it was built for.
    pub fn release(&self) -> Option<String> {
        let magic = self.info("vermagic").ok()??;
        magic.split(' ').next().filter(|word| crate::boot::is_release(word)).map(str::to_string)
    }

    /// A line `key=value` of .modinfo.
    fn info(&self, key: &str) -> Result<Option<String>> {
        let Some(section) = self.sections.iter().find(|s| s.name == b".modinfo") else { return Ok(None) };
        let text = bytes(&self.file, section.range.clone()).context("its .modinfo is cut off")?;
        let value = |line: &[u8]| {
            let value = line.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Ok(text.split(|b| *b == 0).find_map(value))
    }

    /// The whole file, without debug information if it is not signed: a signature is of every byte.
    pub fn lean(self) -> Vec<Part> {
        if self.signed() {
            return vec![self.file];
        }
        self.without_debug().unwrap_or_else(|| vec![self.file])
    }

    fn signed(&self) -> bool {
        let end = self.file.len();
        end.checked_sub(SIGNED.len() as u64).is_some_and(|at| bytes(&self.file, at..end).is_ok_and(|b| b == SIGNED))
    }

    /// The sections keep their numbers, as symbols and relocations name them by these; those that go become SHT_NULL,
    /// which the kernel passes over. None if there is nothing to gain, or sections lie as no linker puts them.
    fn without_debug(&self) -> Option<Vec<Part>> {
        let mut order: Vec<usize> = (1..self.sections.len()).filter(|i| self.has_bytes(*i)).collect();
        order.sort_by_key(|i| self.sections.get(*i).map(|s| s.range.start));
        let mut sections: Vec<[u8; SHDR]> = self.sections.iter().map(|s| s.raw).collect();
        let mut parts = vec![];
        // Where the next section goes, and the run of sections that is moved together.
        let (mut end, mut run) = (EHDR as u64, None::<Run>);
        let mut past = EHDR as u64;
        for index in order {
            let section = self.sections.get(index)?;
            (section.range.start >= past && section.range.end <= self.file.len()).then_some(())?;
            past = section.range.end;
            let raw = sections.get_mut(index)?;
            if section.is_debug() {
                *raw = [0; SHDR];
                end = close(run.take(), end, &self.file, &mut parts)?;
                continue;
            }
            let run =
                run.get_or_insert_with(|| Run { from: section.range.clone(), to: congruent(end, section.range.start) });
            run.from.end = section.range.end;
            let offset = run.to.checked_add(section.range.start.checked_sub(run.from.start)?)?;
            raw.get_mut(0x18..0x20)?.copy_from_slice(&offset.to_le_bytes());
        }
        end = close(run.take(), end, &self.file, &mut parts)?;
        let dropped = sections.iter().skip(1).any(|raw| raw.iter().all(|b| *b == 0));
        dropped.then(|| self.join(parts, sections, end)).flatten()
    }

    /// Header, sections, and the table of sections.
    fn join(&self, parts: Vec<Part>, sections: Vec<[u8; SHDR]>, end: u64) -> Option<Vec<Part>> {
        let at = end.checked_next_multiple_of(8)?;
        let mut header = self.header.clone();
        header.get_mut(0x28..0x30)?.copy_from_slice(&at.to_le_bytes());
        let mut tail = vec![0; usize::try_from(at - end).ok()?];
        tail.extend(sections.concat());
        let whole = [Part::Bytes(Arc::new(header))].into_iter().chain(parts).chain([Part::Bytes(Arc::new(tail))]);
        Some(whole.collect())
    }

    fn has_bytes(&self, index: usize) -> bool {
        self.sections.get(index).is_some_and(|s| s.kind != SHT_NULL && s.kind != SHT_NOBITS && !s.range.is_empty())
    }
}

/// Sections that lie behind each other and stay so.
struct Run {
    from: Range<u64>,
    /// Where it begins in the new file.
    to: u64,
}

/// The first place from `end` on that lies to a page as `was` does, and so keeps every alignment.
fn congruent(end: u64, was: u64) -> u64 {
    end + (was % ALIGN_MAX + ALIGN_MAX - end % ALIGN_MAX) % ALIGN_MAX
}

/// Ends a run: pads up to it from `end` and adds its bytes; gives the new end.
fn close(run: Option<Run>, end: u64, file: &Part, parts: &mut Vec<Part>) -> Option<u64> {
    let Some(run) = run else { return Some(end) };
    let pad = usize::try_from(run.to.checked_sub(end)?).ok()?;
    parts.push(Part::Bytes(Arc::new(vec![0; pad])));
    parts.push(cut(file, run.from.clone())?);
    run.to.checked_add(run.from.end.checked_sub(run.from.start)?)
}

/// A piece of a file.
fn cut(file: &Part, range: Range<u64>) -> Option<Part> {
    Some(match file {
        Part::Bytes(bytes) => {
            let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
            Part::Bytes(Arc::new(bytes.get(range)?.to_vec()))
        }
        Part::File { file, range: whole } => {
            let at = |n: u64| whole.start.checked_add(n).filter(|at| *at <= whole.end);
            Part::File { file: file.clone(), range: at(range.start)?..at(range.end)? }
        }
    })
}

impl Section {
    /// Groups are the linker's; those of a module are of its debug information.
    fn is_debug(&self) -> bool {
        let named = |prefix: &[u8]| self.name.starts_with(prefix);
        self.flags & SHF_ALLOC == 0 && (self.kind == SHT_GROUP || named(b".debug_") || named(b".rela.debug_"))
    }
}

fn section(raw: &[u8]) -> Option<Section> {
    let (offset, size) = (u64_at(raw, 0x18)?, u64_at(raw, 0x20)?);
    Some(Section {
        raw: raw.try_into().ok()?,
        name: Vec::new(),
        kind: u32_at(raw, 4)?,
        flags: u64_at(raw, 8)?,
        range: offset..offset.checked_add(size)?,
    })
}

/// Bytes of a module's file, not too many.
fn bytes(file: &Part, range: Range<u64>) -> Result<Vec<u8>> {
    let len = range.end.checked_sub(range.start).context("it ends before it begins")?;
    ensure!(range.end <= file.len() && len <= READ_MAX, "bytes {}..{} of {}", range.start, range.end, file.len());
    match cut(file, range).context("outside of the file")? {
        Part::Bytes(bytes) => Ok(Arc::unwrap_or_clone(bytes)),
        Part::File { file, range } => {
            let mut bytes = vec![0; usize::try_from(len)?];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests;
