//! What a run tells when it is over, besides its status: the kernel's log and reports, and how long the boot took.

use super::super::status::{Status, Verdict};
use super::super::table::{Cell, Colour, Style, table};
use crate::exec::times::{Initcall, Times};
use crate::exec::{Ending, Ran};
use crate::machine::Outcome;
use anyhow::{Context, Result};
use clap::ArgMatches;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Reports that are shown; the log has all.
const REPORTS: usize = 10;

pub fn times(start: Instant, ran: &Ran) -> Times {
    Times {
        first_instruction: Some(ran.began),
        kernel: ran.spoke,
        init: ran.times.hello,
        command_start: ran.times.started,
        command_end: ran.times.ended,
        end: Some(ran.ended),
        initcalls: ran
            .boot
            .initcalls
            .iter()
            .map(|c| Initcall { name: c.name.clone(), us: c.took.as_micros() as u64 })
            .collect(),
        ..Times::since(start)
    }
}

/// `--boot-report`: a table on stderr, JSON in a file.
pub fn boot_report(m: &ArgMatches, times: &Times) -> Result<()> {
    let Some(place) = m.get_one::<PathBuf>("boot-report") else { return Ok(()) };
    if place.as_os_str() != "-" {
        return std::fs::write(place, times.json() + "\n")
            .with_context(|| format!("--boot-report: write {}", place.display()));
    }
    let cells = |row: [String; 3]| row.iter().map(|text| Cell::new(text, Colour::Plain)).collect::<Vec<_>>();
    let rows: Vec<_> = times.rows().into_iter().map(cells).collect();
    eprint!("{}", table(&rows, Style { width: None, colours: false }));
    Ok(())
}

/// A run that fails for other reasons than the command's own is explained by the log, where that was kept; what the kernel
/// reported is shown in any case.
pub fn log_and_reports(ran: &Ran, verdict: &Verdict) {
    let own = matches!(verdict.status, Status::Command(_));
    let quit = ran.ending == Ending::Machine(Outcome::UserQuit);
    let mut err = std::io::stderr().lock();
    if let (Some(log), false) = (&ran.log, own || quit) {
        let _ = err.write_all(plain(log).as_bytes());
        return;
    }
    for report in ran.reports.iter().take(REPORTS) {
        let again = if report.count > 1 { format!(" ({} times)", report.count) } else { String::new() };
        let _ = writeln!(err, "kiln: the kernel reported {}{again}:\n{}", report.kind, report.text.trim_end());
    }
    let more = (ran.reports.len().saturating_sub(REPORTS) as u64).saturating_add(ran.more_reports);
    if more > 0 {
        let _ = writeln!(err, "kiln: and {more} more reports; --klog FILE has them");
    }
}

/// The guest wrote it, and a terminal obeys what is not text.
fn plain(log: &[u8]) -> String {
    String::from_utf8_lossy(log).chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}
