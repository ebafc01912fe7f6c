//! A raw image: a file or a block device whose bytes are the disk's.
//!
//! A file that does not end at a sector boundary is rounded up: what is missing reads as zero, and a write to the
//! last sector makes the file longer. (So does QEMU; cutting the bytes off would lose them.)

use super::{Image, SECTOR, format, lock};
use crate::mem::{Slice, vectored};
use crate::sys::Lock;
use crate::sys::file as sys;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub struct File {
    file: fs::File,
    size: u64,
    device: bool,
    physical_block: u32,
    /// The file system said that it cannot do this; it is not asked again.
    pub(super) no_holes: AtomicBool,
    pub(super) no_zero_range: AtomicBool,
    /// That it is raw was found by looking: the guest may not make it look like something else next time.
    guarded: Option<Lock<()>>,
}

impl File {
    #[cfg(test)]
    pub fn open(path: &Path, readonly: bool) -> Result<File> {
        let (file, meta) = if readonly { open_readonly(path)? } else { open_writable(path)? };
        File::new(file, &meta, path, readonly)
    }

    /// Takes a file that was opened by the functions below.
    pub fn new(file: fs::File, meta: &fs::Metadata, path: &Path, readonly: bool) -> Result<File> {
        let device = meta.file_type().is_block_device();
        sys::wait_for_data(&file).with_context(|| format!("set {} up", path.display()))?;
        lock::lock(&file, path, !readonly)?;
        let len = length(&file, path, meta)?;
        let size = len.checked_next_multiple_of(SECTOR).filter(|size| i64::try_from(*size).is_ok());
        let size = size.with_context(|| format!("open {}: {len} bytes are too many", path.display()))?;
        let physical_block = match device {
            true => sys::physical_block(&file).unwrap_or(SECTOR as u32),
            false => u32::try_from(std::os::unix::fs::MetadataExt::blksize(meta)).unwrap_or(4096).min(4096),
        };
        let physical_block =
            if physical_block.is_power_of_two() { physical_block.max(SECTOR as u32) } else { SECTOR as u32 };
        Ok(File {
            file,
            size,
            device,
            physical_block,
            no_holes: false.into(),
            no_zero_range: false.into(),
            guarded: None,
        })
    }

    /// From now on no write gives the first sector the mark of another format.
    pub fn guard(mut self) -> File {
        self.guarded = Some(Lock::new(()));
        self
    }

    /// Writes what falls into the first sector from a copy, which the guest cannot change any more; says how much.
    fn write_head(&self, offset: u64, from: &[Slice], one: &Lock<()>) -> io::Result<usize> {
        let _one = one.lock();
        let mut head = [0; SECTOR as usize];
        self.read_bytes(0, &mut head)?;
        let mut done = offset as usize;
        for part in from {
            done += part.copy_to(head.get_mut(done..).unwrap_or_default());
        }
        if format::is_another(&head) {
            log::error!(
                "the guest was kept from giving a raw image the mark of another format, by which it would be taken for \
                 one the next time; `format=raw` lets it"
            );
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.file.write_all_at(head.get(offset as usize..done).unwrap_or_default(), offset)?;
        Ok(done - offset as usize)
    }

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// The last resort.
    fn store_zeroes(&self, mut offset: u64, mut len: u64) -> io::Result<()> {
        /// As O_DIRECT wants it.
        #[repr(align(4096))]
        struct Zeroes([u8; 0x1_0000]);
        static ZEROES: Zeroes = Zeroes([0; 0x1_0000]);
        while len > 0 {
            let n = len.min(ZEROES.0.len() as u64);
            self.file.write_all_at(ZEROES.0.get(..n as usize).unwrap_or_default(), offset)?;
            (offset, len) = (offset + n, len - n);
        }
        Ok(())
    }
}

/// What follows the first `skip` bytes.
fn rest(parts: &[Slice], mut skip: usize) -> Vec<Slice> {
    let mut cut = |part: &Slice| {
        let n = skip.min(part.len());
        skip -= n;
        part.skip(n)
    };
    parts.iter().map(&mut cut).collect()
}

/// Runs `op`, unless it is known not to work here; `Ok(false)`: it does not.
fn attempt(unsupported: &AtomicBool, op: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
    if unsupported.load(Relaxed) {
        return Ok(false);
    }
    match op() {
        Ok(()) => Ok(true),
        // Block devices refuse ranges smaller than their blocks so; others may work.
        Err(e) if e.kind() == ErrorKind::InvalidInput => Ok(false),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::ENOTTY | libc::ENODEV)) => {
            unsupported.store(true, Relaxed);
            Ok(false)
        }
        Err(e) => Err(e),
    }
}

impl Image for File {
    fn size(&self) -> u64 {
        self.size
    }

    fn physical_block(&self) -> u32 {
        self.physical_block
    }

    fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()> {
        let wanted: usize = to.iter().map(Slice::len).sum();
        self.check(offset, wanted as u64)?;
        let done = vectored::read_at(self.file.as_fd(), offset, to)?;
        // Only the rounded-up part of the last sector may be missing. More: somebody made the file shorter.
        if done < wanted && (self.device || offset + done as u64 + SECTOR <= self.size) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if done < wanted {
            vectored::zero_from(to, done);
        }
        Ok(())
    }

    fn read_bytes(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.check(offset, to.len() as u64)?;
        let mut done = 0;
        while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) if self.device || offset + done as u64 + SECTOR <= self.size => {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
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

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        if from >= self.size {
            return Ok(None);
        }
        match sys::next_data(&self.file, from) {
            Ok(found) => Ok(found.map(|data| data.start..data.end.min(self.size)).filter(|data| !data.is_empty())),
            // Not every file system can say.
            Err(_) => Ok(Some(from..self.size)),
        }
    }

    fn plain(&self) -> Option<&fs::File> {
        Some(&self.file)
    }

    fn guarded(&self) -> u64 {
        if self.guarded.is_some() { SECTOR } else { 0 }
    }

    fn write_at(&self, offset: u64, from: &[Slice]) -> io::Result<()> {
        self.check(offset, from.iter().map(|s| s.len() as u64).sum())?;
        match &self.guarded {
            Some(one) if offset < SECTOR => {
                let done = self.write_head(offset, from, one)?;
                let rest = rest(from, done);
                vectored::write_at(self.file.as_fd(), offset + done as u64, &rest)
            }
            _ => vectored::write_at(self.file.as_fd(), offset, from),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.check(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let discard = || match self.device {
            true => sys::discard_blocks(&self.file, offset, len),
            false => sys::punch_hole(&self.file, offset, len),
        };
        attempt(&self.no_holes, discard).map(drop)
    }

    fn write_zeroes(&self, offset: u64, len: u64, may_unmap: bool) -> io::Result<()> {
        self.check(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        // A device's `no_holes` is about discard, which says nothing about zeroes.
        let done = may_unmap
            && match self.device {
                true => attempt(&AtomicBool::new(false), || sys::punch_hole(&self.file, offset, len))?,
                false => attempt(&self.no_holes, || sys::punch_hole(&self.file, offset, len))?,
            };
        if done || attempt(&self.no_zero_range, || sys::zero_range(&self.file, offset, len))? {
            return Ok(());
        }
        self.store_zeroes(offset, len)
    }
}

/// Opens a file or a block device to be read.
pub fn open_readonly(path: &Path) -> Result<(fs::File, fs::Metadata)> {
    let file = open(path, true)?;
    let meta = usable(&file, path)?;
    Ok((file, meta))
}

/// Opens a file or a block device to be read and written.
pub fn open_writable(path: &Path) -> Result<(fs::File, fs::Metadata)> {
    let file = open(path, false)?;
    let meta = usable(&file, path)?;
    let file = if meta.file_type().is_block_device() { claim(path)? } else { file };
    Ok((file, meta))
}

fn usable(file: &fs::File, path: &Path) -> Result<fs::Metadata> {
    let meta = file.metadata().with_context(|| format!("look at {}", path.display()))?;
    let kind = meta.file_type();
    ensure!(!kind.is_dir(), "open {}: it is a directory, not a disk image", path.display());
    let fits = kind.is_file() || kind.is_block_device();
    ensure!(fits, "open {}: it is neither a file nor a block device", path.display());
    Ok(meta)
}

/// Bytes in it: not none.
pub fn length(file: &fs::File, path: &Path, meta: &fs::Metadata) -> Result<u64> {
    let len = match meta.file_type().is_block_device() {
        true => sys::block_device_size(file).with_context(|| format!("ask {} for its size", path.display()))?,
        false => file.metadata().with_context(|| format!("look at {}", path.display()))?.len(),
    };
    ensure!(len > 0, "open {}: it is empty; `truncate -s 10G {}` gives it a size", path.display(), path.display());
    Ok(len)
}

fn open(path: &Path, readonly: bool) -> Result<fs::File> {
    // O_NONBLOCK: opening a FIFO by mistake must not wait for ever. Files and block devices do not mind.
    let open = |write| fs::OpenOptions::new().read(true).write(write).custom_flags(libc::O_NONBLOCK).open(path);
    let e = match open(!readonly) {
        Ok(file) => return Ok(file),
        Err(e) => e,
    };
    let name = path.display();
    match e.kind() {
        ErrorKind::IsADirectory => bail!("open {name}: it is a directory, not a disk image"),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem if !readonly && open(false).is_ok() => {
            Err(e).with_context(|| format!("open {name} for writing (it can be read: add `readonly`)"))
        }
        ErrorKind::NotFound => {
            Err(e).with_context(|| format!("open {name} (`truncate -s 10G {name}` makes an empty disk)"))
        }
        _ => Err(e).with_context(|| format!("open {name}")),
    }
}

/// Opens a block device so that the host can neither mount it nor have it mounted meanwhile.
fn claim(path: &Path) -> Result<fs::File> {
    let flags = libc::O_EXCL | libc::O_NONBLOCK;
    match fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Err(e) if e.kind() == ErrorKind::ResourceBusy => {
            bail!("open {}: it is mounted or otherwise in use; unmount it, or add `readonly`", path.display())
        }
        other => other.with_context(|| format!("open {}", path.display())),
    }
}
