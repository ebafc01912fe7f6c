//! VMCOREINFO: what a Linux kernel writes down about itself for those who read its dumps
//! (Documentation/admin-guide/kdump/vmcoreinfo.rst).
//!
//! The kernel keeps it as a complete ELF note at the start of a page (kernel/vmcore_info.c), so it is found without the
//! guest's help. The guest can put anything there: what is taken for a note is text of a sane length and nothing else.

use crate::mem::Memory;
use std::io;

const PAGE: u64 = 4096;
/// n_namesz, n_descsz, n_type, then the name with its terminator, padded to a multiple of four.
const HEADER: usize = 12 + 12;
const NAME: &[u8; 12] = b"VMCOREINFO\0\0";
const BEGIN: &[u8] = b"OSRELEASE=";
/// The kernel's own limit is a page (VMCOREINFO_BYTES).
const LONGEST: usize = 16 * PAGE as usize;

/// The text of the first note in guest memory.
pub fn find(memory: &Memory) -> io::Result<Option<Vec<u8>>> {
    let mut from = 0;
    while let Some(data) = memory.populated(from)? {
        let mut page = data.start.next_multiple_of(PAGE);
        while page < data.end {
            if let Some(text) = note(memory, page) {
                return Ok(Some(text));
            }
            page = page.saturating_add(PAGE);
        }
        from = data.end;
    }
    Ok(None)
}

/// The text of the note at physical address `at`, if there is one.
pub fn note(memory: &Memory, at: u64) -> Option<Vec<u8>> {
    let header: [u8; HEADER] = memory.read(at).ok()?;
    let len = length(&header)?;
    let mut text = vec![0; len];
    let slice = memory.slice(at.checked_add(HEADER as u64)?, len).ok()?;
    slice.copy_to(&mut text);
    is_text(&text).then_some(text)
}

/// Bytes of text that follow the header of such a note.
fn length(header: &[u8; HEADER]) -> Option<usize> {
    let word = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (namesz, descsz, kind) = (word(0)?, word(4)?, word(8)?);
    // The kernel counts the terminator; some tools do not.
    let ours = matches!(namesz, 10 | 11) && kind == 0 && header.get(12..)? == NAME;
    usize::try_from(descsz).ok().filter(|len| ours && (BEGIN.len()..=LONGEST).contains(len))
}

fn is_text(text: &[u8]) -> bool {
    text.starts_with(BEGIN) && text.iter().all(|b| matches!(b, b'\n' | b' '..=b'~'))
}

#[cfg(test)]
mod tests;
