//! What is looked into: bytes by offset, of which only so many are read.

use crate::host::image::Image;
use anyhow::{Context, Result, ensure};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;

/// A disk, read-only.
pub trait Disk {
    /// Bytes.
    fn size(&self) -> u64;
    /// Fills `to`, all of which lies inside.
    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()>;
}

impl Disk for Box<dyn Image> {
    fn size(&self) -> u64 {
        self.as_ref().size()
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        self.as_ref().read_bytes(at, to)
    }
}

impl Disk for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..at.checked_add(to.len())?));
        to.copy_from_slice(from.ok_or(io::ErrorKind::InvalidInput)?);
        Ok(())
    }
}

/// What one look into an image may read, with [`READ_COST`] more for each read: what is on it must not decide how long
/// that takes. A Debian image takes about 1 MiB.
const BUDGET: u64 = 256 << 20;
const READ_COST: u64 = 16 << 10;

/// Reads that are kept, and the longest of them.
const RECENT: usize = 64;
const RECENT_BYTES: usize = 16 << 10;

/// A disk that is read only so much.
pub struct Limited<'a> {
    disk: &'a dyn Disk,
    left: Cell<u64>,
    /// What was read last, the newest at the end: the blocks that describe files are wanted again and again.
    recent: RefCell<VecDeque<(u64, Vec<u8>)>>,
}

impl<'a> Limited<'a> {
    pub fn new(disk: &'a dyn Disk) -> Limited<'a> {
        Limited { disk, left: BUDGET.into(), recent: RefCell::default() }
    }

    /// That much may be read beside the budget: somebody found it reasonable.
    pub fn allow(&self, bytes: u64) {
        self.left.set(self.left.get().saturating_add(bytes).saturating_add(BUDGET));
    }

    fn read(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        if to.len() > RECENT_BYTES {
            return self.disk.read_at(at, to);
        }
        let mut recent = self.recent.borrow_mut();
        if let Some((_, bytes)) = recent.iter().find(|(a, bytes)| *a == at && bytes.len() == to.len()) {
            to.copy_from_slice(bytes);
            return Ok(());
        }
        self.disk.read_at(at, to)?;
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back((at, to.to_vec()));
        Ok(())
    }

    pub fn whole(&'a self) -> Part<'a> {
        Part { disk: self, start: 0, len: self.disk.size() }
    }
}

/// Some bytes of a disk that follow each other: a partition, or all.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    disk: &'a Limited<'a>,
    start: u64,
    pub len: u64,
}

impl<'a> Part<'a> {
    /// None when it is not inside.
    pub fn part(&self, start: u64, len: u64) -> Option<Part<'a>> {
        let end = start.checked_add(len)?;
        (end <= self.len).then_some(Part { disk: self.disk, start: self.start.checked_add(start)?, len })
    }

    pub fn fill(&self, at: u64, to: &mut [u8]) -> Result<()> {
        let len = to.len() as u64;
        let end = at.checked_add(len).filter(|end| *end <= self.len);
        ensure!(end.is_some(), "read {len} bytes at {at}: beyond the end ({} bytes)", self.len);
        let left = self.disk.left.get().checked_sub(len.saturating_add(READ_COST));
        self.disk.left.set(left.context("gave up after reading 256 MiB; what describes its files is damaged")?);
        let at = self.start.saturating_add(at);
        self.disk.read(at, to).with_context(|| format!("read {len} bytes at byte {at} of the disk"))
    }

    pub fn bytes(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.fill(at, &mut bytes)?;
        Ok(bytes)
    }

    pub fn allow(&self, bytes: u64) {
        self.disk.allow(bytes);
    }
}
