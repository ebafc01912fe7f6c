//! `kiln doctor`: is this host fit? What is there, and what tiny probe guests find out.

mod code;
mod host;
mod probe;
mod report;
mod rig;

use super::Status;
use super::table::Style;
use crate::kvm::{self, backend};
use crate::sys::{accept_calls, call_out};
use anyhow::{Context, Result, bail};
use clap::{Args, FromArgMatches, ValueEnum};
use kvm_ioctls::Kvm;
use report::{Check, Mark, Report};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Flags of `kiln doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Ask one question only: say why or why not in a line, and exit with 0 or 1
    #[arg(long, value_name = "WHAT")]
    can_run: Option<Guest>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Guest {
    /// A distribution's kernel and its user space
    Linux,
    /// The guest of `kiln selftest`, and others whose work is done in ring 3
    Selftest,
}

pub fn command() -> clap::Command {
    let about = "Find out whether this host is fit for kiln";
    let statuses = "Exit status: 0 fit, 1 not fit (for any guest, or for the one named by --can-run), 125 kiln failed.";
    // After the flags: they would put their own description in its place.
    DoctorArgs::augment_args(clap::Command::new("doctor")).about(about).long_about(None).after_help(statuses)
}

pub fn run(matches: &clap::ArgMatches) -> Result<Status> {
    let args = DoctorArgs::from_arg_matches(matches)?;
    let report = examine()?;
    let text = match (args.can_run, args.json) {
        (_, true) => format!("{:#}\n", report.json()),
        (Some(_), false) => format!("{}\n", report.verdict()),
        (None, false) => report.text(Style::stdout()),
    };
    std::io::stdout().write_all(text.as_bytes()).context("write to stdout")?;
    let fit = match args.can_run {
        Some(Guest::Linux) => report.runs_linux(),
        Some(Guest::Selftest) | None => report.runs_guests(),
    };
    Ok(if fit { Status::Success } else { Status::No })
}

fn examine() -> Result<Report> {
    let mut checks = Vec::new();
    match kvm::open() {
        Err(e) => checks.push(Check::new("device", "/dev/kvm", Mark::Fail, format!("{e:#}"), json!(false))),
        Ok(kvm) => {
            checks.push(Check::new("device", "/dev/kvm", Mark::Ok, "can be opened, API version 12", json!(true)));
            checks.push(host::backend(backend::engine(), &backend::Processor::detect()));
            let capabilities = host::capabilities(&kvm);
            let able = capabilities.mark != Mark::Fail;
            checks.extend([capabilities, host::clocks(&kvm), host::vcpus(&kvm)]);
            if able {
                checks.extend(probes(kvm)?);
            }
        }
    }
    checks.extend(host::surroundings());
    Ok(Report(checks))
}

/// How often the watching thread looks whether a guest is over its time.
const LOOK: Duration = Duration::from_millis(50);
/// All probes take a fraction of a second; beyond this even signals do not help.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the probes on a thread of their own, which this one watches.
fn probes(kvm: Kvm) -> Result<Vec<Check>> {
    accept_calls().context("prepare a signal")?;
    let watch = Arc::new(rig::Watch::default());
    let (done, finished) = mpsc::channel();
    let watched = watch.clone();
    let job = move || {
        let result = probe::all(&kvm, watched);
        let _ = done.send(());
        result
    };
    let thread = std::thread::Builder::new().name("probe".into()).spawn(job).context("start a thread")?;
    let start = Instant::now();
    while finished.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        if watch.overdue() {
            call_out(&thread);
        }
        if start.elapsed() > LIMIT {
            bail!("run probe guests: KVM does not answer");
        }
    }
    match thread.join() {
        Ok(result) => result,
        Err(_) => bail!("run probe guests: the thread panicked"),
    }
}

#[cfg(test)]
mod tests;
