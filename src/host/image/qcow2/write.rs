//! Writing to a qcow2 image: in place where its cluster is there and its own, else into new clusters.

use super::{BOUNCE, Layer, Medium, Own, Qcow2, part, total};
use crate::mem::Slice;
use crate::sys::file as sys;
use crate::sys::storage::Storage;
use imago::{Mapping, ShallowMapping};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of tables that may wait.
const STAGED: u64 = 8 << 20;

/// What a range of a write is written from.
enum Piece<'a> {
    Guest(Vec<Slice>),
    Bytes(&'a [u8]),
    Zero(u64),
}

impl Qcow2 {
    pub(super) fn store(&self, offset: u64, from: &[Slice]) -> io::Result<()> {
        let len = total(from);
        let mut done = 0;
        while done < len {
            let n = match self.in_place(offset + done, len - done, |storage, at, n| {
                storage.bytes().write_at(at, &part(from, done, n))
            })? {
                (true, n) => n,
                (false, n) => {
                    let layer = self.alone();
                    // Somebody may have been faster.
                    let (there, again) = run(&layer, offset + done, n)?;
                    if there {
                        continue;
                    }
                    let n = n.min(again);
                    self.freed.fetch_or(replaces(&layer, offset + done)?, Relaxed);
                    self.store_new(&layer, offset + done, n, Some(&part(from, done, n)))?;
                    n
                }
            };
            done += n;
        }
        Ok(())
    }

    /// Calls `op` when the bytes at `offset` are in a cluster that may be written; says whether, and of how many bytes
    /// the same is true.
    fn in_place(
        &self,
        offset: u64,
        len: u64,
        op: impl FnOnce(&Storage<Medium>, u64, u64) -> io::Result<()>,
    ) -> io::Result<(bool, u64)> {
        let layer = self.shared();
        match layer.get_shallow_mapping(offset, len)? {
            (ShallowMapping::Raw { storage, offset, writable: true, .. }, n) if n > 0 => {
                op(storage, offset, n)?;
                Ok((true, n))
            }
            _ => Ok((false, run(&layer, offset, len)?.1)),
        }
    }

    /// Writes `from` (or zeroes) into clusters that are new, with what was around it.
    fn store_new(&self, layer: &Layer, at: u64, len: u64, from: Option<&[Slice]>) -> io::Result<()> {
        let (start, end) = (at - at % self.cluster, (at + len).next_multiple_of(self.cluster));
        let head = around(layer, start, at - start)?;
        let tail = around(layer, at + len, end - at - len)?;
        self.commit_if(layer, |waiting| waiting > STAGED)?;
        let (mut pos, mut sure) = (start, !self.freed.load(Relaxed));
        while pos < end {
            let mapping = layer.prepare_data_mapping(pos, end - pos, true)?;
            let (host, n) = (mapping.offset(), mapping.length());
            let own = mapping.storage().bytes().own()?;
            if let Some(staged) = own.staged.as_ref().filter(|_| !mapping.is_nonblocking()) {
                let mut staged = staged.lock();
                // What the file still names must not be overwritten before the file says otherwise.
                if !sure && staged.in_use(&own.file, host, n)? {
                    drop((staged, mapping));
                    self.commit_if(layer, |_| true)?;
                    own.file.sync_data()?;
                    sure = true;
                    continue;
                }
                staged.allot(host, n)?;
            }
            // The three parts, each cut to what this mapping takes.
            let within = |from: u64, to: u64| (from.max(pos), to.min(pos + n));
            let (a, b) = within(start, at);
            if a < b {
                put(own, host + (a - pos), cut(&head, a - start, b - a))?;
            }
            let (a, b) = within(at, at + len);
            if a < b {
                let piece = from.map_or(Piece::Zero(b - a), |from| Piece::Guest(part(from, a - at, b - a)));
                put(own, host + (a - pos), piece)?;
            }
            let (a, b) = within(at + len, end);
            if a < b {
                put(own, host + (a - pos), cut(&tail, a - at - len, b - a))?;
            }
            layer.commit_data_mapping(mapping)?;
            pos += n;
        }
        Ok(())
    }

    pub(super) fn write_tables(&self) -> io::Result<()> {
        let layer = self.alone();
        self.commit_if(&layer, |_| true)?;
        drop(layer);
        let layer = self.shared();
        self.own(&layer)?.file.sync_data()
    }

    pub(super) fn close(&self) -> io::Result<()> {
        self.write_tables()?;
        let layer = self.alone();
        let own = self.own(&layer)?;
        own.staged.as_ref().map_or(Ok(()), |staged| staged.lock().mark(&own.file, false))
    }

    /// Brings the tables to the file, if `enough` says so of the bytes that wait. Wants the tables alone.
    fn commit_if(&self, layer: &Layer, enough: impl Fn(u64) -> bool) -> io::Result<()> {
        let own = self.own(layer)?;
        let Some(staged) = &own.staged else { return Ok(()) };
        if enough(staged.lock().waiting()) {
            layer.flush()?;
            staged.lock().commit(&own.file)?;
            self.freed.store(false, Relaxed);
        }
        Ok(())
    }

    fn own<'a>(&self, layer: &'a Layer) -> io::Result<&'a Own> {
        let storages = layer.inner().collect_storage_dependencies();
        storages.last().ok_or(io::ErrorKind::NotFound)?.bytes().own()
    }

    /// The whole clusters in a range: the last cluster of the disk is whole, however short.
    fn whole(&self, offset: u64, len: u64) -> (u64, u64) {
        let end = offset + len;
        let start = offset.next_multiple_of(self.cluster);
        let end = if end == self.size { end.next_multiple_of(self.cluster) } else { end - end % self.cluster };
        (start, end.max(start))
    }

    pub(super) fn give_up(&self, offset: u64, len: u64) -> io::Result<()> {
        let (start, end) = self.whole(offset, len);
        // Version 2 has no clusters that read as zero: what is behind a backed image would show through.
        if start == end || self.version == 2 && self.backed {
            return Ok(());
        }
        let mut layer = self.alone();
        let holes = self.holes(&layer, start, end)?;
        self.freed.store(true, Relaxed);
        match self.version {
            2 => layer.discard_to_backing(start, end - start)?,
            _ => layer.discard_to_zero(start, end - start)?,
        }
        let own = self.own(&layer)?;
        for (at, len) in holes {
            // It is a favour to the host: a file system without holes goes on without.
            let _ = sys::punch_hole(&own.file, at, len);
        }
        Ok(())
    }

    /// Where the clusters of a range are in the file that nothing else uses.
    fn holes(&self, layer: &Layer, start: u64, end: u64) -> io::Result<Vec<(u64, u64)>> {
        let (mut at, mut holes) = (start, Vec::new());
        while at < end {
            let (mapping, n) = layer.get_shallow_mapping(at, end - at)?;
            if let ShallowMapping::Raw { offset, writable: true, .. } = mapping {
                holes.push((offset, n));
            }
            at += n.max(self.cluster);
        }
        Ok(holes)
    }

    pub(super) fn zero(&self, offset: u64, len: u64, may_unmap: bool) -> io::Result<()> {
        let (start, end) = self.whole(offset, len);
        if self.version == 2 || start == end {
            return self.store_zeroes(offset, len);
        }
        let end_of_range = offset + len;
        self.store_zeroes(offset, start - offset)?;
        if may_unmap {
            self.give_up(start, end.min(self.size) - start)?;
        } else {
            let layer = self.alone();
            self.freed.store(true, Relaxed);
            let mut at = start;
            while at < end {
                let (_, n) = layer.inner().ensure_zero_mapping(at, end - at)?;
                if n == 0 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                at += n;
            }
        }
        match end_of_range.checked_sub(end) {
            Some(rest) => self.store_zeroes(end, rest),
            None => Ok(()),
        }
    }

    fn store_zeroes(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let (at, rest) = (offset + done, (len - done).min(BOUNCE));
            let write = |storage: &Storage<Medium>, host, n| put(storage.bytes().own()?, host, Piece::Zero(n));
            done += match self.in_place(at, rest, write)? {
                (true, n) => n,
                (false, n) => {
                    let layer = self.alone();
                    let (there, again) = run(&layer, at, n)?;
                    if there {
                        continue;
                    }
                    let n = n.min(again);
                    if !reads_zero(&layer, at, n)? {
                        self.freed.fetch_or(replaces(&layer, at)?, Relaxed);
                        self.store_new(&layer, at, n, None)?;
                    }
                    n
                }
            };
        }
        Ok(())
    }
}

/// Whether the bytes at `at` may be written in place, and of how many the same is true.
fn run(layer: &Layer, at: u64, len: u64) -> io::Result<(bool, u64)> {
    let (mapping, n) = layer.get_shallow_mapping(at, len)?;
    if n == 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((matches!(mapping, ShallowMapping::Raw { writable: true, .. }), n.min(len)))
}

/// Whether a write there gives up a cluster that it cannot write to: a compressed or a shared one.
fn replaces(layer: &Layer, at: u64) -> io::Result<bool> {
    let (mapping, _) = layer.get_shallow_mapping(at, 1)?;
    Ok(matches!(mapping, ShallowMapping::Raw { .. } | ShallowMapping::Special { .. }))
}

fn reads_zero(layer: &Layer, at: u64, len: u64) -> io::Result<bool> {
    let mut done = 0;
    while done < len {
        match layer.get_mapping(at + done, len - done)? {
            (Mapping::Zero { .. } | Mapping::Eof { .. }, n) => done += if n == 0 { len } else { n },
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// What is to be kept around a write: `None` when it is all zero.
fn around(layer: &Layer, at: u64, len: u64) -> io::Result<Option<Vec<u8>>> {
    if len == 0 || reads_zero(layer, at, len)? {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize];
    layer.read(bytes.as_mut_slice(), at)?;
    Ok(Some(bytes))
}

fn cut(bytes: &Option<Vec<u8>>, skip: u64, len: u64) -> Piece<'_> {
    match bytes.as_ref().and_then(|bytes| bytes.get(skip as usize..(skip + len) as usize)) {
        Some(bytes) => Piece::Bytes(bytes),
        None => Piece::Zero(len),
    }
}

fn put(own: &Own, host: u64, piece: Piece) -> io::Result<()> {
    match piece {
        Piece::Guest(slices) => {
            use std::os::fd::AsFd;
            crate::mem::vectored::write_at(own.file.as_fd(), host, &slices)
        }
        Piece::Bytes(bytes) => own.file.write_all_at(bytes, host),
        Piece::Zero(len) => own.clear(host, len),
    }
}
