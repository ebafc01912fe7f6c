//! New images.

use super::super::chain::Chain;
use super::super::qcow2::{Medium, Own};
use super::super::{Format, Kind, SECTOR, overlay};
use super::output::Output;
use crate::sys::storage::Storage;
use anyhow::{Context, Result, bail, ensure};
use imago::FormatCreateBuilder;
use imago::qcow2::Qcow2;
use std::fs;
use std::path::{Path, PathBuf};

/// What a new image is to be.
#[derive(Debug, Clone)]
pub struct Plan {
    pub kind: Kind,
    /// Bytes of the disk; `None`: those of the backing file.
    pub size: Option<u64>,
    pub backing: Option<(PathBuf, Format)>,
    /// Bytes of a cluster.
    pub cluster: Option<u64>,
}

/// Bytes of a cluster, unless somebody wants others.
const CLUSTER: u64 = 64 << 10;

/// Makes an image where nothing is yet; says how many bytes its disk has.
pub fn create(path: &Path, plan: &Plan) -> Result<u64> {
    let name = path.display();
    let backing = match &plan.backing {
        None => None,
        Some((base, format)) => {
            ensure!(plan.kind == Kind::Qcow2, "create {name}: only a qcow2 image can have a backing file");
            let (below, kind) = Chain::default().open(base, *format)?;
            Some((overlay::relative(path, base)?, kind, below.into_image().size()))
        }
    };
    let size = plan.size.or(backing.as_ref().map(|(.., size)| *size));
    let size = size.with_context(|| format!("create {name}: it wants a size"))?;
    let output = Output::new(path)?;
    let backing = backing.map(|(name, kind, _)| (name, kind));
    format(output.file(), plan.kind, size, backing, plan.cluster).with_context(|| format!("create {name}"))?;
    output.finish()?;
    Ok(size)
}

/// Makes an empty image of an empty file.
pub fn format(
    file: &fs::File,
    kind: Kind,
    size: u64,
    backing: Option<(String, Kind)>,
    cluster: Option<u64>,
) -> Result<()> {
    let fits = size > 0 && size.is_multiple_of(SECTOR) && i64::try_from(size).is_ok();
    ensure!(fits, "{size} bytes are no size for a disk (a multiple of {SECTOR} is)");
    match kind {
        Kind::Raw => {
            ensure!(cluster.is_none(), "a raw image has no clusters");
            file.set_len(size).with_context(|| format!("give it {size} bytes"))
        }
        Kind::Qcow2 => {
            let cluster = cluster.unwrap_or(CLUSTER);
            let fits = cluster.is_power_of_two() && (512..=2 << 20).contains(&cluster);
            ensure!(fits, "cluster size: {cluster} bytes; want a power of two from 512 to 2M");
            // QEMU's limit: 32 MiB of L1 table.
            let most = (cluster / 8).saturating_mul(cluster).saturating_mul(4 << 20);
            ensure!(size <= most, "{size} bytes are too many for clusters of {cluster}");
            let medium = Storage::new(Medium::Own(Box::new(Own::plain(file.try_clone()?))));
            let mut builder = Qcow2::<Storage<Medium>>::create_builder(medium).size(size);
            builder = builder.cluster_size(cluster as usize);
            if let Some((name, kind)) = backing {
                ensure!(name.len() <= 1023, "the name of its backing file is longer than 1023 bytes");
                builder = builder.backing(name, kind.to_string());
            }
            builder.create().context("write an empty qcow2 image")
        }
        kind => bail!("kiln only reads {kind} images; it makes raw and qcow2 ones"),
    }
}
