//! The memory map that every boot protocol tells the guest, in the type numbers of E820 (ACPI 6.5, 15.2), which PVH and
//! multiboot share.

use super::layout;
use crate::mem::Memory;

pub const RAM: u32 = 1;
pub const RESERVED: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub base: u64,
    pub len: u64,
    pub kind: u32,
}

/// In rising order.
pub fn entries(memory: &Memory) -> Vec<Entry> {
    let range = |base: u64, end: u64, kind| Entry { base, len: end.saturating_sub(base), kind };
    let mut entries = vec![
        range(0, layout::EBDA, RAM),
        // EBDA, VGA hole, ACPI tables.
        range(layout::EBDA, layout::HIGH_RAM, RESERVED),
        // Linux uses the ECAM window only when the memory map or a motherboard resource reserves it.
        range(layout::ECAM, layout::ECAM + layout::ECAM_LEN, RESERVED),
        // KVM's own pages on Intel: identity map, then three of TSS.
        range(layout::IDENTITY_MAP, layout::TSS + 0x3000, RESERVED),
    ];
    let ram = memory.regions().into_iter().map(|r| range(r.base.max(layout::HIGH_RAM), r.base + r.len, RAM));
    entries.extend(ram.filter(|e| e.len > 0));
    entries.sort_by_key(|e| e.base);
    entries
}
