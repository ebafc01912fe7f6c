//! What an image of a chain is read from and written to: the file of a qcow2 image, or another image as it is.

use crate::host::image::Image;
use crate::host::image::qcow2_meta::header::Header;
use crate::mem::{Slice, vectored};
use crate::sys::file as sys;
use crate::sys::storage::Bytes;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

pub enum Medium {
    Own(Own),
    /// The end of a chain: raw, or of a format that is only read.
    Image(Box<dyn Image>),
}

/// A qcow2 image's file.
pub struct Own {
    pub file: fs::File,
    /// What imago is to see in place of what the header says.
    shown: Vec<(u64, [u8; 8])>,
}

impl Own {
    pub fn new(file: fs::File, header: &Header, readonly: bool) -> Own {
        // imago is shown no feature bits (what they mean was seen to already), and a disk to write that has whole
        // clusters: it need not care for the end of the disk, which we do.
        let size = if readonly { header.size } else { header.size.next_multiple_of(header.cluster()) };
        let mut shown = vec![(24, size.to_be_bytes())];
        if header.version == 3 {
            shown.extend([(72, [0; 8]), (88, [0; 8])]);
        }
        Own { file, shown }
    }

    /// A file that holds no image yet.
    pub fn plain(file: fs::File) -> Own {
        Own { file, shown: Vec::new() }
    }

    fn read(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        read_or_zero(&self.file, offset, to)?;
        for (at, bytes) in &self.shown {
            overlay(offset, to, *at, bytes);
        }
        Ok(())
    }

    /// Makes bytes of a cluster that is not in use yet zero.
    pub fn clear(&self, offset: u64, len: u64) -> io::Result<()> {
        let meta = self.file.metadata()?;
        // Every cluster that a table names is to be inside the file.
        if meta.is_file() && offset >= meta.len() {
            return self.file.set_len(offset + len);
        }
        // The file's size stays when zeroes are made by this.
        if offset + len <= meta.len() && sys::zero_range(&self.file, offset, len).is_ok() {
            return Ok(());
        }
        self.file.write_all_at(&vec![0; len as usize], offset)
    }
}

/// Copies what `bytes`, which belong at `at`, have in common with `to`, which was read from `offset`.
fn overlay(offset: u64, to: &mut [u8], at: u64, bytes: &[u8]) {
    let end = offset.saturating_add(to.len() as u64);
    if at.saturating_add(bytes.len() as u64) <= offset || at >= end {
        return;
    }
    let skip = offset.saturating_sub(at) as usize;
    let into = at.saturating_sub(offset) as usize;
    let (Some(from), Some(to)) = (bytes.get(skip..), to.get_mut(into..)) else { return };
    let n = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..n), to.get_mut(..n)) {
        to.copy_from_slice(from);
    }
}

/// Reads; what is beyond the end of the file is zero.
fn read_or_zero(file: &fs::File, offset: u64, to: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => {
                rest.fill(0);
                break;
            }
            Ok(n) => done += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

impl Medium {
    /// Reads into guest memory.
    pub fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()> {
        match self {
            Medium::Own(own) => {
                let done = vectored::read_at(own.file.as_fd(), offset, to)?;
                vectored::zero_from(to, done);
                Ok(())
            }
            Medium::Image(image) => {
                let wanted: u64 = to.iter().map(|s| s.len() as u64).sum();
                image.read_at(offset, to).map_err(|e| if wanted == 0 { e } else { named("backing file", e) })
            }
        }
    }

    /// Writes guest memory.
    pub fn write_at(&self, offset: u64, from: &[Slice]) -> io::Result<()> {
        match self {
            Medium::Own(own) => vectored::write_at(own.file.as_fd(), offset, from),
            Medium::Image(_) => Err(ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    pub fn own(&self) -> io::Result<&Own> {
        match self {
            Medium::Own(own) => Ok(own),
            Medium::Image(_) => Err(ErrorKind::ReadOnlyFilesystem.into()),
        }
    }
}

fn named(what: &str, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{what}: {e}"))
}

impl Bytes for Medium {
    fn size(&self) -> io::Result<u64> {
        match self {
            Medium::Own(own) => Ok(own.file.metadata()?.len()),
            Medium::Image(image) => Ok(image.size()),
        }
    }

    fn read(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        match self {
            Medium::Own(own) => own.read(offset, to),
            Medium::Image(image) => {
                let inside = image.size().saturating_sub(offset).min(to.len() as u64) as usize;
                let (inside, outside) = to.split_at_mut(inside);
                outside.fill(0);
                image.read_bytes(offset, inside)
            }
        }
    }

    fn write(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.own()?.file.write_all_at(from, offset)
    }
}
