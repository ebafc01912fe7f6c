//! What an image of a chain is read from and written to: the file of a qcow2 image, or another image as it is.

use super::staged::{Staged, corrupt};
use crate::host::image::Image;
use crate::host::image::qcow2_meta::header::Header;
use crate::mem::{Slice, vectored};
use crate::sys::Lock;
use crate::sys::file as sys;
use crate::sys::storage::Bytes;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub enum Medium {
    Own(Box<Own>),
    /// The end of a chain: raw, or of a format that is only read.
    Image(Box<dyn Image>),
}

/// A qcow2 image's file.
pub struct Own {
    pub file: fs::File,
    /// What imago is to see in place of what the header says.
    shown: Vec<(u64, [u8; 8])>,
    /// `None`: nothing is written, or there is no image yet.
    pub staged: Option<Lock<Staged>>,
    /// Bytes that the file had at least, when it was last looked at.
    len: AtomicU64,
    cluster: u64,
}

impl Own {
    pub fn new(file: fs::File, header: &Header, readonly: bool) -> io::Result<Own> {
        // imago is shown no feature bits (what they mean was seen to already), and a disk to write that has whole
        // clusters: it need not care for the end of the disk, which we do.
        let size = if readonly { header.size } else { header.size.next_multiple_of(header.cluster()) };
        let mut shown = vec![(24, size.to_be_bytes())];
        if header.version == 3 {
            shown.extend([(72, [0; 8]), (88, [0; 8])]);
        }
        let staged = if readonly { None } else { Some(Lock::new(Staged::new(&file, header)?)) };
        Ok(Own { file, shown, staged, len: 0.into(), cluster: header.cluster() })
    }

    /// A file that holds no image yet.
    pub fn plain(file: fs::File) -> Own {
        Own { file, shown: Vec::new(), staged: None, len: 0.into(), cluster: 1 }
    }

    /// An error unless these bytes may be written as data, in place.
    pub fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = offset.checked_add(len).ok_or(ErrorKind::InvalidInput)?;
        if end > self.len.load(Relaxed) {
            let meta = self.file.metadata()?;
            let now = if meta.is_file() { meta.len().next_multiple_of(self.cluster) } else { u64::MAX };
            self.len.store(now, Relaxed);
            if end > now {
                return Err(corrupt("data beyond the end of the file"));
            }
        }
        self.staged.as_ref().map_or(Ok(()), |staged| staged.lock().check(offset, len))
    }

    fn read(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        read_or_zero(&self.file, offset, to)?;
        if let Some(staged) = &self.staged {
            staged.lock().over(offset, to);
        }
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
pub fn overlay(offset: u64, to: &mut [u8], at: u64, bytes: &[u8]) {
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
pub fn read_or_zero(file: &fs::File, offset: u64, to: &mut [u8]) -> io::Result<()> {
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
            Medium::Own(own) => {
                own.check(offset, from.iter().map(|s| s.len() as u64).sum())?;
                vectored::write_at(own.file.as_fd(), offset, from)
            }
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
        let own = self.own()?;
        match &own.staged {
            Some(staged) => staged.lock().write(&own.file, offset, from),
            None => own.file.write_all_at(from, offset),
        }
    }
}
