//! qcow2 images. imago keeps the tables (which cluster is where, which are free); the data goes between the file and
//! guest memory by our own calls, without a copy.
//!
//! Who reads, or writes where something is already, shares the tables; who changes them has them alone.

mod medium;
mod staged;
mod write;

pub use medium::{Medium, Own};

use super::qcow2_meta::header::Header;
use super::{Image, SECTOR};
use crate::mem::{Slice, vectored};
use crate::sys::storage::Storage;
use anyhow::{Context, Result};
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, Mapping};
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An image of a chain: imago's view of it.
pub type Layer = FormatAccess<Storage<Medium>>;

/// The most that is decompressed, or kept aside, at once.
const BOUNCE: u64 = 2 << 20;

/// Where autoclear_features are in the header.
const AUTOCLEAR: u64 = 88;

pub struct Qcow2 {
    layer: RwLock<Layer>,
    size: u64,
    cluster: u64,
    readonly: bool,
    version: u32,
    backed: bool,
    /// Clusters were given up that the file still has a use for.
    freed: AtomicBool,
}

impl Drop for Qcow2 {
    fn drop(&mut self) {
        if !self.readonly
            && let Err(e) = self.close()
        {
            log::error!("write the tables of a qcow2 image: {e}; what was not flushed is lost");
        }
    }
}

/// Opens the tables of a qcow2 image whose header was checked, on top of `backing`.
pub fn layer(file: fs::File, header: &Header, backing: Option<Layer>, readonly: bool) -> Result<Layer> {
    if !readonly && header.autoclear != 0 {
        // What these bits vouch for (bitmaps) is not kept up here.
        file.write_all_at(&[0; 8], AUTOCLEAR).context("clear autoclear_features")?;
    }
    let medium = Storage::new(Medium::Own(Box::new(Own::new(file, header, readonly).context("read its tables")?)));
    let builder = imago::qcow2::Qcow2::<Storage<Medium>>::builder(medium).backing(backing).data_file(None);
    let inner = builder.write(!readonly).open(DenyImplicitOpenGate::default()).context("read its tables")?;
    Ok(FormatAccess::new(inner))
}

/// The end of a chain.
pub fn bottom(image: Box<dyn Image>) -> Result<Layer> {
    let raw = imago::raw::Raw::open_image(Storage::new(Medium::Image(image)), false).context("ask it for its size")?;
    Ok(FormatAccess::new(raw))
}

impl Qcow2 {
    pub fn new(layer: Layer, header: &Header, readonly: bool) -> Qcow2 {
        Qcow2 {
            layer: RwLock::new(layer),
            size: header.size.next_multiple_of(SECTOR),
            cluster: header.cluster(),
            readonly,
            version: header.version,
            backed: header.backing.is_some(),
            freed: false.into(),
        }
    }

    fn shared(&self) -> RwLockReadGuard<'_, Layer> {
        self.layer.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn alone(&self) -> RwLockWriteGuard<'_, Layer> {
        self.layer.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn check_write(&self, offset: u64, len: u64) -> io::Result<()> {
        if self.readonly {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        self.check(offset, len)
    }
}

impl Image for Qcow2 {
    fn size(&self) -> u64 {
        self.size
    }

    fn physical_block(&self) -> u32 {
        // Less than a cluster of a new image costs a cluster all the same, but reading around it is our work.
        4096
    }

    fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()> {
        let len = total(to);
        self.check(offset, len)?;
        let layer = self.shared();
        let mut done = 0;
        while done < len {
            let (mapping, n) = layer.get_mapping(offset + done, len - done)?;
            let n = if n == 0 { len - done } else { n.min(len - done) };
            let (part, n) = match mapping {
                Mapping::Raw { storage, offset, .. } => {
                    let part = part(to, done, n);
                    storage.bytes().read_at(offset, &part)?;
                    (part, n)
                }
                Mapping::Special { .. } => {
                    let n = n.min(BOUNCE);
                    let part = part(to, done, n);
                    let mut bytes = vec![0; n as usize];
                    layer.read(bytes.as_mut_slice(), offset + done)?;
                    vectored::copy_from(part.iter(), 0, &bytes);
                    (part, n)
                }
                _ => {
                    let part = part(to, done, n);
                    vectored::zero_from(&part, 0);
                    (part, n)
                }
            };
            drop(part);
            done += n;
        }
        Ok(())
    }

    fn read_bytes(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.check(offset, to.len() as u64)?;
        if to.is_empty() {
            return Ok(());
        }
        self.shared().read(to, offset)
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let layer = self.shared();
        let mut at = from;
        while at < self.size {
            let (mapping, n) = layer.get_mapping(at, self.size - at)?;
            match mapping {
                _ if n == 0 => break,
                Mapping::Zero { .. } | Mapping::Eof { .. } => at += n,
                _ => return Ok(Some(at..at + n)),
            }
        }
        Ok(None)
    }

    fn write_at(&self, offset: u64, from: &[Slice]) -> io::Result<()> {
        self.check_write(offset, total(from))?;
        self.store(offset, from)
    }

    fn flush(&self) -> io::Result<()> {
        if self.readonly {
            return Ok(());
        }
        self.write_tables()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check_write(offset, len)?;
        self.give_up(offset, len)
    }

    fn write_zeroes(&self, offset: u64, len: u64, may_unmap: bool) -> io::Result<()> {
        self.check_write(offset, len)?;
        self.zero(offset, len, may_unmap)
    }
}

fn total(slices: &[Slice]) -> u64 {
    slices.iter().map(|s| s.len() as u64).sum()
}

/// Bytes `skip..skip + len` of `slices`.
fn part(slices: &[Slice], mut skip: u64, mut len: u64) -> Vec<Slice> {
    let mut out = Vec::with_capacity(slices.len());
    for slice in slices {
        if len == 0 {
            break;
        }
        let cut = skip.min(slice.len() as u64);
        skip -= cut;
        let piece = slice.skip(cut as usize).take(usize::try_from(len).unwrap_or(usize::MAX));
        len -= piece.len() as u64;
        if !piece.is_empty() {
            out.push(piece);
        }
    }
    out
}
