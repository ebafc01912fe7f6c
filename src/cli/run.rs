//! `kiln run`: from flags to a [`Config`], to a running machine.

use super::Status;
use super::status::report;
use crate::config::{
    Config, Device, OptionDoc, Options, Payload, Ram, Reboot, Size, Topology, Transport, values::Period,
};
use crate::devices::{KINDS, Kind};
use crate::exec;
use crate::machine;
use crate::sys::term;
use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;

pub fn command() -> Command {
    let flags = [
        path("KERNEL").help(
            "Kernel: bzImage, ELF (64-bit, PVH, multiboot) by content, or a kernel build tree; without one: \
             ./arch/x86/boot/bzImage, ./vmlinux, /boot/vmlinuz-$(uname -r)",
        ),
        path("initrd")
            .long("initrd")
            .value_name("FILE")
            .action(ArgAction::Append)
            .help("Initial RAM disk; several are joined (for a multiboot kernel each is a module)"),
        text("append", "ARGS", "Kernel arguments added to the default ones"),
        text("cmdline", "ARGS", "Kernel arguments in place of the default ones").conflicts_with("append"),
        text("memory", "SIZE", "Guest memory: 512M, or size=4G,hugepages=2M").default_value("512M"),
        text("cpus", "N", "vCPUs: 4, or sockets=1,cores=2,threads=2").default_value("1"),
        text("serial", "STREAM", "Behind ttyS0, ttyS1, ..: stdio, none, file=PATH, pty, unix=PATH [default: stdio]")
            .action(ArgAction::Append),
        text("transport", "BUS", "How virtio devices are attached").value_parser(["pci", "mmio"]).default_value("pci"),
        text(
            "reboot",
            "WHAT",
            "What a reset of the guest does; without it a triple fault ends the guest and any other reset restarts it",
        )
        .value_parser(["restart", "exit"]),
        text("timeout", "TIME", "End the guest after 30s, 5m, 1h (status 124)"),
        text("debug-exit", "PORT", "A value written to this I/O port ends the guest with status (value << 1) | 1"),
        Arg::new("boot-decompressor")
            .long("boot-decompressor")
            .action(ArgAction::SetTrue)
            .help("Let a bzImage unpack itself in the guest (slower; gives KASLR)"),
    ];
    // Said twice, the last one counts: scripts add to what they were given.
    let command = Command::new("run").about("Boot a kernel").args_override_self(true).args(flags);
    KINDS.iter().fold(command, |c, kind| c.arg(device(kind)))
}

fn path(name: &'static str) -> Arg {
    Arg::new(name).value_parser(value_parser!(PathBuf))
}

fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).allow_hyphen_values(true).help(help)
}

fn device(kind: &'static Kind) -> Arg {
    let default = |o: &OptionDoc| match o.default {
        None | Some("") => String::new(),
        Some(value) => format!(" [default: {value}]"),
    };
    let names: Vec<_> = kind.options.iter().map(|o| format!("  {}: {}{}", o.name, o.help, default(o))).collect();
    let arg = Arg::new(kind.name)
        .long(kind.name)
        .value_name("OPTIONS")
        .action(ArgAction::Append)
        .help_heading("Devices")
        .help(kind.about)
        .long_help(format!("{}\n{}", kind.about, names.join("\n")));
    if kind.bare { arg.num_args(0..=1).require_equals(true).default_missing_value("") } else { arg }
}

pub fn run(matches: &ArgMatches) -> Result<Status> {
    let config = config(matches)?;
    // Dropped, it is as it was: before the outcome is reported.
    let terminal = if on_terminal(&config) { term::raw().context("make the terminal raw")? } else { None };
    let outcome = machine::run(config);
    drop(terminal);
    outcome.map(report)
}

fn config(m: &ArgMatches) -> Result<Config> {
    let get = |name: &str| m.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    let devices = devices(m)?;
    let serial = serial(m, &devices);
    Ok(Config {
        payload: payload(m, &serial)?,
        memory: memory(get("memory")).context("--memory")?,
        topology: topology(get("cpus")).context("--cpus")?,
        devices,
        transport: if get("transport") == "mmio" { Transport::Mmio } else { Transport::Pci },
        serial,
        debug_exit: m.get_one::<String>("debug-exit").map(|p| port(p)).transpose().context("--debug-exit")?,
        reboot: m.get_one::<String>("reboot").map(|r| if r == "exit" { Reboot::Exit } else { Reboot::Restart }),
        timeout: m.get_one::<String>("timeout").map(|t| timeout(t)).transpose().context("--timeout")?,
    })
}

fn payload(m: &ArgMatches, serial: &[String]) -> Result<Payload> {
    let kernel = exec::kernel::find(m.get_one::<PathBuf>("KERNEL").map(PathBuf::as_path))?;
    let console = if serial.iter().any(|s| s == "stdio") { "console=ttyS0" } else { "console=hvc0" };
    let given = |name| m.get_one::<String>(name).cloned();
    Ok(Payload {
        kernel,
        initrd: m.get_many::<PathBuf>("initrd").map(|i| i.cloned().collect()).unwrap_or_default(),
        built: None,
        linux_args: if given("cmdline").is_some() { String::new() } else { console.to_string() },
        cmdline: given("cmdline").or_else(|| given("append")).unwrap_or_default(),
        decompressor: m.get_flag("boot-decompressor"),
    })
}

fn memory(text: &str) -> Result<Ram> {
    let options = Options::parse(text, Some("size"))?;
    let spec = RamSpec::parse(&options)?;
    let hugepages = spec.hugepages.0.map(|s| s.0);
    let page = hugepages.unwrap_or(4096);
    ensure!(matches!(page, 4096 | 0x20_0000 | 0x4000_0000), "`hugepages=`: there are pages of 2M and 1G");
    let size = spec.size.0;
    ensure!(size >= 1 << 20, "{size} bytes are too little for any guest; give at least 1M");
    ensure!(size.is_multiple_of(page), "{size} bytes are not a whole number of pages of {page} bytes");
    ensure!(size <= 1 << 45, "{size} bytes are more than a guest can address");
    Ok(Ram { size, hugepages })
}

crate::spec! {
    struct RamSpec {
        /// How much.
        size: Size = "512M",
        /// Size of huge pages.
        hugepages: crate::config::values::Maybe<Size> = "",
    }
}

crate::spec! {
    struct Cpus {
        /// Sockets.
        sockets: u32 = "1",
        /// Cores in a socket.
        cores: u32 = "1",
        /// Threads in a core.
        threads: u32 = "1",
    }
}

/// A bare number is that many cores of one socket.
fn topology(text: &str) -> Result<Topology> {
    let cpus = Cpus::parse(&Options::parse(text, Some("cores"))?)?;
    Ok(Topology { sockets: cpus.sockets, cores: cpus.cores, threads: cpus.threads })
}

fn port(text: &str) -> Result<u16> {
    let number = match text.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    number.with_context(|| format!("`{text}`: want an I/O port such as 0xf4"))
}

fn timeout(text: &str) -> Result<std::time::Duration> {
    text.parse::<Period>().map(|p| p.0).map_err(|e| anyhow::anyhow!("`{text}`: {e}"))
}

/// The devices in the order of their flags on the command line, numbered by kind.
fn devices(m: &ArgMatches) -> Result<Vec<Device>> {
    let mut found = Vec::new();
    for &kind in KINDS {
        let values = m.get_many::<String>(kind.name).into_iter().flatten();
        let places = m.indices_of(kind.name).into_iter().flatten();
        for (n, (value, place)) in values.zip(places).enumerate() {
            let options = Options::parse(value, kind.positional());
            let options = options.with_context(|| format!("--{} {value}", kind.name))?;
            found.push((place, Device { kind: kind.name, id: format!("{}{n}", kind.name), options }));
        }
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, d)| d).collect())
}

/// Whether the guest talks to the terminal.
fn on_terminal(config: &Config) -> bool {
    config.serial.iter().any(|s| s == "stdio") || config.devices.iter().any(has_stdio)
}

fn has_stdio(device: &Device) -> bool {
    device.kind == "console" && device.options.get::<String>("stream", Some("stdio")).is_ok_and(|s| s == "stdio")
}

/// ttyS0 has the terminal unless something else was given it.
fn serial(m: &ArgMatches, devices: &[Device]) -> Vec<String> {
    if let Some(given) = m.get_many::<String>("serial") {
        return given.cloned().collect();
    }
    let taken = devices.iter().any(has_stdio);
    vec![if taken { "none" } else { "stdio" }.to_string()]
}
