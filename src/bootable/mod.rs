//! What is on a disk and how it would boot: partitions, file systems, the configuration of boot loaders, and the kernel
//! and initial RAM disks they name. Only reads, and trusts nothing: an image may come from anywhere.

mod disk;
mod fields;
mod files;
mod loaders;
#[cfg(test)]
mod sample;
mod table;
mod volume;

pub use disk::Limited;
pub use files::ISO;
pub use loaders::{Entry, Menu};
pub use volume::{Place, Volumes};

/// Bytes that [`is_disk`] wants to see.
pub const HEAD: usize = files::HEAD as usize;

use crate::config::{Archive, Part};
use crate::sys::memfd;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes of a kernel file.
const KERNEL_MAX: u64 = 1 << 30;

/// What a disk has to start.
pub struct Bootable<'a> {
    pub volumes: Volumes<'a>,
    pub menu: Menu,
}

/// Whether a file that begins so is a disk image: one of the formats that are not raw, a partition table, or a file
/// system.
pub fn is_disk(head: &[u8]) -> bool {
    const FORMATS: [(usize, &[u8]); 9] = [
        (0, b"QFI\xfb"),
        (0, b"QED\0"),
        (0, b"KDMV"),
        (0, b"COWD"),
        (0, b"# Disk DescriptorFile"),
        (0, b"vhdxfile"),
        (0, b"conectix"),
        (0x40, b"\x7f\x10\xda\xbe"),
        (512, b"EFI PART"),
    ];
    let has = |(at, magic): &(usize, &[u8])| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    FORMATS.iter().any(has) || table::has_mbr(head.get(..512).unwrap_or_default()) || files::is(head)
}

/// Looks into a disk. An error when nothing on it can be read at all.
pub fn look<'a>(disk: &'a Limited<'a>) -> Result<Bootable<'a>> {
    let volumes = Volumes::open(disk)?;
    let menu = loaders::look(&volumes)?;
    Ok(Bootable { volumes, menu })
}

impl Bootable<'_> {
    /// The part of the disk that a file is on: `partition 1`.
    pub fn volume(&self, place: &Place) -> String {
        self.volumes.get(place.volume).map(|v| v.name()).unwrap_or_default()
    }

    /// Where a file is, for people: `partition 1: /boot/vmlinuz`.
    pub fn name(&self, place: &Place) -> String {
        format!("{}: {}", self.volume(place), place.path)
    }

    /// What kind of file system a file is on.
    pub fn kind(&self, place: &Place) -> &'static str {
        self.volumes.get(place.volume).and_then(|v| v.files()).map_or("", |fs| fs.kind())
    }

    /// What the disk has, in one line, for who finds nothing to boot.
    pub fn summary(&self) -> String {
        let scheme = match self.volumes.scheme {
            Some(table::Scheme::Gpt) => "GPT, ",
            Some(table::Scheme::Mbr) => "MBR partition table, ",
            None => "",
        };
        let volumes = &self.volumes.list;
        let list: Vec<String> = volumes.iter().map(|v| format!("{}: {}", v.name(), v.holds())).collect();
        let list = if list.is_empty() { "no partitions".to_string() } else { list.join("; ") };
        let remarks: String = self.volumes.remarks.iter().chain(&self.menu.remarks).map(|r| format!("; {r}")).collect();
        format!("{scheme}{list}{remarks}")
    }

    /// A kernel's file, in memory.
    pub fn kernel(&self, place: &Place) -> Result<File> {
        let (part, content) = self.open(place, KERNEL_MAX)?;
        let file = memfd(c"kernel").context("make a file in memory")?;
        part.allow(content.len());
        let bytes = content.bytes(&part).with_context(|| self.name(place))?;
        file.write_all_at(&bytes, 0).context("fill a file in memory")?;
        Ok(file)
    }

    /// An initial RAM disk of up to `most` bytes, in memory.
    pub fn initrd(&self, place: &Place, most: u64) -> Result<Archive> {
        let (part, content) = self.open(place, most)?;
        part.allow(content.len());
        let bytes = content.bytes(&part).with_context(|| self.name(place))?;
        let mut archive = Archive::default();
        archive.push(Part::Bytes(Arc::new(bytes)));
        Ok(archive)
    }

    fn open(&self, place: &Place, most: u64) -> Result<(disk::Part<'_>, files::Content)> {
        let found = self.volumes.content(place, most).with_context(|| self.name(place))?;
        let Some((part, content)) = found else { bail!("{}: there is no such file", self.name(place)) };
        ensure!(content.len() > 0, "{}: is empty", self.name(place));
        Ok((part, content))
    }
}
