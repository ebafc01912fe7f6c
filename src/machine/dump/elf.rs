//! The frame of a dump: ELF header and program headers (System V ABI, chapters 4 and 5; AMD64 supplement).

use std::ops::Range;

const EHDR: u64 = 64;
const PHDR: u64 = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const ALIGN: u64 = 4096;

/// A core file: its head, and where memory goes.
pub struct Core {
    /// ELF header, program headers and notes; written at 0.
    pub head: Vec<u8>,
    /// Guest physical addresses, and where in the file they begin.
    pub segments: Vec<(Range<u64>, u64)>,
    /// Bytes of the whole file.
    pub size: u64,
}

impl Core {
    /// `None` when the sizes overflow. `memory` are ranges of guest physical addresses; there should be at least two, as
    /// crash and drgn each have a rule of their own for a file with one segment.
    pub fn new(memory: &[Range<u64>], notes: &[u8]) -> Option<Core> {
        let phnum = u16::try_from(memory.len().checked_add(1)?).ok()?;
        let notes_at = EHDR + PHDR * u64::from(phnum);
        let mut at = notes_at.checked_add(notes.len() as u64)?.checked_next_multiple_of(ALIGN)?;
        let mut head = ehdr(phnum);
        phdr(&mut head, PT_NOTE, notes_at, 0, notes.len() as u64);
        let mut segments = Vec::new();
        for range in memory {
            let len = range.end.checked_sub(range.start)?;
            phdr(&mut head, PT_LOAD, at, range.start, len);
            segments.push((range.clone(), at));
            at = at.checked_add(len)?;
        }
        head.extend(notes);
        Some(Core { head, segments, size: at })
    }
}

fn ehdr(phnum: u16) -> Vec<u8> {
    const ELFCLASS64_LSB_CURRENT: [u8; 3] = [2, 1, 1];
    const ET_CORE: u16 = 4;
    const EM_X86_64: u16 = 62;
    const EV_CURRENT: u32 = 1;
    let mut out = b"\x7fELF".to_vec();
    out.extend(ELFCLASS64_LSB_CURRENT);
    out.resize(16, 0);
    [ET_CORE, EM_X86_64].iter().for_each(|v| out.extend(v.to_le_bytes()));
    out.extend(EV_CURRENT.to_le_bytes());
    // e_entry, e_phoff, e_shoff
    [0, EHDR, 0].iter().for_each(|v| out.extend(v.to_le_bytes()));
    out.extend(0u32.to_le_bytes());
    // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    [EHDR as u16, PHDR as u16, phnum, 0, 0, 0].iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}

/// p_align stays 0: by that crash knows a dump of this kind (netdump.c, is_netdump). p_vaddr is the physical address, as in
/// QEMU's dumps: the readers go through the page tables.
fn phdr(out: &mut Vec<u8>, kind: u32, offset: u64, address: u64, len: u64) {
    [kind, 0].iter().for_each(|v| out.extend(v.to_le_bytes()));
    [offset, address, address, len, len, 0].iter().for_each(|v| out.extend(v.to_le_bytes()));
}
