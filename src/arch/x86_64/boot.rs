//! Booting a PC: the kernel and its initial RAM disks go into guest memory, with the tables their boot protocol wants,
//! and the first vCPU gets the registers it wants. docs/boot.md has the whole story.

mod low;
mod map;
mod multiboot;
mod pvh;
mod registers;
mod zero_page;

pub use registers::registers;

use super::layout;
use crate::boot::{Image, Module, Placed, Protocol, initrd};
use crate::config::Payload;
use crate::mem::Memory;
use crate::platform::vga::Framebuffer;
use anyhow::{Result, ensure};
use low::Low;
use std::ops::Range;

/// Linux wants archives that follow each other at multiples of this (usr/gen_init_cpio.c).
const CPIO_ALIGN: u64 = 4;
/// Multiboot modules may be asked for on page boundaries, and Xen has its own so.
const MODULE_ALIGN: u64 = 4096;
/// What Linux takes without a setup header that says more.
const INITRD_MAX: u64 = 0x7fff_ffff;

/// What is to boot: all files are open and recognised.
pub struct Kernel {
    image: Image,
    modules: Vec<Module>,
    cmdline: String,
    /// The same for Linux, which is also told where its console is.
    linux_cmdline: String,
    decompressor: bool,
}

/// How the first vCPU starts. Addresses are physical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Long mode with the first 4 GiB mapped as they are (Linux: boot.rst, "64-bit Boot Protocol").
    Linux64 { rip: u64, zero_page: u64 },
    /// Protected mode without paging (boot.rst, "32-bit Boot Protocol").
    Linux32 { eip: u32, zero_page: u32 },
    /// As above (Xen: docs/misc/pvh.pandoc).
    Pvh { eip: u32, start_info: u32 },
    /// As above (Multiboot Specification 0.6.96, 3.2).
    Multiboot { eip: u32, info: u32 },
}

/// A kernel in guest memory, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub entry: Entry,
    /// What was loaded and how it is entered, for people.
    pub format: String,
}

impl Kernel {
    /// Opens the kernel and the initial RAM disks. Errors name the file.
    pub fn open(payload: &Payload) -> Result<Kernel> {
        let image = match &payload.found {
            Some(found) => Image::of(&payload.kernel, &found.kernel)?,
            None => Image::open(&payload.kernel)?,
        };
        let arguments = image.setup().is_none();
        let files = payload.initrd.iter().map(|path| Module::open(path, arguments));
        let built = payload.built.iter().map(|archive| Ok(Module::built(archive.clone())));
        let found = payload.found.iter().flat_map(|f| &f.initrd);
        let found = found.map(|(name, archive)| Ok(Module::found(name, archive.clone())));
        let modules = found.chain(files).chain(built).collect::<Result<_>>()?;
        let cmdline = payload.cmdline.trim().to_string();
        let linux_cmdline = format!("{} {cmdline}", payload.linux_args.trim()).trim().to_string();
        // Of other files it is known only when they are loaded whether they are Linux.
        match image.setup() {
            Some(setup) => check_cmdline(&linux_cmdline, setup.cmdline_size)?,
            None => check_cmdline(&cmdline, u64::MAX)?,
        }
        Ok(Kernel { image, modules, cmdline, linux_cmdline, decompressor: payload.decompressor })
    }

    /// Fills guest memory, which reads as zero: before the first start, and at each reset after `Memory::clear`.
    /// `screen`: what is set up for the kernel to draw in.
    pub fn load(&self, memory: &Memory, screen: Option<&Framebuffer>) -> Result<Loaded> {
        let low_end = low_end(memory)?;
        let placed = self.image.load(memory, &taken(), self.decompressor)?;
        registers::write_tables(memory, placed.protocol)?;
        let low = Low::new(memory);
        let entry = match placed.protocol {
            Protocol::Linux64 | Protocol::Linux32 => self.linux(memory, &placed, low_end, low, screen)?,
            Protocol::Pvh => self.pvh(memory, &placed, low_end, low)?,
            Protocol::Multiboot => self.multiboot(memory, &placed, low_end, low, screen)?,
        };
        let format = format!("{}, {}", self.image.format(), entry.name());
        Ok(Loaded { entry, format })
    }

    fn linux(
        &self,
        memory: &Memory,
        placed: &Placed,
        low_end: u64,
        mut low: Low,
        screen: Option<&Framebuffer>,
    ) -> Result<Entry> {
        let setup = self.image.setup();
        let limit = setup.map_or(INITRD_MAX, |s| s.initrd_addr_max).saturating_add(1);
        let initrd = self.load_modules(memory, placed, CPIO_ALIGN, low_end, limit)?;
        let start = initrd.first().map_or(0, |r| r.start);
        let end = initrd.last().map_or(start, |r| r.end);
        check_cmdline(&self.linux_cmdline, setup.map_or(u64::MAX, |s| s.cmdline_size))?;
        let cmdline = low.string(&self.linux_cmdline)?;
        let code = placed.ranges.iter().map(|r| r.start).min().unwrap_or_default();
        zero_page::write(memory, setup, cmdline, start..end, code, screen)?;
        match placed.protocol {
            Protocol::Linux64 => Ok(Entry::Linux64 { rip: placed.entry, zero_page: layout::ZERO_PAGE }),
            _ => Ok(Entry::Linux32 { eip: placed.entry.try_into()?, zero_page: layout::ZERO_PAGE as u32 }),
        }
    }

    fn pvh(&self, memory: &Memory, placed: &Placed, low_end: u64, mut low: Low) -> Result<Entry> {
        let modules = self.load_modules(memory, placed, MODULE_ALIGN, low_end, low_end)?;
        let strings = self.strings(&mut low)?;
        let cmdline = low.string(&self.cmdline)?;
        pvh::write(memory, &mut low, cmdline, &modules, &strings)?;
        Ok(Entry::Pvh { eip: placed.entry.try_into()?, start_info: layout::START_INFO as u32 })
    }

    fn multiboot(
        &self,
        memory: &Memory,
        placed: &Placed,
        low_end: u64,
        mut low: Low,
        screen: Option<&Framebuffer>,
    ) -> Result<Entry> {
        let modules = self.load_modules(memory, placed, MODULE_ALIGN, low_end, low_end)?;
        let strings = self.strings(&mut low)?;
        // The first word is the kernel's own name, as other loaders have it and small kernels expect it.
        let cmdline = low.string(&format!("{} {}", self.image.path().display(), self.cmdline))?;
        multiboot::write(memory, &mut low, cmdline, &modules, &strings, screen)?;
        Ok(Entry::Multiboot { eip: placed.entry.try_into()?, info: layout::START_INFO as u32 })
    }

    fn strings(&self, low: &mut Low) -> Result<Vec<u64>> {
        self.modules.iter().map(|m| low.string(&m.string)).collect()
    }

    /// Reads the modules as high as possible; says where each one is.
    fn load_modules(
        &self,
        memory: &Memory,
        placed: &Placed,
        align: u64,
        low: u64,
        limit: u64,
    ) -> Result<Vec<Range<u64>>> {
        let (offsets, len) = initrd::arrange(&self.modules, align)?;
        if self.modules.is_empty() {
            return Ok(Vec::new());
        }
        let base = initrd::place(len, &placed.ranges, low, limit)?;
        let load = |(module, offset): (&Module, u64)| {
            let at = base + offset;
            module.load(memory, at)?;
            Ok(at..at + module.len)
        };
        self.modules.iter().zip(offsets).map(load).collect()
    }
}

impl Entry {
    fn name(&self) -> &'static str {
        match self {
            Entry::Linux64 { .. } => "64-bit Linux entry",
            Entry::Linux32 { .. } => "32-bit Linux entry",
            Entry::Pvh { .. } => "PVH entry",
            Entry::Multiboot { .. } => "multiboot entry",
        }
    }
}

/// Where no kernel may lie: boot data, and what is not RAM to the guest.
fn taken() -> [Range<u64>; 2] {
    [layout::ZERO_PAGE..low::END, layout::EBDA..layout::HIGH_RAM]
}

/// Where the RAM ends that begins at 0.
fn low_end(memory: &Memory) -> Result<u64> {
    let low = memory.regions().into_iter().find(|r| r.base == 0).map_or(0, |r| r.len);
    ensure!(low > layout::HIGH_RAM, "guest memory of {} KiB is too small to boot; give --memory 2M or more", low >> 10);
    Ok(low)
}

/// `most`: bytes the kernel takes, without the terminating zero.
fn check_cmdline(cmdline: &str, most: u64) -> Result<()> {
    let most = most.min(layout::CMDLINE_MAX as u64 - 1);
    let len = cmdline.len() as u64;
    ensure!(len <= most, "kernel command line: {len} bytes, this kernel takes at most {most}");
    ensure!(!cmdline.contains('\0'), "kernel command line: contains a zero byte");
    Ok(())
}

#[cfg(test)]
mod tests;
