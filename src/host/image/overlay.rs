//! A new qcow2 image on top of another: all that is written goes there, and the base is only read.

use super::chain::Chain;
use super::format::{Format, Kind};
use super::qcow2::{self, Layer, Medium, Own, Qcow2};
use super::qcow2_meta::header::Backing;
use super::{Image, SECTOR, chain, lock};
use crate::sys::file as sys;
use crate::sys::storage::Storage;
use anyhow::{Context, Result, ensure};
use imago::FormatCreateBuilder;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// What is written goes to a temporary file without a name.
pub fn throwaway(base: &Path, format: Format) -> Result<Box<dyn Image>> {
    let layer = Chain::default().open(base, format)?.0.into_layer()?;
    let file = nameless().with_context(|| format!("make a temporary overlay on {}", base.display()))?;
    over(file, Path::new("the temporary file"), layer, None)
        .with_context(|| format!("make a temporary overlay on {}", base.display()))
}

/// What is written goes to the new image `path`.
pub fn keep(base: &Path, format: Format, path: &Path) -> Result<Box<dyn Image>> {
    let (below, kind) = Chain::default().open(base, format)?;
    let layer = below.into_layer()?;
    let name = relative(path, base)?;
    let meta = base.metadata().with_context(|| format!("look at {}", base.display()))?;
    ensure!(
        meta.is_file(),
        "create {}: {} is a device, which an image cannot name as its base; `throwaway` works, and so does a copy in a file",
        path.display(),
        base.display()
    );
    let new = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path);
    let file = match new {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(e).with_context(|| {
                let path = path.display();
                format!(
                    "create {path}: kiln writes over no image; `--disk {path}` goes on with it, another name keeps both"
                )
            });
        }
        other => other.with_context(|| format!("create {}", path.display()))?,
    };
    let made = lock::lock(&file, path, true).and_then(|()| over(file, path, layer, Some((name, kind))));
    if made.is_err() {
        // Ours, and nothing is in it.
        let _ = fs::remove_file(path);
    }
    made.with_context(|| format!("create {}", path.display()))
}

/// In TMPDIR, or where temporary files may be large.
fn nameless() -> Result<fs::File> {
    let dir = std::env::var_os("TMPDIR").map_or(PathBuf::from("/var/tmp"), PathBuf::from);
    sys::nameless(&dir).with_context(|| format!("create a file in {} (TMPDIR names another directory)", dir.display()))
}

/// Formats `file` as an overlay of `base`.
fn over(file: fs::File, path: &Path, base: Layer, backing: Option<(String, Kind)>) -> Result<Box<dyn Image>> {
    let size = base.size().checked_next_multiple_of(SECTOR).context("the base is too large")?;
    create(file.try_clone().context("create a qcow2 image")?, size, backing)?;
    let (file, mut header) = chain::header(file, path)?;
    let layer = qcow2::layer(file, &header, Some(base), false)?;
    header.backing.get_or_insert(Backing { name: String::new(), format: None });
    Ok(Box::new(Qcow2::new(layer, &header, false)))
}

/// Writes an empty qcow2 image of `size` bytes to an empty file.
pub fn create(file: fs::File, size: u64, backing: Option<(String, Kind)>) -> Result<()> {
    let medium = Storage::new(Medium::Own(Box::new(Own::plain(file))));
    let mut builder = imago::qcow2::Qcow2::<Storage<Medium>>::create_builder(medium).size(size);
    if let Some((name, kind)) = backing {
        ensure!(name.len() <= 1023, "the name of its base is longer than 1023 bytes");
        builder = builder.backing(name, kind.to_string());
    }
    builder.create().context("write an empty qcow2 image")
}

/// What the image at `from` calls the file `to`: relative where both are in the same tree of directories.
pub fn relative(from: &Path, to: &Path) -> Result<String> {
    let parent = from.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = parent.canonicalize().with_context(|| format!("create {}", from.display()))?;
    let to = to.canonicalize().with_context(|| format!("look at {}", to.display()))?;
    let common = dir.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = dir.components().skip(common).map(|_| Component::ParentDir);
    let name: PathBuf = match common {
        // Only the root: nothing says that both would move together.
        0 | 1 => to,
        _ => up.chain(to.components().skip(common)).collect(),
    };
    let name = name.to_str().with_context(|| format!("the name {} is not UTF-8", name.display()))?;
    // A colon in the first part would make it a protocol.
    let protocol = name.split('/').next().is_some_and(|first| first.contains(':'));
    Ok(if protocol { format!("./{name}") } else { name.to_string() })
}
