//! ELF notes: what a kernel says of itself (System V ABI, chapter 5, "Note Section"; Xen: public/elfnote.h).

use super::bytes::u32_at;

/// Physical address of the 32-bit PVH entry.
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;
const XEN_ELFNOTE_GUEST_OS: u32 = 6;
/// Which system a program runs on; kernels have none.
const NT_GNU_ABI_TAG: u32 = 1;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// Linux says so: a note of its own (Linux: include/linux/elfnote-lto.h, build-salt.h), or Xen's about the guest.
    pub linux: bool,
    pub pvh: Option<u64>,
    /// It is a program that an operating system starts.
    pub program: bool,
}

impl Notes {
    /// Adds what one note segment says; stops at the first malformed note. `align` is the segment's p_align.
    pub fn read(&mut self, mut bytes: &[u8], align: u64) {
        let align = if align == 8 { 8 } else { 4 };
        while let Some((name, kind, desc, next)) = note(bytes, align) {
            match (name, kind) {
                (b"Linux\0", _) => self.linux = true,
                (b"Xen\0", XEN_ELFNOTE_GUEST_OS) => self.linux |= desc.starts_with(b"linux"),
                (b"Xen\0", XEN_ELFNOTE_PHYS32_ENTRY) => self.pvh = address(desc),
                (b"GNU\0", NT_GNU_ABI_TAG) => self.program = true,
                _ => {}
            }
            bytes = next;
        }
    }
}

type Note<'a> = (&'a [u8], u32, &'a [u8], &'a [u8]);

/// Name, type and descriptor of the first note, and what follows it.
fn note(bytes: &[u8], align: usize) -> Option<Note<'_>> {
    let name_len = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let desc_len = usize::try_from(u32_at(bytes, 4)?).ok()?;
    let kind = u32_at(bytes, 8)?;
    let name = bytes.get(12..12usize.checked_add(name_len)?)?;
    let start = 12usize.checked_add(name_len)?.checked_next_multiple_of(align)?;
    let end = start.checked_add(desc_len)?;
    let desc = bytes.get(start..end)?;
    let next = bytes.get(end.checked_next_multiple_of(align)?..).unwrap_or_default();
    Some((name, kind, desc, next))
}

/// Kernels write it as 4 or as 8 bytes.
fn address(desc: &[u8]) -> Option<u64> {
    match desc.len() {
        4 => Some(u64::from(u32_at(desc, 0)?)),
        _ => super::bytes::u64_at(desc, 0),
    }
}

#[cfg(test)]
mod tests;
