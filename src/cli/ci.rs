//! `kiln ci`: its flags are [`CiArgs`]; the table at the end, and what the result means as a status.

use super::Status;
use super::table::{Cell, Colour, Style, table};
use crate::ci::{self, Boot, CiArgs, Done, Summary, Verdict, excerpt, short};
use anyhow::{Context, Result};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use std::io::Write;
use std::path::Path;

/// Wider than this a table is not read any more, and into a file it is never broken.
const WIDEST: usize = 160;
/// Boots whose reports are shown; all are in the files.
const SHOWN: usize = 20;

pub fn command() -> Command {
    let command = Command::new("ci").about("Boot a matrix of kernels, machines and tests, and report");
    CiArgs::augment_args(command).after_help(EXAMPLE)
}

const EXAMPLE: &str = r#"A file such as:

  [kernels.debian]
  path = "/boot/vmlinuz-6.1.0-18-cloud-amd64"
  [machines.small]
  memory = "512M"
  [machines.smp]
  cpus = 4
  memory = "2G"
  [tests.boots]
  command = "true"
  [tests.crash]
  command = "echo c > /proc/sysrq-trigger"
  expect = { ends = "panic" }

Paths in it are relative to its folder. Exit status: 0 every boot met its expectation, 1 not so,
125 kiln ci itself failed, 130 ended by Ctrl-C."#;

pub fn run(matches: &ArgMatches) -> Result<Status> {
    let args = CiArgs::from_arg_matches(matches)?;
    let Some(summary) = ci::run(&args)? else { return Ok(Status::Success) };
    if !args.json {
        let text = tell(&summary, &args.out, Style::stdout());
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")?;
    }
    Ok(match summary.passed(args.flaky) {
        _ if summary.interrupted => Status::UserQuit,
        true => Status::Success,
        false => Status::No,
    })
}

/// The table, the reports of what went wrong, and a line for all.
fn tell(summary: &Summary, out: &Path, style: Style) -> String {
    let pairs: Vec<(&Boot, &Done)> =
        summary.done.iter().filter_map(|d| Some((summary.boots.get(d.index)?, d))).collect();
    let rows = grid(&pairs);
    let widest = style.width.unwrap_or(WIDEST);
    let mut text = if width(&rows) <= widest { table(&rows, style) } else { table(&list(&pairs), style) };
    let bad: Vec<_> = pairs.iter().filter(|(_, d)| !d.verdict.is_fine() || d.verdict == Verdict::Flaky).collect();
    let told = bad.iter().filter(|(_, d)| !d.tried.is_empty());
    for (boot, done) in told.clone().take(SHOWN) {
        text.push_str(&failure(boot, done, style));
    }
    let more = told.count().saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("\n{more} more are told of in {}\n", out.display()));
    }
    text.push_str(&format!("\n{}; reports in {}\n", tally(&pairs, summary), out.display()));
    text
}

fn colour(verdict: Verdict) -> Colour {
    match verdict {
        Verdict::Passed => Colour::Green,
        Verdict::Failed | Verdict::Error => Colour::Red,
        Verdict::Flaky | Verdict::NotRun => Colour::Yellow,
        Verdict::Skipped => Colour::Plain,
    }
}

fn seconds(done: &Done) -> String {
    if done.tried.is_empty() { String::new() } else { format!(" {:.1} s", done.time().as_secs_f64()) }
}

/// A row for each kernel on each machine, a column for each test.
fn grid(pairs: &[(&Boot, &Done)]) -> Vec<Vec<Cell>> {
    let mut tests: Vec<&str> = Vec::new();
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for (boot, _) in pairs {
        if !tests.contains(&boot.test.as_str()) {
            tests.push(&boot.test);
        }
        if !rows.contains(&(&boot.kernel, &boot.machine)) {
            rows.push((&boot.kernel, &boot.machine));
        }
    }
    let head = ["kernel", "machine"].into_iter().chain(tests.iter().copied());
    let mut table: Vec<Vec<Cell>> = vec![head.map(|t| Cell::new(t, Colour::Bold)).collect()];
    for (kernel, machine) in rows {
        let mut row = vec![Cell::new(kernel, Colour::Plain), Cell::new(machine, Colour::Plain)];
        for test in &tests {
            let of = |(b, _): &&(&Boot, &Done)| b.kernel == kernel && b.machine == machine && b.test == *test;
            row.push(match pairs.iter().find(of) {
                Some((_, d)) => Cell::new(&format!("{}{}", d.verdict.word(), seconds(d)), colour(d.verdict)),
                None => Cell::new("-", Colour::Plain),
            });
        }
        table.push(row);
    }
    table
}

/// Columns of a table that is not broken.
fn width(rows: &[Vec<Cell>]) -> usize {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(Cell::width).max().unwrap_or(0);
    (0..columns).map(|i| widest(i) + 2).sum::<usize>().saturating_sub(2)
}

/// A row for each boot, with the reason.
fn list(pairs: &[(&Boot, &Done)]) -> Vec<Vec<Cell>> {
    let row = |(boot, done): &(&Boot, &Done)| {
        let reason = done.reasons.first().map(|r| short(r, 200)).unwrap_or_default();
        vec![
            Cell::new(done.verdict.word(), colour(done.verdict)),
            Cell::new(&boot.name(), Colour::Plain),
            Cell::new(seconds(done).trim_start(), Colour::Plain),
            Cell::new(&reason, Colour::Plain),
        ]
    };
    pairs.iter().map(row).collect()
}

/// What is known of a boot that went wrong: why, the kernel's reports or the end of its log, and where the whole log is.
fn failure(boot: &Boot, done: &Done, style: Style) -> String {
    let most = style.width.map_or(500, |w| w.saturating_sub(4).max(40));
    let word = Cell::new(done.verdict.word(), colour(done.verdict));
    let reasons = short(&done.reasons.join("; "), 500);
    let head = vec![word, Cell::new(&format!("{}: {reasons}", boot.name()), Colour::Bold)];
    let mut text = format!("\n{}", table(&[head], style));
    if let Some(tried) = done.telling() {
        excerpt(tried).iter().for_each(|line| text.push_str(&format!("    {}\n", short(line, most))));
        text.push_str(&format!("  the whole log: {}\n", tried.log.display()));
    }
    text
}

/// `12 boots in 34.5 s: 9 passed, 1 flaky, 2 failed`.
fn tally(pairs: &[(&Boot, &Done)], summary: &Summary) -> String {
    let words = [
        (Verdict::Passed, "passed"),
        (Verdict::Flaky, "flaky"),
        (Verdict::Failed, "failed"),
        (Verdict::Error, "could not be done"),
        (Verdict::Skipped, "skipped"),
        (Verdict::NotRun, "not run"),
    ];
    let count = |v| pairs.iter().filter(|(_, d)| d.verdict == v).count();
    let parts = words.iter().map(|(v, word)| (count(*v), word)).filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, word)| format!("{n} {word}")).collect();
    let s = if pairs.len() == 1 { "" } else { "s" };
    format!("{} boot{s} in {:.1} s: {}", pairs.len(), summary.time.as_secs_f64(), parts.join(", "))
}
