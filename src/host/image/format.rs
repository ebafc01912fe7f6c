//! What kind of image a file holds, by its first bytes.

use anyhow::{Result, bail};
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// The formats there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The bytes as they are.
    Raw,
    Qcow2,
    Vmdk,
    Vdi,
    /// VHD, as Virtual PC and Hyper-V have it; QEMU's name for it.
    Vpc,
}

const NAMES: &[(&str, Kind)] =
    &[("raw", Kind::Raw), ("qcow2", Kind::Qcow2), ("vmdk", Kind::Vmdk), ("vdi", Kind::Vdi), ("vpc", Kind::Vpc)];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(_, kind)| kind == self).map_or("raw", |(name, _)| name))
    }
}

/// The `format=` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Look, once; what is not known to be another format is raw.
    Auto,
    Known(Kind),
}

impl Format {
    /// What a qcow2 image says of its backing file.
    pub fn of_backing(name: &str) -> Result<Format> {
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, kind)) => Ok(Format::Known(*kind)),
            // QEMU's names for the bytes of a file or a device as they are.
            None if matches!(name, "file" | "host_device") => Ok(Format::Known(Kind::Raw)),
            None => bail!("kiln does not know it"),
        }
    }
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Format, String> {
        match NAMES.iter().find(|(name, _)| *name == text) {
            Some((_, kind)) => Ok(Format::Known(*kind)),
            None if text == "auto" => Ok(Format::Auto),
            None => Err("want auto, raw, qcow2, vmdk, vdi or vpc".to_string()),
        }
    }
}

/// How many of the first bytes [`probe`] wants to see.
pub const PROBE: usize = 512;

/// Says what an image is that starts with `head`: an error when it is surely nothing that can be opened.
/// (LUKS is not listed: a guest may well have its whole disk encrypted.)
pub fn probe(head: &[u8], file: &fs::File, path: &Path) -> Result<Kind> {
    let name = path.display();
    if let Some(kind) = magic(head, file) {
        return Ok(kind);
    }
    if let Some(other) = foreign(head) {
        bail!(
            "open {name}: it looks like {other}, which kiln cannot open; `qemu-img convert -O qcow2` makes an image of \
             it that it can, `format=raw` takes the bytes as they are"
        );
    }
    if let Some(tool) = compressed_with(head) {
        bail!("open {name}: it is compressed with {tool}; unpack it first (`format=raw` takes the bytes as they are)");
    }
    Ok(Kind::Raw)
}

/// Whether a file that starts so would not be taken for raw.
pub fn is_another(head: &[u8]) -> bool {
    mark(head).is_some() || foreign(head).is_some() || compressed_with(head).is_some()
}

/// Whether the file is surely a disk: of a format, or raw with a partition table or a file system on it, or empty.
pub fn is_disk(file: &fs::File) -> bool {
    use std::os::unix::fs::FileExt;
    const MARKS: &[(usize, &[u8])] = &[
        (0x1fe, b"\x55\xaa"),
        (0x200, b"EFI PART"),
        (0x200, b"LABELONE"),
        (0x438, b"\x53\xef"),
        (0, b"XFSB"),
        (0, b"hsqs"),
        (0, b"LUKS\xba\xbe"),
        (0x8001, b"CD001"),
        (0x1_0040, b"_BHRfS_M"),
    ];
    let mut head = vec![0; 0x1_0048];
    let n = file.read_at(&mut head, 0).unwrap_or(0);
    head.truncate(n);
    let marked = MARKS.iter().any(|(at, mark)| head.get(*at..).is_some_and(|rest| rest.starts_with(mark)));
    marked || magic(&head, file).is_some() || n >= SECTORS && head.iter().all(|byte| *byte == 0)
}

/// A file that begins with so many zeroes is no text, key or document.
const SECTORS: usize = 4096;

/// The format that the file has the mark of.
pub fn magic(head: &[u8], file: &fs::File) -> Option<Kind> {
    mark(head).or_else(|| fixed_vhd(file).then_some(Kind::Vpc))
}

fn mark(head: &[u8]) -> Option<Kind> {
    const MAGICS: &[(usize, &[u8], Kind)] = &[
        (0, b"QFI\xfb", Kind::Qcow2),
        (0, b"KDMV", Kind::Vmdk),
        (0, b"# Disk DescriptorFile", Kind::Vmdk),
        (0, b"conectix", Kind::Vpc),
        (0x40, b"\x7f\x10\xda\xbe", Kind::Vdi),
    ];
    let is = |(at, magic, _): &&(usize, &[u8], Kind)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    MAGICS.iter().find(is).map(|(_, _, kind)| *kind)
}

/// A VHD of fixed size has its mark in its last 512 bytes only.
fn fixed_vhd(file: &fs::File) -> bool {
    use std::os::unix::fs::FileExt;
    let mut footer = [0; 8];
    let at = file.metadata().ok().and_then(|meta| meta.len().checked_sub(512));
    at.is_some_and(|at| file.read_exact_at(&mut footer, at).is_ok()) && &footer == b"conectix"
}

/// The name of a format that kiln has nothing for.
fn foreign(head: &[u8]) -> Option<&'static str> {
    const MAGICS: &[(&[u8], &str)] = &[
        (b"QED\0", "qed"),
        (b"COWD", "a vmdk of old ESX"),
        (b"vhdxfile", "vhdx"),
        (b"WithoutFreeSpace", "parallels"),
        (b"WithouFreSpacExt", "parallels"),
    ];
    MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}

/// The tool that unpacks a file starting with `head`, when it is surely compressed.
fn compressed_with(head: &[u8]) -> Option<&'static str> {
    const MAGICS: &[(&[u8], &str)] =
        &[(b"\x1f\x8b\x08", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2")];
    MAGICS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}
