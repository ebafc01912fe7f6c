//! Time: the TSC, measured against the PIT.

use crate::port::{in8, out8};
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering};

const PIT_HZ: u64 = 1_193_182;
static TSC_HZ: AtomicU64 = AtomicU64::new(0);

/// Measures it three times; the host may have taken the processor away meanwhile, so the least is right.
pub fn init() {
    let ticks = (0..3).map(|_| measure()).min().unwrap_or(1);
    TSC_HZ.store(ticks * 100, Ordering::Relaxed);
}

/// Ticks of the TSC during 10 ms of PIT channel 2 (8254, mode 0), or a bit more.
fn measure() -> u64 {
    let count = (PIT_HZ / 100) as u16;
    out8(0x61, in8(0x61) & !2 | 1);
    out8(0x43, 0xb0);
    out8(0x42, count as u8);
    let start = now();
    out8(0x42, (count >> 8) as u8);
    while in8(0x61) & 0x20 == 0 {
        if now() - start > 1 << 36 {
            crate::tap::bail(format_args!("channel 2 of the PIT does not count"));
        }
    }
    now() - start
}

/// Ticks of the TSC in a second.
pub fn hz() -> u64 {
    TSC_HZ.load(Ordering::Relaxed)
}

pub fn now() -> u64 {
    // SAFETY: CR4.TSD is clear.
    unsafe { _rdtsc() }
}

pub fn ticks_of_micros(micros: u64) -> u64 {
    (u128::from(micros) * u128::from(hz()) / 1_000_000) as u64
}

/// Busy for that long.
pub fn delay(micros: u64) {
    let end = now() + ticks_of_micros(micros);
    while now() < end {
        core::hint::spin_loop();
    }
}

/// True as soon as `done` says so, false after `SECONDS`.
pub fn spin(mut done: impl FnMut() -> bool) -> bool {
    let end = now() + SECONDS * hz();
    while !done() {
        if now() > end {
            return false;
        }
        core::hint::spin_loop();
    }
    true
}

/// How long anything may take: far more than it needs, on a loaded host that emulates everything too.
pub const SECONDS: u64 = 20;
