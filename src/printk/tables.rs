//! Virtual addresses of a Linux kernel, through its own page table.

use super::record::value;
use crate::mem::Memory;
use anyhow::{Context, Result, bail};

/// Where the kernel's image is mapped (Documentation/arch/x86/x86_64/mm.rst).
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
const PRESENT: u64 = 1;
/// At the second and third level: a page of 1 GiB or 2 MiB (SDM 3A, 4.5.4).
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

pub struct Tables<'a> {
    memory: &'a Memory,
    /// Physical address of the top level.
    root: u64,
    levels: u32,
}

impl<'a> Tables<'a> {
    pub fn new(memory: &'a Memory, vmcoreinfo: &[u8]) -> Result<Tables<'a>> {
        let base = value(vmcoreinfo, "NUMBER(phys_base)").and_then(|v| v.parse::<i64>().ok());
        let base = base.context("VMCOREINFO has no phys_base")?;
        let top =
            ["SYMBOL(init_top_pgt)", "SYMBOL(swapper_pg_dir)"].into_iter().find_map(|name| value(vmcoreinfo, name));
        let top = top.and_then(|v| u64::from_str_radix(v, 16).ok()).context("VMCOREINFO has no page table")?;
        let root = top.wrapping_sub(START_KERNEL_MAP).wrapping_add_signed(base);
        let five = value(vmcoreinfo, "NUMBER(pgtable_l5_enabled)").is_some_and(|v| v != "0");
        Ok(Tables { memory, root, levels: if five { 5 } else { 4 } })
    }

    /// The physical address, and how many bytes follow it in the same page.
    fn walk(&self, address: u64) -> Result<(u64, u64)> {
        let mut table = self.root;
        for level in (1..=self.levels).rev() {
            let shift = 12 + 9 * (level - 1);
            let at = table.checked_add((address >> shift & 0x1ff) * 8).context("a page table beyond all memory")?;
            let entry = u64::from_le_bytes(self.memory.read(at)?);
            if entry & PRESENT == 0 {
                bail!("{address:#x} is not mapped");
            }
            if level == 1 || level < 4 && entry & LARGE != 0 {
                let offset = address & ((1 << shift) - 1);
                return Ok(((entry & ADDRESS & !((1 << shift) - 1)) + offset, (1 << shift) - offset));
            }
            table = entry & ADDRESS;
        }
        bail!("{address:#x} is not mapped")
    }

    /// Fills `out` from virtual address `at` on.
    pub fn copy(&self, mut at: u64, mut out: &mut [u8]) -> Result<()> {
        while !out.is_empty() {
            let (physical, room) = self.walk(at)?;
            let n = usize::try_from(room).unwrap_or(usize::MAX).min(out.len());
            let (now, later) = out.split_at_mut(n);
            self.memory.slice(physical, n)?.copy_to(now);
            at = at.wrapping_add(n as u64);
            out = later;
        }
        Ok(())
    }

    pub fn read<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.copy(at, &mut out)?;
        Ok(out)
    }

    pub fn u64(&self, at: u64) -> Result<u64> {
        self.read(at).map(u64::from_le_bytes)
    }
}
