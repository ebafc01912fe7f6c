//! PVH's start info, version 1 (Xen: public/arch-x86/hvm/start_info.h).

use super::low::Low;
use super::{layout, map};
use crate::mem::Memory;
use anyhow::{Context, Result};
use linux_loader::loader::elf::start_info::XEN_HVM_START_MAGIC_VALUE;
use std::ops::Range;

/// `strings` has the address of each module's command line.
pub fn write(memory: &Memory, low: &mut Low, cmdline: u64, modules: &[Range<u64>], strings: &[u64]) -> Result<()> {
    let mut list = Vec::new();
    for (module, string) in modules.iter().zip(strings) {
        let entry = [module.start, module.end - module.start, *string, 0];
        list.extend(entry.iter().flat_map(|field| field.to_le_bytes()));
    }
    let modlist = if list.is_empty() { 0 } else { low.put(&list)? };

    let entries = map::entries(memory);
    let mut table = Vec::new();
    for entry in &entries {
        table.extend(entry.base.to_le_bytes());
        table.extend(entry.len.to_le_bytes());
        table.extend(u64::from(entry.kind).to_le_bytes()); // type, then 4 reserved bytes
    }
    let memmap = low.put(&table)?;

    let mut info = Vec::new();
    let version = 1;
    let flags = 0;
    for field in [XEN_HVM_START_MAGIC_VALUE, version, flags, u32::try_from(modules.len())?] {
        info.extend(field.to_le_bytes());
    }
    for field in [modlist, cmdline, layout::ACPI, memmap, entries.len() as u64] {
        info.extend(field.to_le_bytes()); // the last: memmap_entries, then 4 reserved bytes
    }
    memory.write(layout::START_INFO, &info).context("write the start info")
}

#[cfg(test)]
mod tests;
