//! Whether a boot met its expectation; if not, why, in words.

use super::attempt::{End, Seen};
use super::file::Ends;
use super::matrix::Boot;
use super::told::{Report, Told};
use crate::klog::Kind;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Passed,
    /// Failed first, then passed.
    Flaky,
    Failed,
    /// kiln itself failed: nothing is known of the kernel.
    Error,
    Skipped,
    /// Left out because kiln ci was to end.
    NotRun,
}

impl Verdict {
    /// As tables and progress lines show it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Passed => "ok",
            Verdict::Flaky => "flaky",
            Verdict::Failed => "FAILED",
            Verdict::Error => "ERROR",
            Verdict::Skipped => "skipped",
            Verdict::NotRun => "not run",
        }
    }

    /// Whether it is good news.
    pub fn is_fine(self) -> bool {
        matches!(self, Verdict::Passed | Verdict::Flaky | Verdict::Skipped)
    }
}

/// Never [`Verdict::Flaky`] or skipped: that is for those who know of other attempts.
pub fn judge(boot: &Boot, seen: &Seen) -> (Verdict, Vec<String>) {
    let reasons = match &seen.end {
        End::Interrupted => return (Verdict::NotRun, vec!["interrupted".to_string()]),
        End::Broken(why) => return (Verdict::Error, vec![format!("kiln {why}")]),
        End::Told(told) if told.ended == Ends::Failed && boot.what.expect.ends != Some(Ends::Failed) => {
            let why = if told.message.is_empty() { "kiln failed" } else { &told.message };
            return (Verdict::Error, vec![why.to_string()]);
        }
        End::Awaited => Vec::new(),
        End::Told(told) => end(boot, seen, told).into_iter().collect(),
    };
    let reports = reports(boot, seen);
    // `--fail-on` gave the child this status for its report, which says more.
    let said = matches!(&seen.end, End::Told(t) if t.status == 255 && matches!(t.ended, Ends::Exited | Ends::Shutdown));
    let reasons = if said && !reports.is_empty() { Vec::new() } else { reasons };
    let all = [reasons, reports, appearance(boot, seen), tests(seen)].concat();
    (if all.is_empty() { Verdict::Passed } else { Verdict::Failed }, all)
}

fn ended(seen: &Seen, how: Ends) -> bool {
    matches!(&seen.end, End::Told(told) if told.ended == how)
}

/// Why the end is not the one that was expected.
fn end(boot: &Boot, seen: &Seen, told: &Told) -> Option<String> {
    let expect = &boot.what.expect;
    let said = describe(boot, seen, told);
    if let Some(re) = &boot.what.r#await {
        return Some(format!("`{}` did not appear: {said}", re.text));
    }
    let as_expected = match (expect.ends, expect.status) {
        (Some(ends), status) => told.ended == ends && status.is_none_or(|s| s == told.status),
        // No status stands for an end that nobody knows.
        (None, Some(status)) => told.status == status && told.ended != Ends::Lost,
        (None, None) => told.status == 0 && matches!(told.ended, Ends::Exited | Ends::Shutdown | Ends::Reset),
    };
    let wanted = match (expect.ends, expect.status) {
        (Some(ends), Some(status)) => format!(", not {} with status {status}", ends.word()),
        (Some(ends), None) => format!(", not {}", ends.word()),
        (None, Some(status)) => format!(", not status {status}"),
        (None, None) => String::new(),
    };
    (!as_expected).then(|| said + &wanted)
}

fn describe(boot: &Boot, seen: &Seen, told: &Told) -> String {
    let with =
        |what: &str| if told.message.is_empty() { what.to_string() } else { format!("{what}: {}", told.message) };
    match told.ended {
        Ends::Exited | Ends::DebugExit => format!("status {}", told.status),
        Ends::Timeout => format!("timed out after {} s", boot.timeout().as_secs_f64()),
        Ends::Panic => match seen.reports.iter().find(|r| r.kind == "panic") {
            Some(report) => report.title.clone(),
            None => "panicked".to_string(),
        },
        Ends::Signalled => with(&format!("killed by a signal (status {})", told.status)),
        Ends::NotFound => with("command not found"),
        Ends::NotRunnable => with("command not runnable"),
        Ends::Fault => with("triple fault or KVM error"),
        Ends::Lost => with("the channel to the guest was lost"),
        Ends::Shutdown | Ends::Reset | Ends::Quit | Ends::Failed => with(told.ended.word()),
    }
}

/// Reports that fail the boot, and those that had to be there.
fn reports(boot: &Boot, seen: &Seen) -> Vec<String> {
    let fatal = boot.fail_on();
    let is_fatal = |report: &&Report| report.kind.parse().is_ok_and(|kind| fatal.contains(kind));
    let panicked = ended(seen, Ends::Panic);
    let mut reasons: Vec<String> = Vec::new();
    for report in seen.reports.iter().filter(is_fatal) {
        // The end tells of it, unless what was awaited came first.
        if !(panicked && report.kind == "panic") {
            reasons.push(format!("{}: {}", report.kind, report.title));
        }
    }
    for kind in &boot.what.expect.report.0 {
        let there = seen.reports.iter().any(|r| r.kind == kind.name()) || (panicked && *kind == Kind::Panic);
        if !there {
            reasons.push(format!("the kernel log has no report of kind {kind}"));
        }
    }
    reasons
}

fn appearance(boot: &Boot, seen: &Seen) -> Vec<String> {
    let expect = &boot.what.expect;
    let missing = |re: &Option<super::file::Checked<regex_lite::Regex>>, there: bool, place: &str| {
        re.as_ref().filter(|_| !there).map(|re| format!("`{}` is not in the {place}", re.text))
    };
    let output = missing(&expect.output, seen.output, "output");
    output.into_iter().chain(missing(&expect.log, seen.log, "kernel log")).collect()
}

/// The most tests that are named.
const NAMED: usize = 3;

fn tests(seen: &Seen) -> Vec<String> {
    let Some(results) = &seen.ktap else { return Vec::new() };
    let failed: Vec<String> = results.tests.iter().filter(|t| t.outcome.is_bad()).map(|t| t.path.join(".")).collect();
    let mut reasons = Vec::new();
    if !failed.is_empty() {
        let more = failed.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = failed.get(..NAMED).unwrap_or(&failed).join(", ");
        reasons.push(format!("{} of {} KTAP tests failed: {names}{more}", failed.len(), results.tests.len()));
    }
    if let Some(problem) = results.problems.first() {
        reasons.push(format!("KTAP: {problem}"));
    }
    if reasons.is_empty() && !results.passed() {
        reasons.push("there are no KTAP results".to_string());
    }
    reasons
}

#[cfg(test)]
mod tests;
