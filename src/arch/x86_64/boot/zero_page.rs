//! Linux's zero page, `struct boot_params` (Linux: Documentation/arch/x86/zero-page.rst and boot.rst).

use super::{layout, map};
use crate::boot::bzimage::{self, Setup};
use crate::mem::Memory;
use crate::platform::vga::Framebuffer;
use anyhow::{Context, Result};
use linux_loader::bootparam::{
    E820_MAX_ENTRIES_ZEROPAGE, LOADED_HIGH, VIDEO_CAPABILITY_64BIT_BASE, VIDEO_TYPE_VLFB, boot_e820_entry, boot_params,
};
use std::mem::{offset_of, size_of};
use std::ops::Range;

/// "An undefined boot loader".
const TYPE_OF_LOADER: u8 = 0xff;
/// Protocol 2.15, for a kernel without a setup header of its own.
const VERSION: u16 = 0x020f;
const HDRS: u32 = u32::from_le_bytes(*b"HdrS");
const BOOT_FLAG: u16 = 0xaa55;

struct Page([u8; size_of::<boot_params>()]);

impl Page {
    fn set(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.0.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }
}

/// `setup` is that of a bzImage; `code` is where its protected-mode part lies. An empty `initrd` is none.
pub fn write(
    memory: &Memory,
    setup: Option<&Setup>,
    cmdline: u64,
    initrd: Range<u64>,
    code: u64,
    screen: Option<&Framebuffer>,
) -> Result<()> {
    let mut page = Page([0; size_of::<boot_params>()]);
    match setup {
        Some(setup) => page.set(bzimage::HEADER, &setup.raw),
        None => {
            page.set(offset_of!(boot_params, hdr.boot_flag), &BOOT_FLAG.to_le_bytes());
            page.set(offset_of!(boot_params, hdr.header), &HDRS.to_le_bytes());
            page.set(offset_of!(boot_params, hdr.version), &VERSION.to_le_bytes());
        }
    }
    let loadflags = offset_of!(boot_params, hdr.loadflags);
    let flags = page.byte(loadflags) | LOADED_HIGH;
    page.set(loadflags, &[flags]);
    page.set(offset_of!(boot_params, hdr.type_of_loader), &[TYPE_OF_LOADER]);
    page.set(offset_of!(boot_params, hdr.code32_start), &low(code));
    page.set(offset_of!(boot_params, hdr.cmd_line_ptr), &low(cmdline));
    page.set(offset_of!(boot_params, ext_cmd_line_ptr), &high(cmdline));

    let size = initrd.end.saturating_sub(initrd.start);
    page.set(offset_of!(boot_params, hdr.ramdisk_image), &low(initrd.start));
    page.set(offset_of!(boot_params, hdr.ramdisk_size), &low(size));
    page.set(offset_of!(boot_params, ext_ramdisk_image), &high(initrd.start));
    page.set(offset_of!(boot_params, ext_ramdisk_size), &high(size));

    // From protocol 2.14 on; before, these bytes are unused, and the kernel scans for the table.
    page.set(offset_of!(boot_params, acpi_rsdp_addr), &layout::ACPI.to_le_bytes());

    if let Some(screen) = screen {
        screen_info(&mut page, screen)?;
    }

    let entries = map::entries(memory);
    let count = u8::try_from(entries.len()).ok().filter(|n| usize::from(*n) <= E820_MAX_ENTRIES_ZEROPAGE);
    page.set(offset_of!(boot_params, e820_entries), &[count.context("the memory map is too long for the zero page")?]);
    for (i, entry) in entries.iter().enumerate() {
        let at = offset_of!(boot_params, e820_table) + i * size_of::<boot_e820_entry>();
        page.set(at + offset_of!(boot_e820_entry, addr), &entry.base.to_le_bytes());
        page.set(at + offset_of!(boot_e820_entry, size), &entry.len.to_le_bytes());
        page.set(at + offset_of!(boot_e820_entry, r#type), &entry.kind.to_le_bytes());
    }
    memory.write(layout::ZERO_PAGE, &page.0).context("write the zero page")
}

/// `struct screen_info` (Linux: include/uapi/linux/screen_info.h): a linear framebuffer as a VESA BIOS would have left it.
fn screen_info(page: &mut Page, screen: &Framebuffer) -> Result<()> {
    /// Bytes in which VESA counts memory.
    const UNIT: u64 = 64 << 10;
    let side = |n: u32| u16::try_from(n).context("the screen is too large for the zero page").map(u16::to_le_bytes);
    page.set(offset_of!(boot_params, screen_info.orig_video_isVGA), &[VIDEO_TYPE_VLFB]);
    // What a text screen would have had: some kernels calculate with it before they look further.
    page.set(offset_of!(boot_params, screen_info.orig_video_cols), &[80]);
    page.set(offset_of!(boot_params, screen_info.orig_video_lines), &[25]);
    page.set(offset_of!(boot_params, screen_info.orig_video_points), &16u16.to_le_bytes());
    page.set(offset_of!(boot_params, screen_info.lfb_width), &side(screen.size.width)?);
    page.set(offset_of!(boot_params, screen_info.lfb_height), &side(screen.size.height)?);
    page.set(offset_of!(boot_params, screen_info.lfb_depth), &32u16.to_le_bytes());
    page.set(offset_of!(boot_params, screen_info.lfb_base), &low(screen.base));
    page.set(offset_of!(boot_params, screen_info.ext_lfb_base), &high(screen.base));
    page.set(offset_of!(boot_params, screen_info.lfb_size), &low(screen.len / UNIT));
    page.set(offset_of!(boot_params, screen_info.lfb_linelength), &side(screen.pitch)?);
    // Size and place of each colour's bits: red, green, blue, and those that mean nothing.
    page.set(offset_of!(boot_params, screen_info.red_size), &[8, 16, 8, 8, 8, 0, 8, 24]);
    page.set(offset_of!(boot_params, screen_info.pages), &1u16.to_le_bytes());
    // vesafb also takes this for: no registers of a VGA.
    page.set(offset_of!(boot_params, screen_info.capabilities), &VIDEO_CAPABILITY_64BIT_BASE.to_le_bytes());
    Ok(())
}

fn low(value: u64) -> [u8; 4] {
    (value as u32).to_le_bytes()
}

fn high(value: u64) -> [u8; 4] {
    ((value >> 32) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests;
