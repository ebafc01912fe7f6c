//! `kiln image info` and `kiln image snapshot list`.

use super::{bytes, print};
use crate::cli::Status;
use crate::cli::table::{Cell, Colour, Style, table};
use crate::host::image::Format;
use crate::host::image::offline::{self, Info, Snapshot};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn info(image: &Path, format: Format, json: bool) -> Result<Status> {
    let info = offline::info(image, format)?;
    let text = if json { format!("{:#}\n", as_json(&info)) } else { as_text(&info) };
    print(&text)?;
    Ok(Status::Success)
}

pub fn snapshots(image: &Path, json: bool) -> Result<()> {
    let all = offline::snapshots(image, Format::Auto)?;
    let text = match json {
        true => format!("{:#}\n", Value::from(all.iter().map(snapshot_json).collect::<Vec<_>>())),
        false => list(&all),
    };
    print(&text)
}

fn row(name: &str, value: &str) -> Vec<Cell> {
    vec![Cell::new(name, Colour::Bold), Cell::new(value, Colour::Plain)]
}

fn as_text(info: &Info) -> String {
    let mut rows = vec![row("image", &info.path.display().to_string())];
    let version = info.qcow2.as_ref().map_or(String::new(), |q| format!(" version {}", q.version));
    rows.push(row("format", &format!("{}{version}", info.kind)));
    rows.push(row("disk", &format!("{} ({} bytes)", bytes(info.size), info.size)));
    rows.push(row("on the host", &format!("{}, a file of {}", bytes(info.used), bytes(info.length))));
    if let Some(qcow2) = &info.qcow2 {
        rows.push(row("clusters", &format!("{}, compressed by {}", bytes(qcow2.cluster), qcow2.compression)));
        if !qcow2.marks.is_empty() {
            rows.push(row("marks", &qcow2.marks.join(", ")));
        }
    }
    for (path, kind) in &info.backing {
        let (kind, colour) = match kind {
            Ok(kind) => (kind.to_string(), Colour::Plain),
            Err(why) => (why.clone(), Colour::Red),
        };
        let text = format!("{} ({kind})", path.display());
        rows.push(vec![Cell::new("stands on", Colour::Bold), Cell::new(&text, colour)]);
    }
    if let Some((pid, name)) = &info.holder {
        rows.push(row("in use by", &format!("PID {pid}, {name}")));
    }
    let mut text = table(&rows, Style::stdout());
    let snapshots = info.qcow2.as_ref().map_or(&[][..], |q| &q.snapshots);
    if !snapshots.is_empty() {
        text.push('\n');
        text.push_str(&list(snapshots));
    }
    text
}

fn list(snapshots: &[Snapshot]) -> String {
    let titles = ["id", "made (UTC)", "disk", "guest's memory", "snapshot"];
    let mut rows = vec![titles.iter().map(|t| Cell::new(t, Colour::Bold)).collect::<Vec<_>>()];
    for s in snapshots {
        let state = if s.state == 0 { "-".to_string() } else { bytes(s.state) };
        let size = s.size.map_or("-".to_string(), bytes);
        let cells = [s.id.clone(), date(s.date), size, state, s.name.clone()];
        rows.push(cells.iter().map(|text| Cell::new(&printable(text), Colour::Plain)).collect());
    }
    if snapshots.is_empty() { String::new() } else { table(&rows, Style::stdout()) }
}

/// Names come from the image: no control characters of theirs reach the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
}

/// `2026-11-25 20:41:07`, in UTC (days to a date: H. Hinnant, "chrono-compatible low-level date algorithms").
fn date(at: SystemTime) -> String {
    let seconds = seconds(at);
    let (days, rest) = (seconds / 86400 + 719_468, seconds % 86400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

fn snapshot_json(s: &Snapshot) -> Value {
    json!({ "id": s.id, "name": s.name, "date": seconds(s.date), "disk_size": s.size, "state_size": s.state })
}

fn as_json(info: &Info) -> Value {
    let backing = info.backing.iter().map(|(path, kind)| match kind {
        Ok(kind) => json!({ "path": path.display().to_string(), "format": kind.to_string() }),
        Err(why) => json!({ "path": path.display().to_string(), "error": why }),
    });
    let mut all = json!({
        "path": info.path.display().to_string(),
        "format": info.kind.to_string(),
        "disk_size": info.size,
        "used": info.used,
        "file_size": info.length,
        "backing": backing.collect::<Vec<_>>(),
        "in_use_by": info.holder.as_ref().map(|(pid, name)| json!({ "pid": pid, "name": name })),
    });
    if let (Some(qcow2), Some(all)) = (&info.qcow2, all.as_object_mut()) {
        all.insert("version".into(), qcow2.version.into());
        all.insert("cluster_size".into(), qcow2.cluster.into());
        all.insert("refcount_bits".into(), qcow2.refcount_bits.into());
        all.insert("compression".into(), qcow2.compression.into());
        all.insert("marks".into(), json!(qcow2.marks));
        all.insert("snapshots".into(), qcow2.snapshots.iter().map(snapshot_json).collect());
    }
    all
}
