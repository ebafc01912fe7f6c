//! `--await-screen REF.png[,TOLERANCE]`: a picture that the screen is expected to show.

use super::flags::text;
use crate::control::Reference;
use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgMatches};
use std::fs::File;
use std::io::Read;

/// The most bytes of a picture's file.
const MOST: u64 = 32 << 20;

pub struct Expected {
    /// As the user called it.
    pub name: String,
    pub file: Vec<u8>,
    /// In percent.
    pub tolerance: f64,
    pub reference: Reference,
}

pub fn flag(about: &'static str) -> Arg {
    text("await-screen", "REF.png[,TOLERANCE]", about).long_help(format!(
        "{about}. What is transparent in it does not count. TOLERANCE is the greatest share of the other pixels, in \
         percent, that may differ [default: 0]"
    ))
}

pub fn read(m: &ArgMatches) -> Result<Option<Expected>> {
    m.get_one::<String>("await-screen").map(|text| open(text).context("--await-screen")).transpose()
}

fn open(text: &str) -> Result<Expected> {
    let (name, tolerance) = split(text);
    let mut file = Vec::new();
    let read = File::open(name).and_then(|from| from.take(MOST + 1).read_to_end(&mut file));
    read.with_context(|| format!("read {name}"))?;
    ensure!(file.len() as u64 <= MOST, "{name}: more than {MOST} bytes are no picture of a screen");
    let reference = Reference::parse(&file, tolerance).with_context(|| name.to_string())?;
    Ok(Expected { name: name.to_string(), file, tolerance, reference })
}

/// What follows the last comma is the tolerance, if it is a number.
fn split(text: &str) -> (&str, f64) {
    let number = |text: &str| text.strip_suffix('%').unwrap_or(text).parse().ok();
    let parts = text.rsplit_once(',').and_then(|(name, last)| Some((name, number(last)?)));
    parts.unwrap_or((text, 0.0))
}

#[cfg(test)]
mod tests;
