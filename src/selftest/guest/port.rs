//! Ports and device registers: one access each, of exactly the width asked for.

use core::arch::asm;

macro_rules! port {
    ($read:ident $write:ident $type:ty, $reg:tt) => {
        pub fn $read(port: u16) -> $type {
            let value;
            // SAFETY: the guest is alone on its machine.
            unsafe { asm!(concat!("in ", $reg, ", dx"), out($reg) value, in("dx") port, options(nostack)) };
            value
        }
        pub fn $write(port: u16, value: $type) {
            // SAFETY: as above.
            unsafe { asm!(concat!("out dx, ", $reg), in($reg) value, in("dx") port, options(nostack)) };
        }
    };
}
port!(in8 out8 u8, "al");
port!(in16 out16 u16, "ax");
port!(in32 out32 u32, "eax");

/// `rep outsb`
pub fn out_string(port: u16, data: &[u8]) {
    // SAFETY: reads `data` only.
    unsafe {
        asm!("rep outsb", in("dx") port, inout("rcx") data.len() => _, inout("rsi") data.as_ptr() => _,
            options(nostack));
    }
}

/// `rep insb`
pub fn in_string(port: u16, data: &mut [u8]) {
    // SAFETY: fills `data` only.
    unsafe {
        asm!("rep insb", in("dx") port, inout("rcx") data.len() => _, inout("rdi") data.as_mut_ptr() => _,
            options(nostack));
    }
}

macro_rules! register {
    ($read:ident $write:ident $type:ty, $class:ident, $form:literal, $size:literal) => {
        pub fn $read(at: u64) -> $type {
            let value;
            // SAFETY: a load from a device, or from memory that is not Rust's.
            unsafe {
                asm!(concat!("mov ", $form, ", ", $size, " ptr [{1}]"), out($class) value, in(reg) at, options(nostack))
            };
            value
        }
        pub fn $write(at: u64, value: $type) {
            // SAFETY: a store to a device.
            unsafe {
                asm!(concat!("mov ", $size, " ptr [{1}], ", $form), in($class) value, in(reg) at, options(nostack))
            };
        }
    };
}
register!(read8 write8 u8, reg_byte, "{0}", "byte");
register!(read16 write16 u16, reg, "{0:x}", "word");
register!(read32 write32 u32, reg, "{0:e}", "dword");
