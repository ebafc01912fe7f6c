//! The files below an image: each is opened here, read-only and locked, and never because a header says so alone.

use super::format::{self, Format, Kind};
use super::qcow2::{self, Layer, Qcow2};
use super::qcow2_meta::header::{self, Backing, Header};
use super::source::Source;
use super::{Image, file, lock, readonly};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Images on top of each other.
const DEPTH: usize = 64;

/// What an image stands on.
pub enum Below {
    /// imago's: it finds long runs through several of them at once.
    Layer(Layer, Header),
    Image(Box<dyn Image>),
}

impl Below {
    pub fn into_layer(self) -> Result<Layer> {
        match self {
            Below::Layer(layer, _) => Ok(layer),
            Below::Image(image) => qcow2::bottom(image),
        }
    }

    pub fn into_image(self) -> Box<dyn Image> {
        match self {
            Below::Layer(layer, header) => Box::new(Qcow2::new(layer, &header, true)),
            Below::Image(image) => image,
        }
    }
}

/// The files of a chain so far, the one on top first.
#[derive(Default)]
pub struct Chain {
    seen: Vec<(u64, u64, PathBuf)>,
}

impl Chain {
    /// Takes the next file in; an error when it is there already, or too many are.
    pub fn add(&mut self, path: &Path, meta: &fs::Metadata) -> Result<()> {
        let id = (meta.dev(), meta.ino());
        if self.seen.iter().any(|(dev, ino, _)| (*dev, *ino) == id) {
            let names: Vec<_> = self.seen.iter().map(|(_, _, path)| path.display().to_string()).collect();
            bail!("open {}: its backing files go in a circle: {} -> {0}", path.display(), names.join(" -> "));
        }
        ensure!(self.seen.len() < DEPTH, "open {}: there are more than {DEPTH} images on top of it", path.display());
        self.seen.push((id.0, id.1, path.to_path_buf()));
        Ok(())
    }

    /// Opens what the image at `overlay` stands on.
    pub fn open_backing(&mut self, overlay: &Path, backing: &Backing) -> Result<Below> {
        let whose = || format!("open {}: its backing file", overlay.display());
        let path = locate(overlay, &backing.name).with_context(whose)?;
        beside(overlay, &path).with_context(whose)?;
        let format = match backing.format.as_deref() {
            None => Format::Auto,
            Some(name) => Format::of_backing(name)
                .with_context(|| format!("open {}: backing format `{name}`", overlay.display()))?,
        };
        self.open(&path, format).map(|(below, _)| below).with_context(whose)
    }

    /// Opens `path` to be read only, with all below it. Says what it turned out to be.
    pub fn open(&mut self, path: &Path, format: Format) -> Result<(Below, Kind)> {
        let (file, meta) = file::open_readonly(path)?;
        file::length(&file, path, &meta)?;
        self.add(path, &meta)?;
        let kind = match format {
            Format::Auto => probe(&file, path)?,
            Format::Known(kind) => kind,
        };
        if kind != Kind::Raw {
            lock::lock(&file, path, false)?;
        }
        let below = match kind {
            Kind::Raw => Below::Image(Box::new(file::File::new(file, &meta, path, true)?)),
            Kind::Qcow2 => self.open_qcow2(file, path)?,
            Kind::Vmdk => Below::Image(readonly::vmdk::open(file, path)?),
            Kind::Vdi => Below::Image(readonly::vdi::open(file, path)?),
            Kind::Vpc => Below::Image(readonly::vhd::open(file, path)?),
        };
        Ok((below, kind))
    }

    fn open_qcow2(&mut self, file: fs::File, path: &Path) -> Result<Below> {
        let (file, header) = header(file, path)?;
        if header.incompatible & header::CORRUPT != 0 {
            log::warn!("{} is marked corrupt: what is read of it may be wrong", path.display());
        }
        let backing = match &header.backing {
            Some(backing) => Some(self.open_backing(path, backing)?),
            None => None,
        };
        if read_only(&header) {
            let image = readonly::qcow2::Qcow2::open(file, path)?;
            return Ok(Below::Image(image.over(backing.map(Below::into_image))?));
        }
        let backing = backing.map(Below::into_layer).transpose()?;
        let layer = qcow2::layer(file, &header, backing, true).with_context(|| format!("open {}", path.display()))?;
        Ok(Below::Layer(layer, header))
    }
}

/// The header of a qcow2 image.
pub fn header(file: fs::File, path: &Path) -> Result<(fs::File, Header)> {
    let source = Source::new(file, path)?;
    let header = Header::read(&source)?;
    let name = path.display();
    ensure!(header.size > 0, "open {name}: qcow2 header: size: the disk has no bytes");
    ensure!(
        header.encryption == 0,
        "open {name}: qcow2 header: crypt_method: {}: kiln opens no encrypted images; `qemu-img convert` makes a plain \
         one of it",
        header.encryption
    );
    let elsewhere = header.incompatible & header::DATA_FILE != 0;
    ensure!(
        !elsewhere,
        "open {name}: qcow2 header: incompatible_features: its data are in another file; `qemu-img convert` puts all \
         into one"
    );
    Ok((source.file, header))
}

/// Whether the image is one that imago cannot open, and our own reader can.
pub fn read_only(header: &Header) -> bool {
    header.incompatible & (header::COMPRESSION | header::EXTENDED_L2) != 0
}

/// What the file holds, by its content.
pub fn probe(file: &fs::File, path: &Path) -> Result<Kind> {
    let mut head = [0; format::PROBE];
    let n = file.read_at(&mut head, 0).with_context(|| format!("read {}", path.display()))?;
    format::probe(head.get(..n).unwrap_or_default(), file, path)
}

/// An image says which file is below it, and its guest reads what is there: no file that its user would not expect. In
/// the image's directory it may be any; elsewhere only what is recognisably a disk.
fn beside(overlay: &Path, path: &Path) -> Result<()> {
    let parent = overlay.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(directory), Ok(real)) = (parent.canonicalize(), path.canonicalize()) else { return Ok(()) };
    if real.starts_with(directory) {
        return Ok(());
    }
    let (file, meta) = file::open_readonly(path)?;
    ensure!(
        meta.is_file() && format::is_disk(&file),
        "{} is in another directory and not recognisably a disk image (a format, partition table or file system that \
         kiln knows); put it beside the image if it is meant",
        path.display()
    );
    Ok(())
}

/// Where the backing file `name` of the image at `overlay` is: a relative name begins in the directory of the overlay.
pub fn locate(overlay: &Path, name: &str) -> Result<PathBuf> {
    let plain = name.strip_prefix("file:").unwrap_or(name);
    // As QEMU sees it: a colon before the first slash ends the name of a protocol (nbd:, json:, ssh:).
    let protocol = plain.split('/').next().and_then(|first| first.split_once(':')).map(|(protocol, _)| protocol);
    if let Some(protocol) = protocol {
        bail!("`{name}`: `{protocol}:` is not a file; kiln opens files only");
    }
    ensure!(!plain.is_empty(), "`{name}` names no file");
    let directory = overlay.parent().unwrap_or(Path::new(""));
    Ok(directory.join(plain))
}
