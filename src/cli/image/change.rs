//! What makes and changes images.

use super::progress::Progress;
use super::{SnapshotVerb, bytes, info, made};
use crate::cli::Status;
use crate::config::values::Size;
use crate::host::image::Format;
use crate::host::image::offline::{self, Plan};
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};

pub fn create(
    image: &Path,
    size: Option<Size>,
    format: Option<Format>,
    backing: Option<(PathBuf, Format)>,
    cluster: Option<Size>,
) -> Result<Status> {
    let kind = made(image, format)?;
    let plan = Plan { kind, size: size.map(|s| s.0), backing, cluster: cluster.map(|s| s.0) };
    let size = offline::create(image, &plan)?;
    eprintln!("kiln: {} is a {kind} image of {}", image.display(), bytes(size));
    Ok(Status::Success)
}

pub fn convert(from: (&Path, Format), to: &Path, format: Option<Format>, cluster: Option<Size>) -> Result<Status> {
    let kind = made(to, format)?;
    let mut progress = Progress::default();
    let size = offline::convert(from, (to, kind), cluster.map(|s| s.0), |at, of| progress.show(at, of));
    progress.end();
    eprintln!("kiln: {} is a {kind} image of {}", to.display(), bytes(size?));
    Ok(Status::Success)
}

pub fn resize(image: &Path, format: Format, size: &str, shrink: bool) -> Result<Status> {
    let (more, number) = size.strip_prefix('+').map_or((false, size), |number| (true, number));
    let Size(wanted) = number.parse().map_err(|e| anyhow!("size `{size}`: {e}"))?;
    let name = image.display();
    let new = |old: u64| match more {
        true => old.checked_add(wanted).with_context(|| format!("resize {name}: {size} is too much")),
        false => Ok(wanted),
    };
    let (old, new) = offline::resize(image, format, shrink, new)?;
    eprintln!("kiln: {name} had {} and has {}", bytes(old), bytes(new));
    Ok(Status::Success)
}

pub fn snapshot(verb: SnapshotVerb) -> Result<Status> {
    let auto = Format::Auto;
    match verb {
        SnapshotVerb::List { image, json } => info::snapshots(&image, json)?,
        SnapshotVerb::Create { image, name } => offline::create_snapshot(&image, auto, &name)?,
        SnapshotVerb::Apply { image, name } => offline::apply_snapshot(&image, auto, &name)?,
        SnapshotVerb::Delete { image, name } => offline::delete_snapshot(&image, auto, &name)?,
    }
    Ok(Status::Success)
}
