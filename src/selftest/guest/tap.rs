//! The report: TAP (Test Anything Protocol, version 12) on ttyS0, and the ways to end.

use crate::port::{in8, out8};
use alloc::string::String;
use core::fmt::{self, Write};

const COM1: u16 = 0x3f8;
const DEBUG_EXIT: u16 = 0xf4;

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            while in8(COM1 + 5) & 0x20 == 0 {
                core::hint::spin_loop();
            }
            out8(COM1, byte);
        }
        Ok(())
    }
}

/// Prints one line whole: it is put together first, so that a test of the port may stand between lines only.
pub fn line(text: fmt::Arguments) {
    let _ = Serial.write_fmt(text);
    let _ = Serial.write_str("\n");
}

#[macro_export]
macro_rules! note {
    ($($text:tt)*) => { $crate::tap::line(format_args!("# {}", format_args!($($text)*))) };
}

/// `format!`, but out of the way: there are many reasons to fail, and they are rare.
#[cold]
#[inline(never)]
pub fn text(text: fmt::Arguments) -> String {
    alloc::fmt::format(text)
}

/// The whole run is over, and failed.
pub fn bail(why: fmt::Arguments) -> ! {
    line(format_args!("Bail out! {why}"));
    exit(1)
}

/// Ends the machine: 0 for a pass.
pub fn exit(value: u8) -> ! {
    out8(DEBUG_EXIT, value);
    // The machine may take a moment.
    crate::time::spin(|| false);
    line(format_args!("# the debug-exit port did not end the machine"));
    crate::cpu::stop()
}
