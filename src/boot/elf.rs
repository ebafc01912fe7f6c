//! ELF headers of x86 kernels, 32 and 64 bit (System V ABI, chapters 4 and 5), read as untrusted bytes.

use super::bytes::{u16_at, u32_at, u64_at};
use super::program::{Class, Program, Segment};
use anyhow::{Context, Result, bail, ensure};

pub const MAGIC: &[u8] = b"\x7fELF";

const EI_CLASS: usize = 4;
const EI_DATA: usize = 5;
const ELFCLASS32: u8 = 1;
const ELFCLASS64: u8 = 2;
const ELFDATA2LSB: u8 = 1;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_386: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
/// More program headers than any kernel has (Linux: 5).
const PHNUM_MAX: u16 = 128;

/// Offsets of the fields that differ between the classes, in Elf32_Ehdr and Elf64_Ehdr, Elf32_Phdr and Elf64_Phdr.
struct Layout {
    class: Class,
    wide: bool,
    machine: u16,
    e_phoff: usize,
    e_phentsize: usize,
    e_phnum: usize,
    phentsize: u16,
    p_offset: usize,
    p_vaddr: usize,
    p_paddr: usize,
    p_filesz: usize,
    p_memsz: usize,
    p_align: usize,
}

const ELF32: Layout = Layout {
    class: Class::Elf32,
    wide: false,
    machine: EM_386,
    e_phoff: 28,
    e_phentsize: 42,
    e_phnum: 44,
    phentsize: 32,
    p_offset: 4,
    p_vaddr: 8,
    p_paddr: 12,
    p_filesz: 16,
    p_memsz: 20,
    p_align: 28,
};

const ELF64: Layout = Layout {
    class: Class::Elf64,
    wide: true,
    machine: EM_X86_64,
    e_phoff: 32,
    e_phentsize: 54,
    e_phnum: 56,
    phentsize: 56,
    p_offset: 8,
    p_vaddr: 16,
    p_paddr: 24,
    p_filesz: 32,
    p_memsz: 40,
    p_align: 48,
};

impl Layout {
    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.wide { u64_at(bytes, at) } else { u32_at(bytes, at).map(u64::from) }
    }

    fn segment(&self, header: &[u8]) -> Option<(u32, Segment)> {
        let segment = Segment {
            offset: self.word(header, self.p_offset)?,
            vaddr: self.word(header, self.p_vaddr)?,
            paddr: self.word(header, self.p_paddr)?,
            filesz: self.word(header, self.p_filesz)?,
            memsz: self.word(header, self.p_memsz)?,
            align: self.word(header, self.p_align)?,
        };
        Some((u32_at(header, 0)?, segment))
    }
}

/// `head` is the start of the file; `more` fetches program headers (offset, bytes) that lie behind it.
pub fn parse(head: &[u8], more: impl FnOnce(u64, usize) -> Result<Vec<u8>>) -> Result<Program> {
    let layout = layout(head)?;
    let header = || -> Option<(u64, u64, u16, u16)> {
        let entry = layout.word(head, 24)?;
        let phoff = layout.word(head, layout.e_phoff)?;
        Some((entry, phoff, u16_at(head, layout.e_phentsize)?, u16_at(head, layout.e_phnum)?))
    };
    let (entry, phoff, phentsize, phnum) = header().context("its ELF header is cut off")?;
    ensure!(phnum > 0, "an ELF file without program headers (an object file or a module?)");
    ensure!(phentsize == layout.phentsize, "its ELF program headers have {phentsize} bytes, not {}", layout.phentsize);
    ensure!(phnum <= PHNUM_MAX, "{phnum} ELF program headers, more than any kernel has");

    let len = usize::from(phnum) * usize::from(phentsize);
    let here = usize::try_from(phoff).ok().and_then(|at| head.get(at..at.checked_add(len)?));
    let fetched;
    let table = match here {
        Some(table) => table,
        None => {
            fetched = more(phoff, len)?;
            fetched.as_slice()
        }
    };
    ensure!(table.len() == len, "its ELF program headers are cut off (at byte {phoff}, {len} bytes)");

    let mut program = Program { class: layout.class, entry, segments: Vec::new(), notes: Vec::new(), multiboot: None };
    for header in table.chunks_exact(usize::from(phentsize)) {
        match layout.segment(header).context("an ELF program header is cut off")? {
            (PT_LOAD, segment) if segment.memsz > 0 => program.segments.push(segment),
            (PT_NOTE, segment) => program.notes.push(segment),
            (PT_INTERP, _) => {
                bail!("an ELF program for an operating system, not a kernel (it asks for an interpreter)")
            }
            _ => {}
        }
    }
    ensure!(!program.segments.is_empty(), "an ELF file with nothing to load");
    program.segments.sort_by_key(|s| s.offset);
    Ok(program)
}

/// Refuses what is not for an x86 in little-endian, by name.
fn layout(head: &[u8]) -> Result<&'static Layout> {
    let (class, data) = (head.get(EI_CLASS).copied(), head.get(EI_DATA).copied());
    let kind = u16_at(head, 16).context("its ELF header is cut off")?;
    let machine = u16_at(head, 18).context("its ELF header is cut off")?;
    ensure!(data == Some(ELFDATA2LSB), "an ELF file for another machine (big-endian), not for x86");
    let layout = match (class, machine) {
        (Some(ELFCLASS32), EM_386) => &ELF32,
        (Some(ELFCLASS64), EM_X86_64) => &ELF64,
        (_, EM_386 | EM_X86_64) => bail!("an ELF file whose class {class:?} and machine {machine} do not fit"),
        _ => bail!("an ELF file for {}, not for x86", machine_name(machine)),
    };
    debug_assert_eq!(layout.machine, machine);
    match kind {
        ET_EXEC | ET_DYN => Ok(layout),
        1 => bail!("an ELF object file (a module?), not a kernel"),
        4 => bail!("an ELF core dump, not a kernel"),
        other => bail!("an ELF file of type {other}, not a kernel"),
    }
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        8 => "MIPS",
        20 => "PowerPC",
        21 => "64-bit PowerPC",
        22 => "S/390",
        40 => "ARM",
        43 => "SPARC",
        183 => "64-bit ARM (aarch64)",
        243 => "RISC-V",
        247 => "BPF",
        258 => "LoongArch",
        _ => return format!("machine {machine}"),
    };
    name.to_string()
}

#[cfg(test)]
mod tests;
