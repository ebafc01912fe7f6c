//! `kiln link`: a new link to the screen of a machine that runs.

use super::Status;
use super::screenshot::{find, machine};
use anyhow::{Context, Result};
use clap::{ArgMatches, Command};
use serde::Deserialize;
use std::io::Write;

pub fn command() -> Command {
    let about = "Print a new link to the screen of a machine with --display web";
    Command::new("link").about(about).arg(machine())
}

/// What the call answers; a line for each.
#[derive(Deserialize)]
struct Made {
    links: Vec<String>,
}

pub fn run(m: &ArgMatches) -> Result<Status> {
    let client = find(m)?;
    let answer = client.call("POST", "/v1/link", &[])?;
    let made: Made =
        serde_json::from_slice(&answer).with_context(|| format!("`{}`: what it answered", client.name()))?;
    let text: String = made.links.iter().map(|link| format!("{link}\n")).collect();
    std::io::stdout().write_all(text.as_bytes()).context("write to stdout")?;
    Ok(Status::Success)
}
