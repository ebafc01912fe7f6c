//! The self-test: a guest embedded in the binary drives every device from inside, on the host's own KVM.
//!
//! ```text
//! guest/ (ring 3, see boot.S) -- TAP on ttyS0 --> tap.rs --> report.rs --> one TAP stream on stdout
//!                             -- hvc0 ----------> console.rs answers, and keeps what it heard
//!                             -- disk ----------> disk.rs compares it with agreed.rs afterwards
//! ```
//! build.rs makes the guest, and uses nothing but the compiler that cargo uses.

#[allow(dead_code)] // The guest uses all of it.
mod agreed;
mod console;
mod disk;
mod report;
mod round;
mod tap;

use crate::config::values::Period;
use crate::config::{Size, Transport};
use anyhow::{Result, ensure};
use clap::ValueEnum;
use report::Report;
use std::fmt;

/// The self-test guest: a PVH ELF image.
static GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest.elf"));

#[derive(Debug, Clone, clap::Args)]
pub struct SelftestArgs {
    /// vCPUs of the guest
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub cpus: u32,
    /// Memory of the guest, 32M at least
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub memory: Size,
    /// How virtio devices are attached
    #[arg(long, value_name = "BUS", default_value_t = Buses::Both)]
    pub transport: Buses,
    /// Only these: serial, timer, acpi, cmos, smp, pci, rng, blk, net, console, apic
    #[arg(long, value_name = "GROUP,..", default_value = "all", value_parser = tests)]
    pub tests: String,
    /// Give up on a guest after this time
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub timeout: Period,
    /// Plant a fault that the self-test must find
    #[arg(long, value_name = "FAULT", hide = true)]
    pub plant: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Buses {
    Pci,
    Mmio,
    Both,
}

impl fmt::Display for Buses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["pci", "mmio", "both"][*self as usize])
    }
}

/// What a test of the self-test can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// A bit of the disk, before the guest reads it.
    Given,
    /// A bit of the disk, after the guest wrote it.
    Written,
    /// A byte of what the guest is answered on the console.
    Answer,
}

/// Bytes of memory that the guest needs.
const LEAST: u64 = 32 << 20;

/// The groups of tests, as the guest names them.
const GROUPS: [&str; 12] =
    ["all", "serial", "timer", "acpi", "cmos", "smp", "pci", "rng", "blk", "net", "console", "apic"];

fn tests(text: &str) -> Result<String, String> {
    match text.split(',').find(|word| !GROUPS.contains(word)) {
        Some(word) => Err(format!("there is no group `{word}`; there are: {}", GROUPS.join(", "))),
        None => Ok(text.to_string()),
    }
}

impl SelftestArgs {
    /// Whether `group` is among the tests.
    fn wants(&self, group: &str) -> bool {
        self.tests.split(',').any(|word| word == "all" || word == group)
    }
}

/// Runs the guest once for each transport, and reports to stdout. True when every test passed;
/// an error when the machine could not be built, or stdout is gone.
pub fn run(args: &SelftestArgs) -> Result<bool> {
    ensure!(args.memory.0 >= LEAST, "--memory: the guest needs 32M at least");
    // The guest breaks its devices on purpose, and they would say so.
    if std::env::var_os("KILN_LOG").is_none() {
        log::set_max_level(log::LevelFilter::Off);
    }
    let mut report = Report::new(std::io::stdout());
    for (bus, transport) in [(Buses::Pci, Transport::Pci), (Buses::Mmio, Transport::Mmio)] {
        if args.transport == bus || args.transport == Buses::Both {
            round::round(args, transport, &mut report)?;
        }
    }
    report.finish()
}
