//! `kiln run`: from flags to a [`Config`], to a running machine.

use super::Status;
use super::flags::{self, path, text};
use super::result::{self, Details};
use crate::config::{Config, Device, Firmware, FirmwareImage, Options, Reboot};
use crate::devices;
use crate::exec;
use crate::machine::{self, Outcome};
use crate::sys::term;
use anyhow::{Context, Result};
use clap::{ArgAction, ArgMatches, Command};
use std::path::{Path, PathBuf};

pub fn command() -> Command {
    let flags = [
        path("KERNEL").help(
            "Kernel: bzImage, ELF (64-bit, PVH, multiboot) by content, or a kernel build tree; without one: \
             ./arch/x86/boot/bzImage, ./vmlinux, /boot/vmlinuz-$(uname -r)",
        ),
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
        .conflicts_with_all(["cmdline", "append", "initrd", "boot-decompressor"]),
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
        result::flag(),
    ];
    flags::add(Command::new("run").about("Boot a kernel").args(flags), "512M")
}

pub fn run(matches: &ArgMatches) -> Result<Status> {
    result::tell(matches, guest(matches).map(|outcome| (outcome.into(), Details::default())))
}

fn guest(matches: &ArgMatches) -> Result<Outcome> {
    let config = config(matches)?;
    // Dropped at the end, it is as it was: before the outcome is reported.
    let _terminal = if on_terminal(&config) { term::raw().context("make the terminal raw")? } else { None };
    machine::run(config)
}

fn config(m: &ArgMatches) -> Result<Config> {
    let file = m.get_one::<PathBuf>("KERNEL").map(PathBuf::as_path);
    let mut config = match firmware(m) {
        None => flags::config(m, exec::kernel::find(file)?)?,
        Some(firmware) => {
            let mut config = flags::config(m, PathBuf::new())?;
            config.firmware = Some(firmware);
            if let Some(image) = file {
                config.devices.insert(0, first_disk(image, &config.devices)?);
            }
            config
        }
    };
    config.serial = serial(m, &config.devices);
    match m.get_one::<String>("cmdline") {
        Some(all) => config.payload.cmdline = all.clone(),
        None => config.payload.linux_args = console(&config.serial).to_string(),
    }
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

/// The image that was named without a flag, before the disks that have one.
fn first_disk(image: &Path, devices: &[Device]) -> Result<Device> {
    let kind = devices::find("disk")?;
    let image = image.to_str().with_context(|| format!("{}: is no text", image.display()))?;
    let options = Options::parse(&format!("path={}", image.replace(',', ",,")), kind.positional())?;
    let disks = devices.iter().filter(|d| d.kind == kind.name).count();
    Ok(Device { kind: kind.name, id: format!("{}{disks}", kind.name), options })
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
