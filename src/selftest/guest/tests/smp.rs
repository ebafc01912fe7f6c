//! Several processors.

use crate::cpu::{self, Page};
use crate::smp::{self, Other, WAKE};
use crate::{Context, Result, acpi, apic, ensure, note, time};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Starts all that MADT lists, or `cpus=` when there is no MADT.
pub fn start(context: &mut Context) -> Result {
    let listed = match acpi::tables(context.rsdp) {
        Ok(tables) => acpi::interrupts(&tables)?.processors,
        Err(_) => (0..context.number("cpus").unwrap_or(1) as u32).collect(),
    };
    let own = apic::boot_id();
    ensure!(listed.contains(&own), "the boot processor, {own}, is not listed");
    for (index, id) in listed.into_iter().filter(|id| *id != own).enumerate() {
        context.others.push(smp::start(index + 1, id)?);
    }
    if let Some(cpus) = context.number("cpus") {
        ensure!(context.others.len() as u64 + 1 == cpus, "{} processors of {cpus}", context.others.len() + 1);
    }
    note!("{} processors", context.others.len() + 1);
    Ok(())
}

static SHARED: AtomicU64 = AtomicU64::new(0);
const ROUNDS: u64 = 10_000;

/// Counts in shared memory, and computes something that takes the whole register file.
fn count(other: &Other) -> u64 {
    for _ in 0..ROUNDS {
        SHARED.fetch_add(1, Ordering::Relaxed);
    }
    checksum(other.index as u64)
}

fn checksum(seed: u64) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325 ^ seed;
    let mut product = 1.0 + seed as f64;
    for n in 0..100_000u64 {
        sum = (sum ^ n).wrapping_mul(0x100_0000_01b3);
        product = (product * 1.000_1).sqrt() + n as f64;
    }
    sum ^ product.to_bits()
}

trait Root {
    fn sqrt(self) -> f64;
}

impl Root for f64 {
    /// SSE2's own.
    fn sqrt(self) -> f64 {
        let mut root = self;
        // SAFETY: computes in registers.
        unsafe { core::arch::asm!("sqrtsd {0}, {0}", inout(xmm_reg) root) };
        root
    }
}

pub fn compute(context: &mut Context) -> Result {
    SHARED.store(0, Ordering::Relaxed);
    let sums = smp::on_all(&context.others, count)?;
    for (other, sum) in context.others.iter().zip(sums) {
        ensure!(sum == checksum(other.index as u64), "the processor with APIC ID {} computes wrongly", other.id);
    }
    let (got, want) = (SHARED.load(Ordering::Relaxed), context.others.len() as u64 * ROUNDS);
    ensure!(got == want, "together they counted to {got}, not {want}");
    Ok(())
}

static ANSWER: AtomicU8 = AtomicU8::new(0);

fn answer(other: &Other) -> u64 {
    apic::send(u32::from(BOOT.load(Ordering::Relaxed)), apic::FIXED | u32::from(ANSWER.load(Ordering::Relaxed)));
    other.page.count(WAKE)
}

static BOOT: AtomicU8 = AtomicU8::new(0);

/// One by one, so that each interrupt is counted.
pub fn interrupts(context: &mut Context) -> Result {
    let vector = cpu::vector();
    ANSWER.store(vector, Ordering::Relaxed);
    BOOT.store(apic::boot_id() as u8, Ordering::Relaxed);
    let page = Page::boot();
    for other in &context.others {
        let before = other.page.count(WAKE);
        let seen = page.count(vector);
        let turn = other.call(answer);
        ensure!(apic::wait(vector, || page.count(vector) > seen), "no interrupt from the processor {}", other.id);
        other.finish(turn)?;
        let woken = time::spin(|| other.page.count(WAKE) > before);
        ensure!(woken, "the processor {} got no interrupt", other.id);
    }
    let counts: Vec<u64> = context.others.iter().map(|o| o.page.count(WAKE)).collect();
    ensure!(counts.iter().all(|n| *n > 0), "interrupts of each processor: {counts:?}");
    Ok(())
}
