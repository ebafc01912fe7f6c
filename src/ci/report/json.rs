//! One boot as one line of JSON.

use crate::ci::attempt::End;
use crate::ci::judge::Verdict;
use crate::ci::matrix::Boot;
use crate::ci::schedule::{Done, Tried};
use crate::ci::told::Report;
use anyhow::{Context, Result};
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Line<'a> {
    name: String,
    kernel: &'a str,
    machine: &'a str,
    test: &'a str,
    verdict: Verdict,
    reasons: &'a [String],
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<&'a serde_json::Value>,
    attempts: Vec<Attempt<'a>>,
}

#[derive(Serialize)]
struct Attempt<'a> {
    verdict: Verdict,
    reasons: &'a [String],
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<&'static str>,
    log: &'a Path,
    #[serde(skip_serializing_if = "<[Report]>::is_empty")]
    reports: &'a [Report],
    #[serde(skip_serializing_if = "Option::is_none")]
    ktap: Option<Ktap<'a>>,
}

#[derive(Serialize)]
struct Ktap<'a> {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// Names of those that failed.
    failures: Vec<String>,
    problems: &'a [String],
}

/// Without its line break.
pub fn line(boot: &Boot, done: &Done) -> Result<String> {
    let last = done.tried.last().and_then(|t| t.seen.as_ref()).map(|s| &s.end);
    let told = match last {
        Some(End::Told(told)) => Some(told),
        _ => None,
    };
    let line = Line {
        name: boot.name(),
        kernel: &boot.kernel,
        machine: &boot.machine,
        test: &boot.test,
        verdict: done.verdict,
        reasons: &done.reasons,
        seconds: seconds(done.time()),
        release: told.and_then(|t| t.release.as_deref()),
        times: told.map(|t| &t.times).filter(|t| !t.is_null()),
        attempts: done.tried.iter().map(attempt).collect(),
    };
    serde_json::to_string(&line).context("make a line of results.jsonl")
}

fn attempt(tried: &Tried) -> Attempt<'_> {
    let seen = tried.seen.as_ref();
    let (status, ended) = match seen.map(|s| &s.end) {
        Some(End::Told(told)) => (Some(told.status), Some(told.ended.word())),
        Some(End::Awaited) => (None, Some("awaited")),
        _ => (None, None),
    };
    Attempt {
        verdict: tried.verdict,
        reasons: &tried.reasons,
        seconds: seen.map_or(0.0, |s| seconds(s.time)),
        status,
        ended,
        log: &tried.log,
        reports: seen.map_or(&[], |s| s.reports.as_slice()),
        ktap: seen.and_then(|s| s.ktap.as_ref()).map(ktap),
    }
}

fn ktap(results: &crate::ktap::Results) -> Ktap<'_> {
    let counts = results.counts();
    Ktap {
        passed: counts.total().saturating_sub(counts.bad()).saturating_sub(counts.skip),
        failed: counts.bad(),
        skipped: counts.skip,
        failures: results.tests.iter().filter(|t| t.outcome.is_bad()).map(|t| t.path.join(".")).collect(),
        problems: &results.problems,
    }
}

/// To the millisecond.
fn seconds(time: std::time::Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}
