//! `kiln run`: from flags to a [`Config`], to a running machine.

use super::Status;
use super::flags::{self, path, text};
use super::result::{self, Details};
use crate::config::{Config, Device, Reboot};
use crate::exec;
use crate::machine::{self, Outcome};
use crate::sys::term;
use anyhow::{Context, Result};
use clap::{ArgAction, ArgMatches, Command};
use std::path::PathBuf;

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
    let kernel = m.get_one::<PathBuf>("KERNEL").map(PathBuf::as_path);
    let mut config = flags::config(m, exec::kernel::find(kernel)?)?;
    config.serial = serial(m, &config.devices);
    match m.get_one::<String>("cmdline") {
        Some(all) => config.payload.cmdline = all.clone(),
        None => config.payload.linux_args = console(&config.serial).to_string(),
    }
    config.reboot = m.get_one::<String>("reboot").map(|r| if r == "exit" { Reboot::Exit } else { Reboot::Restart });
    Ok(config)
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
