//! `kiln image`: what is done with disk images while no guest has them.

mod change;
mod info;
mod progress;
mod report;

use super::Status;
use crate::config::values::Size;
use crate::host::image::{Format, Kind};
use anyhow::{Context, Result, bail};
use clap::{Args, FromArgMatches, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `kiln image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say what an image is: its format, sizes, backing files and snapshots
    Info {
        image: PathBuf,
        #[command(flatten)]
        format: Given,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make an empty image
    Create {
        image: PathBuf,
        /// Bytes of its disk, such as 20G; may be left out with --backing
        size: Option<Size>,
        /// raw or qcow2 [default: by the name's suffix]
        #[arg(long)]
        format: Option<Format>,
        /// An image that is seen where nothing was written yet (qcow2 only)
        #[arg(long, value_name = "FILE")]
        backing: Option<PathBuf>,
        /// The format of that image [default: by its content]
        #[arg(long, value_name = "FORMAT", requires = "backing")]
        backing_format: Option<Format>,
        /// Bytes of a cluster, 512 to 2M [default: 64K]
        #[arg(long, value_name = "SIZE")]
        cluster_size: Option<Size>,
    },
    /// Copy an image into another format
    Convert {
        /// The image to copy
        from: PathBuf,
        /// The new image, which must not exist yet
        to: PathBuf,
        /// raw or qcow2 [default: by the suffix of TO]
        #[arg(long)]
        format: Option<Format>,
        /// The format of FROM [default: by its content]
        #[arg(long, value_name = "FORMAT")]
        from_format: Option<Format>,
        /// Bytes of a cluster of TO, 512 to 2M [default: 64K]
        #[arg(long, value_name = "SIZE")]
        cluster_size: Option<Size>,
    },
    /// Find out whether an image's tables agree
    Check {
        image: PathBuf,
        #[command(flatten)]
        format: Given,
        /// Free what is lost, count references anew, take the dirty and corrupt marks away; no data are changed
        #[arg(long)]
        repair: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give an image's disk another size
    Resize {
        image: PathBuf,
        /// The new size, such as 20G; +5G adds to the old one
        size: String,
        #[command(flatten)]
        format: Given,
        /// Let it become smaller: what is behind the new end is lost
        #[arg(long)]
        shrink: bool,
    },
    /// Keep, list and bring back states of a qcow2 image's disk
    Snapshot {
        #[command(subcommand)]
        verb: SnapshotVerb,
    },
}

#[derive(Debug, Subcommand)]
enum SnapshotVerb {
    /// List them
    List {
        image: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep the disk as it is now
    Create { image: PathBuf, name: String },
    /// Make the disk what it was; what it is now is lost
    Apply { image: PathBuf, name: String },
    /// Forget a snapshot
    Delete { image: PathBuf, name: String },
}

/// The format of an image that exists.
#[derive(Debug, Args)]
struct Given {
    /// The image's format: raw, qcow2, vmdk, vdi or vpc [default: by its content]
    #[arg(long)]
    format: Option<Format>,
}

impl Given {
    fn format(&self) -> Format {
        self.format.unwrap_or(Format::Auto)
    }
}

pub fn command() -> clap::Command {
    let about = "Look at, make, convert, check and resize disk images, and their snapshots";
    let statuses = "Exit status: 0 done, or clean; 1 `check` found something that is wrong (after --repair: is still \
                    wrong); 125 kiln failed.";
    ImageArgs::augment_args(clap::Command::new("image")).about(about).long_about(None).after_help(statuses)
}

pub fn run(matches: &clap::ArgMatches) -> Result<Status> {
    match ImageArgs::from_arg_matches(matches)?.verb {
        Verb::Info { image, format, json } => info::info(&image, format.format(), json),
        Verb::Create { image, size, format, backing, backing_format, cluster_size } => {
            let backing = backing.map(|path| (path, backing_format.unwrap_or(Format::Auto)));
            change::create(&image, size, format, backing, cluster_size)
        }
        Verb::Convert { from, to, format, from_format, cluster_size } => {
            change::convert((&from, from_format.unwrap_or(Format::Auto)), &to, format, cluster_size)
        }
        Verb::Check { image, format, repair, json } => report::check(&image, format.format(), repair, json),
        Verb::Resize { image, size, format, shrink } => change::resize(&image, format.format(), &size, shrink),
        Verb::Snapshot { verb } => change::snapshot(verb),
    }
}

/// The format that a new image gets.
fn made(path: &Path, format: Option<Format>) -> Result<Kind> {
    let name = path.display();
    let suffix = path.extension().map(|suffix| suffix.to_string_lossy().to_ascii_lowercase());
    match (format, suffix.as_deref()) {
        (Some(Format::Known(kind)), _) => Ok(kind),
        (_, Some("raw" | "img")) => Ok(Kind::Raw),
        (_, Some("qcow2")) => Ok(Kind::Qcow2),
        _ => bail!("create {name}: its name does not say what format it is to have; add `--format raw` or `qcow2`"),
    }
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("write to stdout")
}

/// `20 GiB`, `1.5 MiB`, `100 B`.
fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut shown = n as f64;
    let mut unit = "B";
    for next in UNITS {
        if shown < 1024.0 {
            break;
        }
        (shown, unit) = (shown / 1024.0, next);
    }
    if shown.fract() == 0.0 { format!("{shown} {unit}") } else { format!("{shown:.1} {unit}") }
}
