//! `--result FILE`: how a guest ended, for programs.

use super::status::Verdict;
use super::{Status, flags};
use crate::ci::{Ends, Told};
use crate::klog::Report;
use anyhow::{Context, Error, Result};
use clap::{Arg, ArgMatches};
use std::path::PathBuf;

pub fn flag() -> Arg {
    flags::path("result").long("result").value_name("FILE").help("Write how the guest ended to FILE, as JSON")
}

/// Writes the file, if one was asked for, and says what there is to say. An error is a result, too.
pub fn tell(m: &ArgMatches, ended: Result<(Verdict, Details)>) -> Result<Status> {
    let (verdict, details) = match ended {
        Ok(ended) => ended,
        Err(e) => {
            write(m, &failed(&e), Details::default())?;
            return Err(e);
        }
    };
    write(m, &verdict, details)?;
    Ok(verdict.say())
}

/// What else a run tells.
#[derive(Default)]
pub struct Details {
    pub reports: Vec<Report>,
    pub times: serde_json::Value,
    pub release: Option<String>,
}

fn failed(error: &Error) -> Verdict {
    Verdict::because(Ends::Failed, Status::Failed, format!("{error:#}"))
}

fn write(m: &ArgMatches, verdict: &Verdict, details: Details) -> Result<()> {
    let Some(path) = m.get_one::<PathBuf>("result") else { return Ok(()) };
    let Details { reports, times, release } = details;
    let told = Told {
        status: verdict.status.code(),
        ended: verdict.ends,
        message: verdict.message.clone().unwrap_or_default(),
        reports: reports.into_iter().map(Into::into).collect(),
        times,
        release,
    };
    let text = serde_json::to_string(&told).context("--result")? + "\n";
    std::fs::write(path, text).with_context(|| format!("--result: write {}", path.display()))
}
