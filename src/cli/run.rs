//! `kiln run`: from flags to a [`Config`], to a running machine.

mod display;
mod image;

use super::Status;
use super::expected;
use super::flags::{self, path, text};
use super::result::{self, Details};
use super::status::Verdict;
use crate::config::{Config, Device, Firmware, FirmwareImage, Options, Reboot};
use crate::control::{self, Expectation};
use crate::devices;
use crate::exec;
use crate::machine::{Machine, Outcome};
use crate::sys::term;
use anyhow::{Context, Result, ensure};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::path::{Path, PathBuf};

/// Memory of a guest whose disk image brings its kernel: as a rule it is a whole system, often a desktop.
const IMAGE_MEMORY: u64 = 2 << 30;

pub fn command() -> Command {
    let flags = [
        path("KERNEL").help(
            "Kernel: bzImage, ELF (64-bit, PVH, multiboot) by content, or a kernel build tree; or a disk image, which \
             becomes the first disk and has the kernel in it. Without one: ./arch/x86/boot/bzImage, ./vmlinux, what \
             is on the first --disk, /boot/vmlinuz-$(uname -r)",
        ),
        text("entry", "ENTRY", "Boot this entry of the image: a number of --list-entries, or a title")
            .conflicts_with("list-entries"),
        Arg::new("list-entries")
            .long("list-entries")
            .action(ArgAction::SetTrue)
            .help("Show what the image has to boot, and end"),
        Arg::new("json").long("json").action(ArgAction::SetTrue).requires("list-entries").help("Print JSON"),
        text("cmdline", "ARGS", "Kernel arguments in place of the default ones").conflicts_with("append"),
        text("serial", "STREAM", "Behind ttyS0, ttyS1, ..: stdio, none, file=PATH, pty, unix=PATH [default: stdio]")
            .action(ArgAction::Append),
        text(
            "reboot",
            "WHAT",
            "What a reset of the guest does; without it a triple fault ends the guest and any other reset restarts it",
        )
        .value_parser(["restart", "exit"]),
        text(
            "firmware",
            "FILE",
            "Start this BIOS or UEFI instead of a kernel: seabios, ovmf, or an image of one; it boots the first disk",
        )
        .conflicts_with_all(["cmdline", "append", "initrd", "boot-decompressor", "entry", "list-entries"]),
        path("nvram")
            .long("nvram")
            .value_name("FILE")
            .requires("firmware")
            .help("Where UEFI keeps its variables, made if it is not there; without it they are forgotten at the end"),
        path("firmware-log")
            .long("firmware-log")
            .value_name("FILE")
            .requires("firmware")
            .help("Where the firmware says what it does [default: kiln's log, at level debug]"),
        display::flag(),
        expected::flag("End the guest with status 0 when its screen shows this picture"),
        display::layout_flag(),
        result::flag(),
    ];
    flags::add(Command::new("run").about("Boot a kernel").args(flags).args(flags::writes()), "512M")
}

pub fn run(matches: &ArgMatches) -> Result<Status> {
    if matches.get_flag("list-entries") {
        image::list(&listed(matches)?, matches.get_flag("json"))?;
        return Ok(Status::Success);
    }
    result::tell(matches, guest(matches).map(|verdict| (verdict, Details::default())))
}

fn guest(matches: &ArgMatches) -> Result<Verdict> {
    let config = config(matches)?;
    let expected = expected::read(matches)?;
    ensure!(
        expected.is_none() || config.devices.iter().any(|device| device.kind == "gpu"),
        "--await-screen: the guest has no screen; add --display none"
    );
    // Dropped at the end, it is as it was: before the outcome is reported.
    let _terminal = if on_terminal(&config) { term::raw().context("make the terminal raw")? } else { None };
    let machine = Machine::build(config)?;
    let _control = control::open(&machine)?;
    let Some(expected) = expected else { return Ok(machine.run()?.outcome.into()) };
    let expectation = Expectation::start(machine.front(), expected.reference)?;
    let outcome = machine.run()?.outcome;
    Ok(judged(outcome, expectation.end(), &expected.name))
}

/// `missed`: why the screen was not what was expected; `None`: it was, and the guest was ended for that.
fn judged(outcome: Outcome, missed: Option<String>, name: &str) -> Verdict {
    let verdict = Verdict::from(outcome);
    match (verdict.status, missed) {
        (Status::TimedOut, Some(why)) => {
            let why = format!("--timeout ran out before the screen showed {name}: {why}");
            Verdict::because(verdict.ends, Status::TimedOut, why)
        }
        (Status::Success, Some(why)) => {
            let why = format!("the guest ended before its screen showed {name}: {why}");
            Verdict::because(verdict.ends, Status::No, why)
        }
        _ => verdict,
    }
}

fn config(m: &ArgMatches) -> Result<Config> {
    let mut config = flags::config(m, PathBuf::new())?;
    display::add(m, &mut config)?;
    config.serial = serial(m, &config.devices);
    config.firmware = firmware(m);
    if config.firmware.is_some() {
        if let Some(image) = kernel(m) {
            config.devices.insert(0, disk(image, &config.devices)?);
        }
    } else if !from_image(m, &mut config)? {
        config.payload.kernel = exec::kernel::find(kernel(m))?;
        config.payload.linux_args = image::arguments(screen(&config.devices), console(&config.serial));
    }
    if let Some(all) = m.get_one::<String>("cmdline") {
        config.payload.cmdline = all.clone();
        config.payload.linux_args.clear();
    }
    flags::redirect(m, &mut config.devices)?;
    config.reboot = m.get_one::<String>("reboot").map(|r| if r == "exit" { Reboot::Exit } else { Reboot::Restart });
    Ok(config)
}

fn firmware(m: &ArgMatches) -> Option<Firmware> {
    let image = match m.get_one::<String>("firmware")?.as_str() {
        "seabios" => FirmwareImage::Seabios,
        "ovmf" => FirmwareImage::Ovmf,
        file => FirmwareImage::File(file.into()),
    };
    let file = |name: &str| m.get_one::<PathBuf>(name).cloned();
    Some(Firmware { image, nvram: file("nvram"), log: file("firmware-log") })
}

fn kernel(m: &ArgMatches) -> Option<&Path> {
    m.get_one::<PathBuf>("KERNEL").map(PathBuf::as_path)
}

/// The disk whose entries are to be shown.
fn listed(m: &ArgMatches) -> Result<Options> {
    let disk = match kernel(m) {
        Some(image) => Some(disk(image, &[])?),
        None => flags::devices(m)?.into_iter().find(is_disk),
    };
    disk.map(|d| d.options).context("--list-entries: name an image: kiln run IMAGE --list-entries")
}

/// Takes the kernel from the image that was named, or from the first disk. False: it is to be found elsewhere.
fn from_image(m: &ArgMatches, config: &mut Config) -> Result<bool> {
    let entry = m.get_one::<String>("entry").map(String::as_str);
    let size = m.value_source("memory").filter(|s| *s == ValueSource::DefaultValue).map(|_| IMAGE_MEMORY);
    let size = size.unwrap_or(config.memory.size);
    let named = kernel(m).filter(|file| entry.is_some() || image::is(file));
    if let Some(file) = named {
        let disk = disk(file, &config.devices)?;
        let chosen = image::choose(&disk.options, entry, size)?;
        config.devices.insert(0, disk);
        boot(config, chosen, size, 0)?;
        return Ok(true);
    }
    let Some(at) = config.devices.iter().position(is_disk).filter(|_| kernel(m).is_none()) else { return Ok(false) };
    if entry.is_none() && exec::kernel::is_built_here() {
        return Ok(false);
    }
    let Some(disk) = config.devices.get(at) else { return Ok(false) };
    match image::choose(&disk.options, entry, size) {
        Ok(chosen) => boot(config, chosen, size, at).map(|()| true),
        Err(e) if entry.is_some() => Err(e.context(format!("--disk {}", disk.options))),
        Err(e) => {
            // It may be a disk of data.
            eprintln!("kiln: {e:#}");
            Ok(false)
        }
    }
}

/// Boots what was chosen of the disk that is device `at`.
fn boot(config: &mut Config, chosen: image::Chosen, size: u64, at: usize) -> Result<()> {
    config.memory.size = size;
    config.payload.kernel = chosen.kernel;
    config.payload.found = Some(chosen.found);
    if chosen.iso
        && let Some(disk) = config.devices.get_mut(at)
    {
        set(disk, "readonly", "on")?;
    }
    let mut options = chosen.options;
    if image::wants_ide(&options)
        && let Some(disk) = config.devices.get_mut(at)
    {
        set(disk, "bus", "ide")?;
        if disk.options.get::<String>("bus", Some(""))? != "ide" {
            options = image::on_virtio(&options);
        }
    }
    let options = image::with_screen(&options, screen(&config.devices));
    config.payload.linux_args = image::arguments(&options, console(&config.serial));
    Ok(())
}

/// Gives an option that the user left open a value, where the device has that option.
fn set(device: &mut Device, name: &str, value: &str) -> Result<()> {
    let kind = devices::find(device.kind)?;
    let open = device.options.get::<String>(name, Some(""))?.is_empty();
    if open && kind.options.iter().any(|o| o.name == name) {
        device.options = Options::parse(&format!("{},{name}={value}", device.options), kind.positional())?;
    }
    Ok(())
}

/// An image that was named without a flag, as a disk.
fn disk(image: &Path, devices: &[Device]) -> Result<Device> {
    let kind = devices::find("disk")?;
    let path = image.to_str().with_context(|| format!("{}: its name is no text", image.display()))?;
    let options = Options::parse(&format!("path={}", path.replace(',', ",,")), kind.positional())?;
    let number = devices.iter().filter(|d| is_disk(d)).count();
    Ok(Device { kind: kind.name, id: format!("{}{number}", kind.name), options })
}

fn is_disk(device: &Device) -> bool {
    device.kind == "disk"
}

/// The guest's screen as a console of Linux, if it has one.
fn screen(devices: &[Device]) -> &'static str {
    if devices.iter().any(|device| device.kind == "gpu") { "console=tty0" } else { "" }
}

fn console(serial: &[String]) -> &'static str {
    if serial.iter().any(|s| s == "stdio") { "console=ttyS0" } else { "console=hvc0" }
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
