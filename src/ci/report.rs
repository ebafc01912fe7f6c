//! The files that tell how the boots went: results.jsonl while they run, junit.xml and results.ktap at the end.

mod json;
mod junit;
mod ktap;

use super::matrix::Boot;
use super::schedule::{Done, Tried};
use super::text::clean;
use anyhow::{Context, Result, bail};
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Lines of a report or a log that are quoted.
const QUOTED: usize = 60;

pub struct Files {
    dir: PathBuf,
    json: File,
}

impl Files {
    /// In `dir`, which is there, and ours alone from now on. What an earlier run left is removed: it would be taken for ours.
    pub fn create(dir: &Path) -> Result<Files> {
        let path = dir.join(JSON);
        let json = File::options().write(true).create(true).truncate(false).open(&path);
        let json = json.with_context(|| format!("create {}", path.display()))?;
        match json.try_lock() {
            Err(TryLockError::WouldBlock) => bail!("{}: another kiln ci writes there; see --out", dir.display()),
            // Without locks (some network file systems) it is up to the user.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        json.set_len(0).with_context(|| format!("truncate {}", path.display()))?;
        for name in [JUNIT, KTAP] {
            match std::fs::remove_file(dir.join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| format!("remove {}", dir.join(name).display()));
                }
                _ => {}
            }
        }
        Ok(Files { dir: dir.to_path_buf(), json })
    }

    /// Adds a boot that is done, and returns its line.
    pub fn add(&mut self, boot: &Boot, done: &Done) -> Result<String> {
        let line = json::line(boot, done)? + "\n";
        let written = self.json.write_all(line.as_bytes());
        written.with_context(|| format!("write {}", self.dir.join(JSON).display()))?;
        Ok(line)
    }

    /// Writes the others. Each is there as a whole or not at all.
    pub fn finish(self, boots: &[Boot], all: &[Done]) -> Result<()> {
        self.whole(JUNIT, &junit::document(boots, all).context("make junit.xml")?)?;
        self.whole(KTAP, ktap::document(boots, all).as_bytes())
    }

    fn whole(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, fresh) = (self.dir.join(name), self.dir.join(format!(".{name}.new")));
        std::fs::write(&fresh, bytes).with_context(|| format!("write {}", fresh.display()))?;
        std::fs::rename(&fresh, &path).with_context(|| format!("write {}", path.display()))
    }
}

const JSON: &str = "results.jsonl";
const JUNIT: &str = "junit.xml";
const KTAP: &str = "results.ktap";

/// What tells most of an attempt, harmless and not too long: the kernel's reports, else the last lines of the log.
pub fn excerpt(tried: &Tried) -> Vec<String> {
    let Some(seen) = &tried.seen else { return Vec::new() };
    let reports: Vec<&str> =
        seen.reports.iter().map(|r| if r.text.is_empty() { &r.title } else { &r.text }.as_str()).collect();
    let lines: Vec<String> = if reports.is_empty() {
        seen.tail.clone()
    } else {
        reports.iter().flat_map(|text| text.lines()).take(QUOTED + 1).map(|l| clean(l.as_bytes())).collect()
    };
    let cut = lines.len() > QUOTED;
    let mut shown: Vec<String> = lines.iter().take(QUOTED).map(|l| super::text::short(l, super::text::SHOWN)).collect();
    if cut {
        shown.push("...".to_string());
    }
    shown
}

/// The boot that a result is of.
fn pairs<'a>(boots: &'a [Boot], all: &'a [Done]) -> impl Iterator<Item = (&'a Boot, &'a Done)> {
    all.iter().filter_map(|done| Some((boots.get(done.index)?, done)))
}

#[cfg(test)]
mod tests;
