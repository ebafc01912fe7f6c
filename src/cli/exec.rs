//! `kiln exec`: from flags to a run of a command in a fresh kernel, on the host's own files.

mod job;
mod tell;

use super::flags::{self, text};
use super::result::{self, Details};
use super::status::{Status, Verdict};
use crate::exec::{self, Ending, Ran, Run, Target, Wants};
use crate::klog::FailOn;
use crate::sys::{socket, term};
use anyhow::{Context, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

pub fn command() -> Command {
    let flags = [
        path("kernel", "KERNEL").help(
            "Kernel, or the tree it was built in; without it: ./arch/x86/boot/bzImage, ./vmlinux, the host's own",
        ),
        path("modules", "DIR").help("Its modules: /lib/modules/RELEASE, what modules_install made, or a build tree"),
        path("rw", "DIR").action(ArgAction::Append).help("What the guest writes below DIR stays"),
        path("ro", "DIR").action(ArgAction::Append).help("The guest cannot write below DIR, not even for itself"),
        path("cwd", "DIR").help("Where the command starts [default: the current directory]"),
        Arg::new("env")
            .long("env")
            .value_name("NAME=VALUE")
            .value_parser(value_parser!(OsString))
            .action(ArgAction::Append)
            .help("For the command's environment, besides kiln's own"),
        text("user", "USER", "Run the command as USER of the guest, a name or number [default: root]"),
        text(
            "klog",
            "WHERE",
            "Where the kernel's log goes: FILE, stderr, fd=N; without it, it is shown if the run fails",
        ),
        text("fail-on", "KINDS", "Kernel reports that fail the run: panic,oops,lockdep,...; all; all,-warning; none")
            .value_parser(value_parser!(FailOn))
            .default_value("panic,oops"),
        path("boot-report", "FILE")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("-")
            .help("Tell how long each stage of the boot took: on stderr, or as JSON in FILE"),
        result::flag(),
        Arg::new("COMMAND")
            .num_args(0..)
            .trailing_var_arg(true)
            .value_parser(value_parser!(OsString))
            .help("Command and arguments; without them: a shell"),
    ];
    flags::add(Command::new("exec").about("Run a command in a fresh kernel, on this machine's files").args(flags), "1G")
}

fn path(name: &'static str, value: &'static str) -> Arg {
    flags::path(name).long(name).value_name(value)
}

pub fn run(m: &ArgMatches) -> Result<Status> {
    let start = Instant::now();
    let ended = guest(m).and_then(|ran| {
        let times = tell::times(start, &ran);
        tell::boot_report(m, &times)?;
        let verdict = verdict(m, &ran);
        tell::log_and_reports(&ran, &verdict);
        let times = times.value();
        Ok((verdict, Details { reports: ran.reports, times, release: ran.release }))
    });
    result::tell(m, ended)
}

fn guest(m: &ArgMatches) -> Result<Ran> {
    let mut shares = job::shares(m)?;
    let terminal = job::terminal();
    let kernel = exec::kernel::choose(m.get_one::<PathBuf>("kernel").map(PathBuf::as_path))?;
    let mut config = flags::config(m, kernel.path.clone())?;
    let has = |kind| config.devices.iter().any(|d| d.kind == kind);
    let wants = Wants { transport: config.transport, terminal: terminal.is_some(), net: has("net"), disk: has("disk") };
    let plan = exec::modules::plan(&kernel, m.get_one::<PathBuf>("modules").map(PathBuf::as_path), &wants)?;
    shares.add_modules(plan.directory.as_deref(), kernel.release.as_deref());
    plan.warnings.iter().for_each(|w| log::warn!("{w}"));
    let klog = klog(m.get_one::<String>("klog").map(String::as_str)).context("--klog")?;
    let quiet = matches!(klog, Target::Kept) && plan.readable_log;
    config.payload.linux_args = exec::cmdline::arguments(m.contains_id("boot-report"), quiet);
    config.payload.built = Some(Arc::new(exec::initramfs::build(&plan)?));
    config.devices.splice(0..0, shares.devices()?);
    let raw = terminal.is_some();
    let job = job::job(m, &shares, terminal)?;
    // Dropped at the end, it is as it was: before anything is told.
    let _raw = if raw { term::raw().context("make the terminal raw")? } else { None };
    let ran = Run { config, job, streams: job::streams()?, klog, quiet }.run()?;
    match ran.failed_before_init() {
        true => plan.explain(&kernel).map(|()| ran),
        false => Ok(ran),
    }
}

fn klog(place: Option<&str>) -> Result<Target> {
    Ok(match place {
        None => Target::Kept,
        Some("stderr") => Target::stderr(),
        Some(place) => match place.strip_prefix("fd=") {
            Some(number) => Target::file(inherited(number)?),
            None => Target::file(File::create(place).with_context(|| format!("create {place}"))?),
        },
    })
}

fn inherited(number: &str) -> Result<File> {
    let number = number.parse().with_context(|| format!("fd={number}: want a number"))?;
    Ok(File::from(socket::inherited(number).with_context(|| format!("take over fd={number}"))?))
}

/// A report that fails the run does so whatever the command said.
fn verdict(m: &ArgMatches, ran: &Ran) -> Verdict {
    let mut verdict = match &ran.ending {
        Ending::Agent(end) => Verdict::from(end.clone()),
        Ending::Machine(outcome) => Verdict::from(outcome.clone()),
    };
    let fail_on = m.get_one::<FailOn>("fail-on").copied().unwrap_or_default();
    let worst = ran.reports.iter().filter(|r| fail_on.contains(r.kind)).min_by_key(|r| r.kind);
    if let Some(report) = worst {
        verdict.fail(&report.title);
    }
    verdict
}
