//! Disk images: bytes that a guest reads and writes by offset, whatever holds them: raw files and block devices, and
//! qcow2 images with all that they stand on.

mod chain;
mod direct;
mod file;
mod format;
mod lock;
pub mod offline;
mod overlay;
mod qcow2;
mod qcow2_meta;
mod readonly;
mod source;

use crate::mem::Slice;
use anyhow::{Context, Result, bail, ensure};
use chain::Chain;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use format::{Format, Kind};

/// The unit of a disk's size; every image is a whole number of them.
pub const SECTOR: u64 = 512;

/// An open disk image. Takes `&self`: several threads may use it at once.
/// Ranges that reach beyond [`Image::size`] are an error (`InvalidInput`) and change nothing.
pub trait Image: Send + Sync {
    /// Bytes, a multiple of [`SECTOR`].
    fn size(&self) -> u64;

    /// Bytes that the host writes without having to read first; a power of two, 512 at least.
    fn physical_block(&self) -> u32;

    /// Fills `to` in order.
    fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()>;

    fn write_at(&self, offset: u64, from: &[Slice]) -> io::Result<()>;

    /// Fills memory of kiln's own, for who looks into an image before a guest runs.
    fn read_bytes(&self, offset: u64, to: &mut [u8]) -> io::Result<()>;

    /// The first bytes at or after `from` that may be something else than zeroes; not more than there are in one piece.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        Ok((from < self.size()).then(|| from..self.size()))
    }

    /// The file whose bytes are the disk's, offset by offset, when the image is one: an engine may go to it directly.
    fn plain(&self) -> Option<&fs::File> {
        None
    }

    /// Writes to this many of the first bytes must not go to [`Image::plain`] past [`Image::write_at`], which looks at them.
    fn guarded(&self) -> u64 {
        0
    }

    /// What offsets, lengths and addresses must be multiples of for an engine that goes to [`Image::plain`].
    fn alignment(&self) -> usize {
        1
    }

    /// What was written before survives a crash of the host.
    fn flush(&self) -> io::Result<()>;

    /// Nobody needs these bytes any more. A hint: they may read as before, as zero or (block devices) as anything.
    fn discard(&self, offset: u64, len: u64) -> io::Result<()>;

    /// These bytes read as zero. `may_unmap`: the host may take their storage back.
    fn write_zeroes(&self, offset: u64, len: u64, may_unmap: bool) -> io::Result<()>;
}

/// How an image is to be opened.
#[derive(Debug, Clone)]
pub struct How {
    pub format: Format,
    pub readonly: bool,
    /// Past the host's page cache (O_DIRECT).
    pub direct: bool,
    pub writes: Writes,
}

/// Where what the guest writes goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writes {
    /// Into the image.
    Image,
    /// Into a temporary file without a name; nothing is left of it in the end.
    Throwaway,
    /// Into a new qcow2 image on top of this one.
    Overlay(PathBuf),
}

/// Opens and locks an image. The error says what is wrong with which path, and what to do.
pub fn open(path: &Path, how: &How) -> Result<Box<dyn Image>> {
    let image = match &how.writes {
        Writes::Image => open_itself(path, how),
        Writes::Throwaway => overlay::throwaway(path, how.format),
        Writes::Overlay(new) => overlay::keep(path, how.format, new),
    }?;
    if how.direct { Ok(Box::new(direct::Direct::new(image, path)?)) } else { Ok(image) }
}

fn open_itself(path: &Path, how: &How) -> Result<Box<dyn Image>> {
    if how.readonly {
        return Ok(Chain::default().open(path, how.format)?.0.into_image());
    }
    let (file, meta) = file::open_writable(path)?;
    file::length(&file, path, &meta)?;
    let kind = match how.format {
        Format::Auto => chain::probe(&file, path)?,
        Format::Known(kind) => kind,
    };
    match kind {
        Kind::Raw => {
            let file = file::File::new(file, &meta, path, false)?;
            // `direct` writes past who would look.
            Ok(Box::new(if how.format == Format::Auto && !how.direct { file.guard() } else { file }))
        }
        Kind::Qcow2 => {
            lock::lock(&file, path, true)?;
            let mut chain = Chain::default();
            chain.add(path, &meta)?;
            writable(file, path, chain)
        }
        kind => bail!("open {}: kiln only reads {kind} images; {ADVICE}", path.display()),
    }
}

/// What helps with an image that is not written.
const ADVICE: &str =
    "add `readonly`, `throwaway` or `keep-as=NEW.qcow2`, or make a qcow2 image of it with `kiln image convert`";

fn writable(file: fs::File, path: &Path, mut chain: Chain) -> Result<Box<dyn Image>> {
    let name = path.display();
    let (file, header) = chain::header(file, path)?;
    let has = |bit| header.incompatible & bit != 0;
    let mend = format!("`kiln image check --repair {name}` mends it, `readonly` opens it as it is");
    ensure!(!has(qcow2_meta::header::CORRUPT), "open {name}: it is marked corrupt; {mend}");
    if has(qcow2_meta::header::DIRTY) {
        // Whoever had it open last was killed: that alone harms nothing. A power cut may.
        let again = file.try_clone().with_context(|| format!("open {name}"))?;
        let report = qcow2_meta::check::check(&qcow2_meta::tables::Tables::open(again, path)?)?;
        ensure!(
            report.sound(),
            "open {name}: it was not closed properly, and its tables contradict each other; {mend}"
        );
        log::info!("{name} was not closed properly; its tables are good");
    }
    ensure!(
        !chain::read_only(&header),
        "open {name}: kiln only reads qcow2 images like this one (zstd or extended L2); {ADVICE}"
    );
    let backing = match &header.backing {
        Some(backing) => Some(chain.open_backing(path, backing)?.into_layer()?),
        None => None,
    };
    let layer = qcow2::layer(file, &header, backing, false).with_context(|| format!("open {name}"))?;
    Ok(Box::new(qcow2::Qcow2::new(layer, &header, false)))
}

#[cfg(test)]
mod tests;
