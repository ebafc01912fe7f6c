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
mod start;
mod tap;
mod tests;
mod time;
mod virtio;

use alloc::string::String;
pub use start::Context;

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

/// Where boot.S goes on to, in ring 3 of the boot processor.
#[unsafe(no_mangle)]
extern "C" fn main(info: u64, _: u64) -> ! {
    let mut context = start::begin(info);
    let passed = tests::run(&mut context);
    tests::end(&context, passed)
}
