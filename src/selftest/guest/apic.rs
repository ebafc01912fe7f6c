//! Interrupt controllers: the local APIC (SDM 3A, 11) in both modes, its timer, the IOAPIC, and the old PIC, switched off.

use crate::cpu::{self, Page};
use crate::port::{out8, read32, write32};
use crate::time;
use core::sync::atomic::{AtomicU8, Ordering};

const LOCAL: u64 = 0xfee0_0000;
const IOAPIC: u64 = 0xfec0_0000;

/// Registers of the local APIC, by their MMIO offset.
pub const ID: u32 = 0x20;
pub const VERSION: u32 = 0x30;
const SPURIOUS: u32 = 0xf0;
pub const LVT_TIMER: u32 = 0x320;
pub const TIMER_INITIAL: u32 = 0x380;
pub const TIMER_CURRENT: u32 = 0x390;
pub const TIMER_DIVIDE: u32 = 0x3e0;

pub const MASKED: u32 = 1 << 16;
pub const PERIODIC: u32 = 1 << 17;
pub const TSC_DEADLINE: u32 = 2 << 17;
pub const MSR_APIC_BASE: u32 = 0x1b;
pub const MSR_TSC_DEADLINE: u32 = 0x6e0;

pub const INIT: u32 = 0x4500;
pub const STARTUP: u32 = 0x4600;
pub const FIXED: u32 = 0x4000;

/// The vector of the tick, 0 while there is none.
static TICK: AtomicU8 = AtomicU8::new(0);

/// The PIC masked, the APIC of the boot processor on, interrupts on.
pub fn init() {
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
    enable();
}

/// Switches on the local APIC of this processor, and its interrupts.
pub fn enable() {
    write(SPURIOUS, 0x1ff);
    cpu::interrupts(true);
}

/// `Page::boot()` is right for the mode: only the boot processor ever changes it, as the last of all tests.
pub fn read(register: u32) -> u32 {
    match Page::boot().x2apic() {
        true => cpu::rdmsr(0x800 + register / 16) as u32,
        false => read32(LOCAL + u64::from(register)),
    }
}

pub fn write(register: u32, value: u32) {
    match Page::boot().x2apic() {
        true => cpu::wrmsr(0x800 + register / 16, value.into()),
        false => write32(LOCAL + u64::from(register), value),
    }
}

/// Sends `command` (delivery mode and vector) to local APIC `to`.
pub fn send(to: u32, command: u32) {
    if Page::boot().x2apic() {
        cpu::wrmsr(0x830, u64::from(to) << 32 | u64::from(command));
        return;
    }
    write32(LOCAL + 0x310, to << 24);
    write32(LOCAL + 0x300, command);
    time::spin(|| read32(LOCAL + 0x300) & 1 << 12 == 0);
}

/// Is `vector` pending (IRR)?
pub fn requested(vector: u8) -> bool {
    read(0x200 + u32::from(vector / 32) * 16) >> (vector % 32) & 1 == 1
}

/// A tick 20 times a second, so that nobody who waits for an interrupt that does not come halts for ever.
pub fn start_tick() {
    let vector = match TICK.load(Ordering::Relaxed) {
        0 => cpu::vector(),
        v => v,
    };
    TICK.store(vector, Ordering::Relaxed);
    write(TIMER_DIVIDE, 0xb);
    write(LVT_TIMER, PERIODIC | u32::from(vector));
    // KVM's APIC timer counts nanoseconds.
    write(TIMER_INITIAL, 50_000_000);
}

pub fn stop_tick() {
    write(LVT_TIMER, MASKED);
    write(TIMER_INITIAL, 0);
    TICK.store(0, Ordering::Relaxed);
}

/// Waits on the boot processor until `done`; interrupt `vector` is what should make it so. False after a long time.
pub fn wait(vector: u8, mut done: impl FnMut() -> bool) -> bool {
    let page = Page::boot();
    let end = time::now() + time::SECONDS * time::hz();
    loop {
        let seen = page.count(vector);
        if done() {
            return true;
        }
        if time::now() > end {
            return false;
        }
        match TICK.load(Ordering::Relaxed) {
            0 => core::hint::spin_loop(),
            _ => page.halt(vector, seen),
        }
    }
}

/// An entry of the IOAPIC's redirection table: edge triggered, active high, to the boot processor.
pub fn route(pin: u32, vector: u8) {
    entry(pin, u32::from(vector));
}

/// The same, level triggered.
pub fn route_level(pin: u32, vector: u8) {
    entry(pin, 1 << 15 | u32::from(vector));
}

pub fn unroute(pin: u32) {
    entry(pin, MASKED);
}

fn entry(pin: u32, low: u32) {
    let boot = boot_id();
    ioapic_write(0x10 + pin * 2, MASKED);
    ioapic_write(0x11 + pin * 2, boot << 24);
    ioapic_write(0x10 + pin * 2, low);
}

/// Number of its pins.
pub fn pins() -> u32 {
    write32(IOAPIC, 1);
    (read32(IOAPIC + 0x10) >> 16 & 0xff) + 1
}

fn ioapic_write(register: u32, value: u32) {
    write32(IOAPIC, register);
    write32(IOAPIC + 0x10, value);
}

/// The APIC ID of the boot processor, for messages to it.
pub fn boot_id() -> u32 {
    if Page::boot().x2apic() { read(ID) } else { read(ID) >> 24 }
}
