//! The flags that describe a machine, the same for every subcommand that starts one.

use crate::config::{Config, Device, Gdb, Options, Payload, Ram, Size, Switch, Topology, Transport, values::Period};
use crate::control::Name;
use crate::devices::{KINDS, Kind};
use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;

/// Adds them to `command`; `memory` is what the guest has unless told otherwise.
pub fn add(command: Command, memory: &'static str) -> Command {
    let flags = [
        text("name", "NAME", "What the machine is called in `kiln ps` [default: its process number]")
            .value_parser(value_parser!(Name)),
        text("memory", "SIZE", "Guest memory: 512M, or size=4G,hugepages=2M").default_value(memory),
        text("cpus", "N", "vCPUs: 4, or sockets=1,cores=2,threads=2").default_value("1"),
        text("transport", "BUS", "How virtio devices are attached").value_parser(["pci", "mmio"]).default_value("pci"),
        text("timeout", "TIME", "End the guest after 30s, 5m, 1h (status 124)"),
        text("debug-exit", "PORT", "A value written to this I/O port ends the guest with status (value << 1) | 1"),
        path("initrd")
            .long("initrd")
            .value_name("FILE")
            .action(ArgAction::Append)
            .help("Initial RAM disk; several are joined (for a multiboot kernel each is a module)"),
        text("gdb", "PLACE", "Let a debugger attach at tcp:PORT, tcp:ADDRESS:PORT or unix:PATH [default: tcp:1234]")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("")
            .long_help(
                "Let a debugger attach at tcp:PORT (of this machine only), tcp:ADDRESS:PORT or unix:PATH \
                 [default: tcp:1234]. The guest waits for it before its first instruction; with ,nowait it runs at once",
            ),
        path("dump-on-panic")
            .long("dump-on-panic")
            .value_name("FILE")
            .help("When the guest panics or faults, write its memory there, for crash and drgn"),
        text("append", "ARGS", "Kernel arguments added to the default ones"),
        Arg::new("boot-decompressor")
            .long("boot-decompressor")
            .action(ArgAction::SetTrue)
            .help("Let a bzImage unpack itself in the guest (slower; gives KASLR)"),
    ];
    // Said twice, the last one counts: scripts add to what they were given.
    KINDS.iter().fold(command.args_override_self(true).args(flags), |c, kind| c.arg(device(kind)))
}

/// What the flags say. The kernel is the caller's to find.
pub fn config(m: &ArgMatches, kernel: PathBuf) -> Result<Config> {
    let get = |name: &str| m.get_one::<String>(name).map(String::as_str).unwrap_or_default();
    Ok(Config {
        name: m.get_one::<Name>("name").map(ToString::to_string),
        payload: Payload {
            kernel,
            found: None,
            initrd: m.get_many::<PathBuf>("initrd").map(|i| i.cloned().collect()).unwrap_or_default(),
            built: None,
            linux_args: String::new(),
            cmdline: get("append").to_string(),
            decompressor: m.get_flag("boot-decompressor"),
        },
        firmware: None,
        memory: memory(get("memory")).context("--memory")?,
        topology: topology(get("cpus")).context("--cpus")?,
        devices: devices(m)?,
        displays: Vec::new(),
        keyboard_layout: None,
        transport: if get("transport") == "mmio" { Transport::Mmio } else { Transport::Pci },
        serial: Vec::new(),
        debug_exit: m.get_one::<String>("debug-exit").map(|p| port(p)).transpose().context("--debug-exit")?,
        reboot: None,
        timeout: m.get_one::<String>("timeout").map(|t| timeout(t)).transpose().context("--timeout")?,
        gdb: m.get_one::<String>("gdb").map(|g| gdb(g)).transpose().context("--gdb")?,
        dump: m.get_one::<PathBuf>("dump-on-panic").cloned(),
    })
}

/// Where all that the guest writes to its disks goes.
pub fn writes() -> [Arg; 2] {
    [
        Arg::new("throwaway").long("throwaway").action(ArgAction::SetTrue).help(
            "What the guest writes to its disks goes to temporary files; the images stay as they are",
        ),
        path("keep-as").long("keep-as").value_name("NEW.qcow2").help(
            "What the guest writes to its first disk goes to this new image on top of it; the disk's image stays as it is",
        ),
    ]
}

/// What [`writes`] say, for these devices.
pub fn redirect(m: &ArgMatches, devices: &mut [Device]) -> Result<()> {
    let mut disks: Vec<_> = devices.iter_mut().filter(|device| device.kind == "disk").collect();
    if let Some(new) = m.get_one::<PathBuf>("keep-as") {
        let first = disks.first_mut().context("--keep-as: there is no disk")?;
        let new = new.to_str().with_context(|| format!("--keep-as {}: it is no text", new.display()))?;
        ensure!(first.options.add("keep-as", new), "--keep-as {new}: the first disk has a `keep-as=` of its own");
    }
    if m.get_flag("throwaway") {
        let is = |device: &Device, name| device.options.get::<Switch>(name, Some("off")).is_ok_and(|on| on.0);
        let kept = |device: &Device| device.options.get::<String>("keep-as", Some("")).is_ok_and(|new| !new.is_empty());
        for disk in disks.iter_mut().filter(|disk| !is(disk, "readonly") && !kept(disk)) {
            disk.options.add("throwaway", "on");
        }
    }
    Ok(())
}

pub fn path(name: &'static str) -> Arg {
    Arg::new(name).value_parser(value_parser!(PathBuf))
}

pub fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).allow_hyphen_values(true).help(help)
}

fn device(kind: &'static Kind) -> Arg {
    let names: Vec<_> = kind.options.iter().map(|o| format!("  {}", o.line())).collect();
    let arg = Arg::new(kind.name)
        .long(kind.name)
        .value_name("OPTIONS")
        .action(ArgAction::Append)
        .help_heading("Devices")
        .help(kind.about)
        .long_help(format!("{}\n{}", kind.about, names.join("\n")));
    if kind.bare { arg.num_args(0..=1).require_equals(true).default_missing_value("") } else { arg }
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

fn gdb(text: &str) -> Result<Gdb> {
    text.parse().map_err(anyhow::Error::msg)
}

pub fn timeout(text: &str) -> Result<std::time::Duration> {
    text.parse::<Period>().map(|p| p.0).map_err(|e| anyhow::anyhow!("`{text}`: {e}"))
}

/// The devices in the order of their flags on the command line, numbered by kind.
pub fn devices(m: &ArgMatches) -> Result<Vec<Device>> {
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
