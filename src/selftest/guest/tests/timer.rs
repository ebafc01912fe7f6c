//! Timers, and the two modes of the local APIC.

use crate::apic::{self, *};
use crate::cpu::{self, Page};
use crate::port::{in8, out8};
use crate::{Context, Result, ensure, time};

fn interrupts(vector: u8, wanted: u64) -> bool {
    time::spin(|| Page::boot().count(vector) >= wanted)
}

/// One shot, periodic, and halting until it comes. Starts the tick that later tests rely on.
pub fn local(_: &mut Context) -> Result {
    stop_tick();
    let vector = cpu::vector();
    let page = Page::boot();
    apic::write(TIMER_DIVIDE, 0xb);
    apic::write(LVT_TIMER, vector.into());
    apic::write(TIMER_INITIAL, 1_000_000);
    ensure!(interrupts(vector, 1), "one shot: no interrupt");
    ensure!(apic::read(TIMER_CURRENT) == 0, "one shot: the counter runs on");
    apic::write(TIMER_INITIAL, 2_000_000);
    page.halt(vector, 1);
    ensure!(page.count(vector) == 2, "one shot, halted: woken after {} interrupts", page.count(vector));
    apic::write(LVT_TIMER, PERIODIC | u32::from(vector));
    apic::write(TIMER_INITIAL, 1_000_000);
    let came = interrupts(vector, 7);
    apic::write(TIMER_INITIAL, 0);
    apic::write(LVT_TIMER, MASKED);
    ensure!(came, "periodic: {} interrupts of 5", page.count(vector) - 2);
    start_tick();
    Ok(())
}

pub fn deadline(_: &mut Context) -> Result {
    ensure!(cpu::cpuid(1, 0)[2] >> 24 & 1 == 1, "CPUID has no TSC deadline");
    stop_tick();
    let vector = cpu::vector();
    apic::write(LVT_TIMER, TSC_DEADLINE | u32::from(vector));
    let at = cpu::rdtsc0() + time::ticks_of_micros(2000);
    cpu::wrmsr(MSR_TSC_DEADLINE, at);
    let came = interrupts(vector, 1);
    let (now, armed) = (cpu::rdtsc0(), cpu::rdmsr(MSR_TSC_DEADLINE));
    // A deadline in the past comes at once.
    cpu::wrmsr(MSR_TSC_DEADLINE, 1);
    let again = interrupts(vector, 2);
    apic::write(LVT_TIMER, MASKED);
    start_tick();
    ensure!(came && again, "no interrupt");
    ensure!(now >= at, "{} ticks too early", at - now);
    ensure!(armed == 0, "the MSR still reads {armed:#x}");
    Ok(())
}

/// Channel 0 is ISA line 0, which boards have on pin 2 (ACPI 6.5, 5.2.12.5).
pub fn pit(context: &mut Context) -> Result {
    let pin = match crate::acpi::tables(context.rsdp) {
        Ok(tables) => crate::acpi::interrupts(&tables)?.timer,
        Err(_) => 0,
    };
    let vector = cpu::vector();
    apic::route(pin, vector);
    out8(0x43, 0x34);
    out8(0x40, 0);
    out8(0x40, 8);
    let came = interrupts(vector, 3);
    out8(0x43, 0x30);
    apic::unroute(pin);
    in8(0x40);
    ensure!(came, "{} interrupts of 3 on pin {pin}", Page::boot().count(vector));
    Ok(())
}

/// The last of all tests, as there is no way back but through a reset.
pub fn x2apic(_: &mut Context) -> Result {
    ensure!(cpu::cpuid(1, 0)[2] >> 21 & 1 == 1, "CPUID has no x2APIC");
    let page = Page::boot();
    stop_tick();
    let id = boot_id();
    cpu::interrupts(false);
    cpu::wrmsr(MSR_APIC_BASE, cpu::rdmsr(MSR_APIC_BASE) | 1 << 10);
    page.set_x2apic();
    cpu::interrupts(true);
    ensure!(boot_id() == id, "the APIC ID was {id}, and is {}", boot_id());
    ensure!(apic::read(VERSION) & 0xf0 == 0x10, "the version reads {:#x}", apic::read(VERSION));
    let (own, timer) = (cpu::vector(), cpu::vector());
    apic::send(id, FIXED | u32::from(own));
    ensure!(interrupts(own, 1), "no interrupt to itself");
    apic::write(TIMER_DIVIDE, 0xb);
    apic::write(LVT_TIMER, timer.into());
    for n in 1..=3 {
        apic::write(TIMER_INITIAL, 1_000_000);
        page.halt(timer, n - 1);
        ensure!(interrupts(timer, n), "no timer interrupt");
    }
    Ok(())
}
