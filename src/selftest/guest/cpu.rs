//! The processor: calls into ring 0, the interrupt table, counters of interrupts, the page tables.

use crate::rt;
use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

core::arch::global_asm!(include_str!("boot.S"), options(att_syntax));

unsafe extern "C" {
    static stubs: u8;
    static exceptions: u8;
    static mut idt: [[u64; 2]; 256];
    static mut pml4: [u64; 512];
    static mut gdt: [u64; 518];
    static mut mailbox: [u64; 5];
    static boot_page: [u64; 512];
    static start16: u8;
    static start16_end: u8;
    static boot_stack_end: u8;
}

/// Slots of a processor's page below the interrupt counters (boot.S uses them too).
const SLOT_X2APIC: usize = 1;
const SLOT_STACK: usize = 2;

/// What a processor has of its own: interrupt counters and the ring 0 stack, in one page.
#[derive(Clone, Copy)]
pub struct Page(pub u64);

impl Page {
    pub fn boot() -> Page {
        Page(&raw const boot_page as u64)
    }

    pub fn new() -> Page {
        Page(rt::pages(4096, 4096).as_ptr() as u64)
    }

    fn slot(self, n: usize) -> *mut u64 {
        (self.0 as *mut u64).wrapping_add(n)
    }

    /// How often interrupt `vector` came.
    pub fn count(self, vector: u8) -> u64 {
        // SAFETY: inside the page; interrupts change it.
        unsafe { self.slot(vector.into()).read_volatile() }
    }

    /// From now on interrupts are acknowledged the x2APIC's way.
    pub fn set_x2apic(self) {
        // SAFETY: inside the page.
        unsafe { self.slot(SLOT_X2APIC).write_volatile(1) };
    }

    pub fn x2apic(self) -> bool {
        // SAFETY: inside the page.
        unsafe { self.slot(SLOT_X2APIC).read_volatile() != 0 }
    }

    fn set_stack(self, top: u64) {
        // SAFETY: inside the page.
        unsafe { self.slot(SLOT_STACK).write_volatile(top) };
    }

    /// Halts until an interrupt comes, unless `vector` has come since it was counted `seen` times.
    pub fn halt(self, vector: u8, seen: u64) {
        call(0, self.slot(vector.into()) as u64, seen, 0, 0);
    }
}

/// Fills the interrupt table and maps the first 4 GiB. Interrupts stay off.
pub fn init() {
    for n in 0..256u64 {
        let at = match n {
            0..32 => &raw const exceptions as u64 + n * 16,
            _ => &raw const stubs as u64 + (n - 32) * 16,
        };
        let low = at & 0xffff | 0x08 << 16 | 0x8e00 << 32 | (at >> 16 & 0xffff) << 48;
        // SAFETY: the table is ours, and n is inside it.
        unsafe { (&raw mut idt).cast::<[u64; 2]>().add(n as usize).write([low, at >> 32]) };
    }
    Page::boot().set_stack(&raw const boot_stack_end as u64 - 8);
    #[repr(align(4096))]
    struct Tables([[u64; 512]; 4]);
    static mut TABLES: Tables = Tables([[0; 512]; 4]);
    // SAFETY: nobody else is running, and the entries of the first 16 MiB do not change their meaning.
    unsafe {
        let tables = &raw mut TABLES;
        let pdpt = ((*(&raw const pml4))[0] & !0xfff) as *mut u64;
        for gib in 0..4 {
            let table = (&raw mut (*tables).0[gib]).cast::<u64>();
            fill(table, (gib as u64) << 30);
            pdpt.add(gib).write_volatile(table as u64 | 7);
        }
    }
}

unsafe fn fill(table: *mut u64, from: u64) {
    for i in 0..512 {
        unsafe { table.add(i).write_volatile(from + ((i as u64) << 21) | 0x87) };
    }
}

/// Makes `at..at+len` accessible, wherever it is.
pub fn map(at: u64, len: u64) {
    for gib in at >> 30..=(at + len - 1) >> 30 {
        let entry = |table: *mut u64, index: u64| -> (*mut u64, bool) {
            let entry = table.wrapping_add((index & 511) as usize);
            // SAFETY: inside a page table, which is ours.
            let mut value = unsafe { entry.read_volatile() };
            let new = value & 1 == 0;
            if new {
                value = rt::pages(4096, 4096).as_ptr() as u64 | 7;
                // SAFETY: as above; nothing was mapped here.
                unsafe { entry.write_volatile(value) };
            }
            ((value & !0xfff) as *mut u64, new)
        };
        let (pdpt, _) = entry(&raw mut pml4 as *mut u64, gib >> 9);
        let (table, new) = entry(pdpt, gib);
        if new {
            // SAFETY: a new table.
            unsafe { fill(table, gib << 30) };
        }
    }
}

/// Calls service `n` of ring 0 (boot.S): an undefined instruction gets there on every host.
fn call(n: u64, rdi: u64, rsi: u64, rcx: u64, rdx: u64) -> (u64, [u64; 4]) {
    let (low, high): (u64, u64);
    let mut out = [0; 4];
    // SAFETY: the services change only the registers named here.
    unsafe {
        asm!("ud2", inout("rax") n => low, inout("rdx") rdx => high, in("rdi") rdi, in("rsi") rsi, inout("rcx") rcx => _,
            out("r8") out[0], out("r9") out[1], out("r10") out[2], out("r11") out[3]);
    }
    (high << 32 | low & 0xffff_ffff, out)
}

pub fn rdmsr(msr: u32) -> u64 {
    call(1, 0, 0, msr.into(), 0).0
}

pub fn wrmsr(msr: u32, value: u64) {
    call(2, 0, value & 0xffff_ffff, msr.into(), value >> 32);
}

/// The time stamp counter as ring 0 sees it: what the TSC-deadline timer compares with.
pub fn rdtsc0() -> u64 {
    call(3, 0, 0, 0, 0).0
}

pub fn interrupts(on: bool) {
    call(4, on.into(), 0, 0, 0);
}

/// This processor does nothing any more.
pub fn stop() -> ! {
    loop {
        call(5, 0, 0, 0, 0);
    }
}

/// eax, ebx, ecx, edx of a CPUID leaf, as ring 0 sees it.
pub fn cpuid(leaf: u32, sub: u32) -> [u32; 4] {
    call(6, 0, leaf.into(), sub.into(), 0).1.map(|r| r as u32)
}

pub fn triple_fault() {
    call(7, 0, 0, 0, 0);
}

/// A vector nobody has yet.
pub fn vector() -> u8 {
    static NEXT: AtomicU8 = AtomicU8::new(0x30);
    let vector = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(vector < 0xf0, "out of interrupt vectors");
    vector
}

/// Physical address of the page a starting processor begins at.
const TRAMPOLINE: u64 = 0x7_0000;
/// Up to the last byte of the I/O permission bitmap.
const TSS_LEN: usize = 104 + 8192 + 1;

/// Prepares the start of processor `index` (1 and up) in `function(0, argument)`; gives the SIPI vector.
/// One at a time: the next one only when this one has reached its function.
pub fn prepare(index: usize, page: Page, function: extern "C" fn(u64, u64) -> !, argument: u64) -> u8 {
    let tss = rt::pages(TSS_LEN, 16);
    tss[4..12].copy_from_slice(&(page.0 + 4096).to_le_bytes()); // RSP0
    tss[102..104].copy_from_slice(&104u16.to_le_bytes()); // the bitmap
    tss[TSS_LEN - 1] = 0xff;
    let base = tss.as_ptr() as u64;
    let limit = TSS_LEN as u64 - 1;
    let stack = rt::pages(32768, 4096);
    let top = stack.as_ptr() as u64 + stack.len() as u64 - 8;
    page.set_stack(top);
    let selector = 0x30 + index * 16;
    // SAFETY: the tables are ours, no processor uses these entries yet, and the trampoline is in conventional memory.
    unsafe {
        let entry = (&raw mut gdt).cast::<u64>().add(selector / 8);
        entry.write_volatile(limit | (base & 0xff_ffff) << 16 | 0x89 << 40 | (base >> 24 & 0xff) << 56);
        entry.add(1).write_volatile(base >> 32);
        let mail = [page.0 + 4096, selector as u64, top, function as *const () as u64, argument];
        (&raw mut mailbox).write_volatile(mail);
        let len = &raw const start16_end as usize - &raw const start16 as usize;
        core::ptr::copy_nonoverlapping(&raw const start16, TRAMPOLINE as *mut u8, len);
    }
    (TRAMPOLINE >> 12) as u8
}
