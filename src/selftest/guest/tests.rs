//! The list of tests, which of them the command line wants, and how the machine ends.

mod blk;
mod board;
mod net;
mod pci;
mod serial;
mod smp;
mod stream;
mod timer;

use crate::tap::line;
use crate::{Context, Result, acpi, cpu, note, port, tap, time};
use alloc::vec::Vec;

type Test = (&'static str, fn(&mut Context) -> Result);

/// In this order: later ones rely on what earlier ones have shown.
const TESTS: &[Test] = &[
    ("serial: registers", serial::registers),
    ("serial: loopback", serial::loopback),
    ("serial: transmitter interrupt", serial::interrupt),
    ("timer: local APIC", timer::local),
    ("timer: TSC deadline", timer::deadline),
    ("timer: PIT through the IOAPIC", timer::pit),
    ("acpi: tables", board::tables),
    ("acpi: PM timer", board::pm_timer),
    ("cmos: date", board::date),
    ("smp: every processor starts", smp::start),
    ("smp: all count and compute at once", smp::compute),
    ("smp: interrupts to and from every processor", smp::interrupts),
    ("pci: configuration space, both ways", pci::configuration),
    ("pci: MSI-X masks", pci::masks),
    ("pci: INTx", pci::intx),
    ("rng: entropy", stream::rng),
    ("rng: indirect descriptors and event indices", stream::rng_indirect),
    ("rng: a reset stops the device", stream::rng_reset),
    ("rng: without interrupts", stream::rng_quiet),
    ("rng: a broken ring stops the device", stream::rng_broken),
    ("blk: identity", blk::identity),
    ("blk: reads what the host wrote", blk::given),
    ("blk: large requests", blk::large),
    ("blk: many requests at once", blk::small),
    ("blk: every queue", blk::queues),
    ("blk: flush, write zeroes, discard", blk::special),
    ("blk: errors", blk::errors),
    ("net: frames of every size", net::sizes),
    ("net: a burst of frames", net::burst),
    ("net: merged receive buffers", net::merged),
    ("console: output", stream::console_output),
    ("console: input", stream::console_input),
    ("apic: x2APIC mode", timer::x2apic),
];

/// `tests=all`, or a list of names up to their colon: `tests=serial,blk`.
fn wanted(context: &Context) -> Vec<Test> {
    let list = context.option("tests").unwrap_or("all");
    let pci = context.option("transport") != Some("mmio");
    let is_wanted = |name: &str| {
        let group = name.split(':').next().unwrap_or(name);
        (list == "all" || list.split(',').any(|word| word == group)) && (pci || group != "pci")
    };
    TESTS.iter().copied().filter(|(name, _)| is_wanted(name)).collect()
}

pub fn run(context: &mut Context) -> bool {
    let tests = wanted(context);
    line(format_args!("1..{}", tests.len()));
    note!("TSC {} kHz, transport {}", time::hz() / 1000, context.option("transport").unwrap_or("pci"));
    let mut failed = 0;
    for ((name, test), n) in tests.iter().zip(1..) {
        let start = time::now();
        match test(context) {
            Ok(()) => line(format_args!("ok {n} - {name}")),
            Err(why) => {
                failed += 1;
                line(format_args!("not ok {n} - {name} # {why}"));
            }
        }
        let micros = (time::now() - start) / (time::hz() / 1_000_000).max(1);
        if context.option("times").is_some() {
            note!("{micros} us");
        }
    }
    failed == 0
}

/// Ends the machine the way `end=` says: through the debug-exit port (the default), `s5`, `reset`, `triple`, `stop`.
pub fn end(context: &Context, passed: bool) -> ! {
    match context.option("end").filter(|_| passed) {
        Some("s5") => {
            if let Err(why) = acpi::tables(context.rsdp).and_then(|tables| acpi::power_off(&tables)) {
                tap::bail(format_args!("power off: {why}"));
            }
        }
        Some("reset") => port::out8(0xcf9, 6),
        Some("triple") => cpu::triple_fault(),
        Some("stop") => cpu::stop(),
        _ => tap::exit(u8::from(!passed)),
    }
    time::spin(|| false);
    tap::bail(format_args!("the machine goes on"))
}
