//! The multiboot information structure (Multiboot Specification 0.6.96, 3.3).

use super::low::Low;
use super::{layout, map};
use crate::mem::Memory;
use crate::platform::vga::Framebuffer;
use anyhow::{Context, Result};
use std::ops::Range;

const MEMORY: u32 = 1 << 0;
const CMDLINE: u32 = 1 << 2;
const MODULES: u32 = 1 << 3;
const MEMORY_MAP: u32 = 1 << 6;
const LOADER_NAME: u32 = 1 << 9;
const FRAMEBUFFER: u32 = 1 << 12;
/// Of the structure.
const SIZE: usize = 116;

/// `strings` has the address of each module's string.
pub fn write(
    memory: &Memory,
    low: &mut Low,
    cmdline: u64,
    modules: &[Range<u64>],
    strings: &[u64],
    screen: Option<&Framebuffer>,
) -> Result<()> {
    let mut list = Vec::new();
    for (module, string) in modules.iter().zip(strings) {
        for field in [module.start, module.end, *string, 0] {
            list.extend(u32::try_from(field)?.to_le_bytes());
        }
    }
    let mods_addr = low.put(&list)?;

    let entries = map::entries(memory);
    let mut table = Vec::new();
    for entry in &entries {
        table.extend(20u32.to_le_bytes()); // bytes of the entry, without this field
        table.extend(entry.base.to_le_bytes());
        table.extend(entry.len.to_le_bytes());
        table.extend(entry.kind.to_le_bytes());
    }
    let mmap_addr = low.put(&table)?;
    let loader_name = low.string("kiln")?;

    // mem_lower and mem_upper in KiB: conventional RAM, and what follows 1 MiB without a hole.
    let upper = entries.iter().find(|e| e.base == layout::HIGH_RAM).map_or(0, |e| e.len);
    let flags = MEMORY | CMDLINE | MODULES | MEMORY_MAP | LOADER_NAME;
    let fields = [
        (0, u64::from(flags | screen.map_or(0, |_| FRAMEBUFFER))),
        (4, layout::EBDA / 1024),
        (8, upper / 1024),
        (16, cmdline),
        (20, modules.len() as u64),
        (24, mods_addr),
        (44, table.len() as u64),
        (48, mmap_addr),
        (64, loader_name),
    ];
    memory.write(layout::START_INFO, &[0; SIZE])?;
    for (at, value) in fields {
        let value = u32::try_from(value)?;
        memory.write(layout::START_INFO + at, &value.to_le_bytes()).context("write the multiboot information")?;
    }
    if let Some(screen) = screen {
        memory.write(layout::START_INFO + 88, &framebuffer(screen))?;
    }
    Ok(())
}

/// framebuffer_addr and what follows it.
fn framebuffer(screen: &Framebuffer) -> Vec<u8> {
    let mut bytes = screen.base.to_le_bytes().to_vec();
    [screen.pitch, screen.size.width, screen.size.height].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    // 32 bits a pixel, direct colour: place and size of red, green and blue.
    bytes.extend([32, 1, 16, 8, 8, 8, 0, 8]);
    bytes
}

#[cfg(test)]
mod tests;
