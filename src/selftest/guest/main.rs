//! The self-test guest: drives every device of the machine from inside and reports TAP on ttyS0.
//!
//! All of this runs in ring 3, with every port and all memory open to it; boot.S has what must run in ring 0.
//! The host tells on the command line what it knows (see `Context`), and the guest finds the rest as an operating
//! system would: ACPI, PCI, virtio. Written against the specifications, so that it checks the host's half.

#![no_std]
#![no_main]

extern crate alloc;

mod acpi;
#[path = "../agreed.rs"]
mod agreed;
mod apic;
mod cpu;
mod pci;
mod port;
mod rt;
mod smp;
mod tap;
mod tests;
mod time;
mod virtio;

use alloc::string::String;

/// What a test says: nothing, or why it failed.
pub type Result<T = (), E = String> = core::result::Result<T, E>;

/// `ensure!(condition, "why not {}", x)` returns that reason from a test.
#[macro_export]
macro_rules! ensure {
    ($cond:expr, $($why:tt)*) => {
        if !$cond {
            return Err($crate::tap::text(format_args!($($why)*)));
        }
    };
}

/// What the tests know of the machine.
pub struct Context {
    cmdline: &'static str,
    pub rsdp: u64,
    /// The other processors, once they have been started.
    pub others: alloc::vec::Vec<&'static smp::Other>,
}

impl Context {
    /// The value of `name=` on the command line.
    pub fn option(&self, name: &str) -> Option<&'static str> {
        let mut words = self.cmdline.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.option(name)?;
        match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }
}

/// The PVH start info (Xen, docs/misc/pvh.pandoc).
#[repr(C)]
#[derive(Clone, Copy)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    nr_modules: u32,
    modlist_paddr: u64,
    cmdline_paddr: u64,
    rsdp_paddr: u64,
    memmap_paddr: u64,
    memmap_entries: u32,
    reserved: u32,
}

const START_MAGIC: u32 = 0x336e_c578;

/// Where boot.S goes on to, in ring 3 of the boot processor.
#[unsafe(no_mangle)]
extern "C" fn main(info: u64, _: u64) -> ! {
    cpu::init();
    // SAFETY: the boot protocol gives the address of a start info.
    let info = unsafe { (info as *const StartInfo).read_unaligned() };
    if info.magic != START_MAGIC {
        tap::bail(format_args!("the start info has magic {:#x}", info.magic));
    }
    rt::init(info.memmap_paddr, info.memmap_entries);
    // SAFETY: a zero-terminated string, says the protocol; boot.S and the allocator leave it alone.
    let cmdline = unsafe { rt::c_str(info.cmdline_paddr) };
    let mut context = Context { cmdline, rsdp: info.rsdp_paddr, others: alloc::vec::Vec::new() };
    time::init();
    apic::init();
    let passed = tests::run(&mut context);
    tests::end(&context, passed)
}
