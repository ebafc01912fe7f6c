//! A matrix of boots: kernels x machines x tests, many at once, with reports that people and machines read.
//!
//! ```text
//! kiln.toml -- file --> matrix --> schedule --+--> attempt: a child `kiln exec` or `kiln run`, its log, what is seen
//!                                             +--> judge: did it meet its expectation?
//!                                             +--> progress, report: junit.xml, results.jsonl, results.ktap
//! ```
//! Every boot is a process of its own, so that nothing one guest does can take the others with it.

mod attempt;
mod command;
mod file;
mod judge;
mod matrix;
mod memory;
mod progress;
mod record;
mod report;
mod schedule;
mod text;
mod told;

pub use file::Ends;
pub use judge::Verdict;
pub use matrix::Boot;
pub use report::excerpt;
pub use schedule::Done;
pub use text::short;
pub use told::Told;

use crate::config::Size;
use crate::sys::signal;
use anyhow::{Context, Result};
use clap::ValueEnum;
use file::File;
use progress::Progress;
use regex_lite::Regex;
use schedule::Plan;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, clap::Args)]
pub struct CiArgs {
    /// The matrix
    #[arg(value_name = "FILE", default_value = "kiln.toml")]
    pub file: PathBuf,
    /// Boots at a time [default: as many as have a processor for each vCPU]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub jobs: Option<u32>,
    /// Only boots whose name KERNEL/MACHINE/TEST matches this regular expression
    #[arg(long, value_name = "RE")]
    pub filter: Option<Regex>,
    /// Try a boot that failed N more times (instead of what FILE says)
    #[arg(long, value_name = "N")]
    pub retry: Option<u32>,
    /// Whether a boot that failed and then passed is a failure
    #[arg(long, value_name = "WHAT", default_value = "pass")]
    pub flaky: Flaky,
    /// Start nothing more after the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// Memory for all guests that run at a time [default: what the host has available]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Size>,
    /// Where logs and reports go
    #[arg(long, value_name = "DIR", default_value = "kiln-ci")]
    pub out: PathBuf,
    /// A line of JSON for each boot on standard output, instead of the table
    #[arg(long)]
    pub json: bool,
    /// Print the names of the boots, and do nothing
    #[arg(short, long)]
    pub list: bool,
    /// Print the commands that would be run, and do nothing
    #[arg(short = 'n', long, conflicts_with = "list")]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flaky {
    Pass,
    Fail,
}

/// What was run, and how it went.
#[derive(Debug)]
pub struct Summary {
    pub boots: Vec<Boot>,
    /// In the order of `boots`.
    pub done: Vec<Done>,
    pub time: Duration,
    /// Ended by a signal.
    pub interrupted: bool,
}

impl Summary {
    /// Every boot met its expectation.
    pub fn passed(&self, flaky: Flaky) -> bool {
        let fine = |d: &Done| d.verdict.is_fine() && !(flaky == Flaky::Fail && d.verdict == Verdict::Flaky);
        self.done.len() == self.boots.len() && self.done.iter().all(fine)
    }
}

/// Runs the matrix of `args.file`. `None`: something was printed, and nothing was to be run. Errors: the file or an option
/// is wrong, a boot cannot fit, the reports cannot be written.
pub fn run(args: &CiArgs) -> Result<Option<Summary>> {
    let file = File::read(&args.file)?;
    let boots = matrix::expand(&file).with_context(|| args.file.display().to_string())?;
    let boots = matrix::filter(boots, args.filter.as_ref())?;
    if args.list || args.dry_run {
        return print(args, &boots).context("write to standard output").map(|()| None);
    }
    let dir = folder(&args.file)?;
    matrix::check_files(&file, &dir)?;
    let program = std::env::current_exe().context("find kiln's own program")?;
    summary(args, boots, attempt::Launcher { program, dir }).map(Some)
}

/// Where the paths in the file are relative to.
fn folder(file: &Path) -> Result<PathBuf> {
    let dir = match file.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    std::fs::canonicalize(dir).with_context(|| dir.display().to_string())
}

fn print(args: &CiArgs, boots: &[Boot]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for boot in boots {
        if args.list {
            writeln!(out, "{}", boot.name())?;
        } else {
            writeln!(out, "kiln {}", command::quoted(&command::arguments(boot, None)))?;
        }
    }
    out.flush()
}

fn summary(args: &CiArgs, boots: Vec<Boot>, launcher: attempt::Launcher) -> Result<Summary> {
    let make = || format!("--out {}", args.out.display());
    std::fs::create_dir_all(&args.out).with_context(make)?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = args.memory.map(|m| m.0).or_else(memory::available);
    let plan = Plan {
        launcher,
        out: std::fs::canonicalize(&args.out).with_context(make)?,
        jobs: args.jobs.map(|j| j as usize),
        processors,
        memory: memory.unwrap_or(u64::MAX),
        retry: args.retry,
        fail_fast: args.fail_fast,
    };
    plan.check(&boots)?;
    let mut files = report::Files::create(&plan.out)?;
    plan.make_folders(&boots)?;
    let bell = signal::on_end().context("handle signals")?;
    let start = Instant::now();
    let progress = Progress::new(boots.len());
    // When nobody reads standard output any more, the rest is done all the same.
    let mut unread = None;
    let result = plan.run(&boots, &bell, &progress, &mut |done| {
        let Some(boot) = boots.get(done.index) else { return Ok(()) };
        progress.finish(boot, done);
        let line = files.add(boot, done)?;
        if args.json && unread.is_none() {
            unread = progress.suspend(|| std::io::stdout().lock().write_all(line.as_bytes())).err();
        }
        Ok(())
    });
    progress.end();
    let done = result?;
    files.finish(&boots, &done)?;
    if let Some(e) = unread {
        return Err(e).context("write to standard output");
    }
    // Nobody else reads it: it has rung if there is something to read.
    let interrupted = bell.read().is_ok();
    Ok(Summary { boots, done, time: start.elapsed(), interrupted })
}

#[cfg(test)]
mod tests;
