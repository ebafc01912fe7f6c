//! A qcow2 file whose metadata are read and changed.

use super::header::{self, Header};
use super::snapshot::{self, Snapshot};
use crate::host::image::source::Source;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The most clusters that a file may have here: what is kept of each takes five bytes.
const MAX_CLUSTERS: u64 = 1 << 28;
/// Bytes of the header that change: from `size` to `autoclear_features`.
const CHANGING: usize = 24;

pub struct Tables {
    source: Source,
    pub header: Header,
    pub snapshots: Vec<Snapshot>,
    /// Bytes of the snapshot table.
    pub snapshots_len: u64,
    /// Writes that are left until the power goes.
    #[cfg(test)]
    pub power: std::sync::atomic::AtomicU64,
}

/// What everything else hangs on. Not yet written to the header when a change is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    pub size: u64,
    /// The active state.
    pub l1: L1,
    /// One for each snapshot.
    pub snapshots: Vec<L1>,
    /// Where the snapshot table is, and its bytes.
    pub table: (u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct L1 {
    pub at: u64,
    pub entries: u32,
}

impl Tables {
    /// `file` is open and locked by the caller.
    pub fn open(file: fs::File, path: &Path) -> Result<Tables> {
        let source = Source::new(file, path)?;
        let header = Header::read(&source)?;
        let name = path.display();
        ensure!(
            header.encryption == 0,
            "open {name}: qcow2 header: crypt_method: {}: kiln does nothing with encrypted images",
            header.encryption
        );
        let external = header.incompatible & header::DATA_FILE != 0;
        ensure!(!external, "open {name}: qcow2 header: incompatible_features: its data are in another file");
        let (snapshots, snapshots_len) =
            snapshot::read(&source, &header).with_context(|| format!("open {name}: qcow2 snapshot table"))?;
        Ok(Tables {
            source,
            header,
            snapshots,
            snapshots_len,
            #[cfg(test)]
            power: u64::MAX.into(),
        })
    }

    pub fn name(&self) -> &str {
        self.source.name()
    }

    pub fn roots(&self) -> Roots {
        Roots {
            size: self.header.size,
            l1: L1 { at: self.header.l1_offset, entries: self.header.l1_size },
            snapshots: self.snapshots.iter().map(|s| s.l1).collect(),
            table: (self.header.snapshots_offset, self.snapshots_len),
        }
    }

    /// Bytes of the file now.
    pub fn len(&self) -> Result<u64> {
        let meta = self.source.file.metadata().with_context(|| format!("look at {}", self.name()))?;
        // A block device does not grow.
        Ok(if meta.is_file() { meta.len() } else { self.source.len() })
    }

    /// Clusters of the file, the last of which it may have only in part.
    pub fn clusters(&self) -> Result<usize> {
        let clusters = self.len()?.div_ceil(self.header.cluster());
        ensure!(
            clusters <= MAX_CLUSTERS,
            "check {}: it has {clusters} clusters, and {MAX_CLUSTERS} are the most that kiln counts",
            self.name()
        );
        Ok(clusters as usize)
    }

    pub fn read(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.source.some(at, &mut bytes).with_context(|| format!("read {} at {at:#x}", self.name()))?;
        Ok(bytes)
    }

    /// A table of numbers; what is beyond the end of the file is zero.
    pub fn numbers(&self, at: u64, entries: usize) -> Result<Vec<u64>> {
        let bytes = self.read(at, entries.saturating_mul(8))?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|n| u64::from_be_bytes(*n)).collect())
    }

    pub fn l1(&self, l1: L1) -> Result<Vec<u64>> {
        self.numbers(l1.at, l1.entries as usize)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        #[cfg(test)]
        {
            let left = self.power.load(std::sync::atomic::Ordering::Relaxed);
            ensure!(left > 0, "the power is gone");
            self.power.store(left - 1, std::sync::atomic::Ordering::Relaxed);
        }
        self.source.file.write_all_at(bytes, at).with_context(|| format!("write {} at {at:#x}", self.name()))
    }

    /// Writes `bytes`, and zeroes to the end of their last cluster.
    pub fn write_clusters(&self, at: u64, mut bytes: Vec<u8>) -> Result<()> {
        let len = bytes.len().next_multiple_of(self.header.cluster() as usize);
        bytes.resize(len, 0);
        self.write(at, &bytes)
    }

    pub fn flush(&self) -> Result<()> {
        self.source.file.sync_data().with_context(|| format!("flush {}", self.name()))
    }

    /// Writes the header's fields, all in one sector.
    pub fn write_header(&mut self) -> Result<()> {
        let head = &mut self.header;
        // What is not known here may not hold any more.
        head.autoclear &= header::BITMAPS;
        let mut bytes = Vec::with_capacity(CHANGING * 3);
        bytes.extend(head.size.to_be_bytes());
        bytes.extend(head.encryption.to_be_bytes());
        bytes.extend(head.l1_size.to_be_bytes());
        bytes.extend(head.l1_offset.to_be_bytes());
        bytes.extend(head.refcount_table_offset.to_be_bytes());
        bytes.extend(head.refcount_table_clusters.to_be_bytes());
        bytes.extend(head.snapshots.to_be_bytes());
        bytes.extend(head.snapshots_offset.to_be_bytes());
        if head.version >= 3 {
            bytes.extend(head.incompatible.to_be_bytes());
            bytes.extend(head.compatible.to_be_bytes());
            bytes.extend(head.autoclear.to_be_bytes());
        }
        self.write(CHANGING as u64, &bytes)
    }
}

/// The bytes of a table.
pub fn packed(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}
