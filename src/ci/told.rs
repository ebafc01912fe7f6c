//! What a child tells of its end in the file of `--result`. A file that is missing or wrong means that kiln failed.

use super::file::Ends;
use crate::klog;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;

/// Bytes; reports are bounded where they are made.
const LARGEST: u64 = 16 << 20;

/// Reports that are kept of a boot: there may be many boots.
pub const REPORTS: usize = 32;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The exit status of the child, which is the command's own where it ended by itself.
    pub status: u8,
    pub ended: Ends,
    /// In words, if there is more to say.
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub reports: Vec<Report>,
    /// Milliseconds or whatever the child measures: passed on.
    #[serde(default)]
    pub times: serde_json::Value,
    /// Of the kernel.
    #[serde(default)]
    pub release: Option<String>,
}

/// What the kernel said of a failure of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub kind: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub text: String,
}

impl From<klog::Report> for Report {
    fn from(report: klog::Report) -> Report {
        Report { kind: report.kind.name().to_string(), title: report.title, text: report.text }
    }
}

impl Told {
    pub fn read(path: &Path) -> Result<Told> {
        let mut text = Vec::new();
        let file = std::fs::File::open(path).context("open")?;
        file.take(LARGEST + 1).read_to_end(&mut text).context("read")?;
        ensure!(text.len() as u64 <= LARGEST, "larger than {} MiB", LARGEST >> 20);
        let mut told: Told = serde_json::from_slice(&text)?;
        told.reports.truncate(REPORTS);
        Ok(told)
    }
}
