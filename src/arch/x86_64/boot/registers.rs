//! The processor state each protocol starts in, and the descriptor and page tables it refers to.

use super::{Entry, layout};
use crate::boot::Protocol;
use crate::mem::Memory;
use anyhow::{Context, Result};
use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};

// Control registers and EFER: SDM 3A, 2.5 and 2.2.1.
const CR0_PE: u64 = 1 << 0;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// Bit 1 is always set; interrupts are off.
const RFLAGS: u64 = 1 << 1;

/// Linux's __BOOT_CS and __BOOT_DS; the other protocols leave the choice to us.
const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const TASK: u16 = 0x20;

/// What %eax tells a multiboot kernel.
const MULTIBOOT: u64 = 0x2bad_b002;

const PAGE: u64 = 4096;
const LARGE_PAGE: u64 = 2 << 20;
/// Page table entries: present, writable, and a 2 MiB page (SDM 3A, 4.5).
const PRESENT: u64 = 0b11;
const LARGE: u64 = 1 << 7;

/// Flat code, data and a task that is never switched to. Types (SDM 3A, 3.4.5.1, 3.5): 0xb executable, readable, accessed;
/// 3 writable, accessed; for a system segment 0xb is a busy TSS, which VM entry wants (SDM 3C, 26.3.1.2).
fn segment(selector: u16, long: bool) -> kvm_segment {
    let flat = kvm_segment { limit: 0xffff_ffff, selector, present: 1, s: 1, g: 1, ..Default::default() };
    match selector {
        CODE => kvm_segment { type_: 0xb, l: u8::from(long), db: u8::from(!long), ..flat },
        DATA => kvm_segment { type_: 3, db: 1, ..flat },
        _ => kvm_segment { limit: 0x67, type_: 0xb, s: 0, g: 0, ..flat },
    }
}

/// The same as 8 bytes of a descriptor table (SDM 3A, 3.4.5).
fn descriptor(s: &kvm_segment) -> u64 {
    let limit = u64::from(if s.g == 1 { s.limit >> 12 } else { s.limit });
    let access = u64::from(s.type_ | s.s << 4 | s.dpl << 5 | s.present << 7);
    let flags = u64::from(s.avl | s.l << 1 | s.db << 2 | s.g << 3);
    (limit & 0xffff)
        | (s.base & 0xff_ffff) << 16
        | access << 40
        | (limit >> 16) << 48
        | flags << 52
        | (s.base >> 24) << 56
}

/// Indices 0 and 1 are unused. A TSS has 16 bytes in long mode.
fn gdt(long: bool) -> [u64; 6] {
    let entry = |selector| descriptor(&segment(selector, long));
    [0, 0, entry(CODE), entry(DATA), entry(TASK), 0]
}

/// Writes what `registers` refers to.
pub fn write_tables(memory: &Memory, protocol: Protocol) -> Result<()> {
    let long = protocol == Protocol::Linux64;
    write(memory, layout::GDT, gdt(long))?;
    if !long {
        return Ok(());
    }
    // One PML4, one page of pointers, four directories of 2 MiB pages: the first 4 GiB, mapped as they are.
    let pointers = layout::PAGE_TABLES + PAGE;
    let directories = pointers + PAGE;
    write(memory, layout::PAGE_TABLES, [pointers | PRESENT])?;
    write(memory, pointers, (0..4).map(|i| (directories + i * PAGE) | PRESENT))?;
    write(memory, directories, (0..4 * 512).map(|i| (i * LARGE_PAGE) | PRESENT | LARGE))
}

fn write(memory: &Memory, at: u64, words: impl IntoIterator<Item = u64>) -> Result<()> {
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    memory.write(at, &bytes).context("write boot tables")
}

/// The registers of the first vCPU: all of the general ones, and `sregs` (as KVM gave them after reset) changed.
/// Only this vCPU gets them; the others wait for their start-up interrupt.
pub fn registers(entry: &Entry, mut sregs: kvm_sregs) -> (kvm_regs, kvm_sregs) {
    let long = matches!(entry, Entry::Linux64 { .. });
    sregs.cs = segment(CODE, long);
    let data = segment(DATA, long);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr = segment(TASK, long);
    sregs.ldt = kvm_segment { unusable: 1, ..Default::default() };
    let limit = (size_of_val(&gdt(long)) - 1) as u16;
    sregs.gdt = kvm_dtable { base: layout::GDT, limit, ..Default::default() };
    sregs.idt = kvm_dtable::default();
    sregs.cr2 = 0;
    if long {
        sregs.cr0 = CR0_PE | CR0_ET | CR0_PG;
        sregs.cr3 = layout::PAGE_TABLES;
        sregs.cr4 = CR4_PAE;
        sregs.efer = EFER_LME | EFER_LMA;
    } else {
        sregs.cr0 = CR0_PE | CR0_ET;
        sregs.cr3 = 0;
        sregs.cr4 = 0;
        sregs.efer = 0;
    }
    // A stack is nobody's due, but harmless: it grows down from the boot data.
    let regs = kvm_regs { rflags: RFLAGS, rsp: layout::ZERO_PAGE, ..Default::default() };
    let regs = match *entry {
        Entry::Linux64 { rip, zero_page } => kvm_regs { rip, rsi: zero_page, ..regs },
        Entry::Linux32 { eip, zero_page } => kvm_regs { rip: eip.into(), rsi: zero_page.into(), ..regs },
        Entry::Pvh { eip, start_info } => kvm_regs { rip: eip.into(), rbx: start_info.into(), ..regs },
        Entry::Multiboot { eip, info } => kvm_regs { rip: eip.into(), rax: MULTIBOOT, rbx: info.into(), ..regs },
    };
    (regs, sregs)
}

#[cfg(test)]
mod tests;
