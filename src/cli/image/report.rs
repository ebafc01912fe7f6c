//! `kiln image check`.

use super::print;
use crate::cli::Status;
use crate::host::image::Format;
use crate::host::image::offline::check::{self, Report, Verdict};
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

pub fn check(image: &Path, format: Format, repair: bool, json: bool) -> Result<Status> {
    let verdict = check::check(image, format, repair)?;
    print(&if json { format!("{:#}\n", as_json(&verdict)) } else { text(image, &verdict) })?;
    Ok(if verdict.clean() { Status::Success } else { Status::No })
}

fn text(image: &Path, verdict: &Verdict) -> String {
    let (name, mut out) = (image.display(), String::new());
    if let Some(before) = &verdict.repaired {
        let _ = writeln!(out, "{name}: before the repair: {}", summary(before));
        findings(before, &mut out);
    }
    let what = match (&verdict.wrong, &verdict.report) {
        (Some(wrong), _) => wrong.clone(),
        (None, Some(report)) if !report.clean() => summary(report),
        (None, Some(_)) => "clean".to_string(),
        (None, None) => format!("clean, as far as a {} image can tell", verdict.kind),
    };
    let _ = writeln!(out, "{name}: {what}");
    if let Some(report) = &verdict.report {
        findings(report, &mut out);
    }
    out
}

fn findings(report: &Report, out: &mut String) {
    for line in &report.found {
        let _ = writeln!(out, "  {line}");
    }
    let all = report.corruptions + report.leaks + report.unreadable + report.overlaps;
    let told = report.found.len() as u64;
    if all > told {
        let _ = writeln!(out, "  and {} more", all - told);
    }
}

fn summary(report: &Report) -> String {
    let counts = [
        (report.corruptions, "wrong entries or refcounts"),
        (report.overlaps, "clusters that are used twice"),
        (report.unreadable, "refcounts that cannot be read"),
        (report.leaks, "lost clusters"),
    ];
    let mut parts: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what}: {n}")).collect();
    if report.dirty {
        parts.push("marked dirty".to_string());
    }
    if report.corrupt {
        parts.push("marked corrupt".to_string());
    }
    parts.join(", ")
}

fn as_json(verdict: &Verdict) -> Value {
    let report = |r: &Report| {
        json!({
            "corruptions": r.corruptions,
            "leaks": r.leaks,
            "unreadable": r.unreadable,
            "overlaps": r.overlaps,
            "dirty": r.dirty,
            "corrupt": r.corrupt,
            "found": r.found,
        })
    };
    json!({
        "format": verdict.kind.to_string(),
        "clean": verdict.clean(),
        "wrong": verdict.wrong,
        "report": verdict.report.as_ref().map(report),
        "before_repair": verdict.repaired.as_ref().map(report),
    })
}
