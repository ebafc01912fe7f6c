//! The header of a qcow2 image and its extensions. What this accepts is within the limits of the format's text and of
//! QEMU; everybody else may rely on it.

use crate::host::image::source::{Fields, Source};
use anyhow::{Context, Result, bail, ensure};

pub const MAGIC: u32 = 0x5146_49fb;
/// Bits of `incompatible_features`.
pub const DIRTY: u64 = 1;
pub const CORRUPT: u64 = 1 << 1;
pub const DATA_FILE: u64 = 1 << 2;
pub const COMPRESSION: u64 = 1 << 3;
pub const EXTENDED_L2: u64 = 1 << 4;
const KNOWN: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
/// Bits of `compatible_features`.
pub const LAZY_REFCOUNTS: u64 = 1;
/// Bits of `autoclear_features`.
pub const BITMAPS: u64 = 1;
/// Header extensions.
const END: u32 = 0;
const BACKING_FORMAT: u32 = 0xe279_2aca;
pub const BITMAPS_EXTENSION: u32 = 0x2385_2875;
const DATA_FILE_NAME: u32 = 0x4441_5441;
/// Bytes of the header of version 2, and the least of version 3.
const V2: usize = 72;
const V3: usize = 104;
/// Byte of the header where `incompatible_features` stands.
pub const INCOMPATIBLE: u64 = 72;
/// QEMU's limits.
const MAX_L1: u64 = 32 << 20;
const MAX_REFCOUNT_TABLE: u64 = 8 << 20;
pub const MAX_SNAPSHOTS: u32 = 65536;
const MAX_NAME: u32 = 1023;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Zlib,
    Zstd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// As it stands in the image: relative to where that is.
    pub name: String,
    pub format: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub version: u32,
    pub backing: Option<Backing>,
    pub cluster_bits: u32,
    /// Bytes of the disk.
    pub size: u64,
    pub encryption: u32,
    /// Entries.
    pub l1_size: u32,
    pub l1_offset: u64,
    pub refcount_table_offset: u64,
    pub refcount_table_clusters: u32,
    pub snapshots: u32,
    pub snapshots_offset: u64,
    pub incompatible: u64,
    pub compatible: u64,
    pub autoclear: u64,
    /// A refcount has 2^this bits.
    pub refcount_order: u32,
    pub compression: Compression,
    pub data_file: Option<String>,
    /// Where the extension for bitmaps has its data, and their length.
    pub bitmaps: Option<(u64, u32)>,
}

impl Header {
    pub fn read(source: &Source) -> Result<Header> {
        let name = source.name();
        let mut bytes = vec![0; 1 << 9];
        let n = source.some(0, &mut bytes).with_context(|| format!("read {name}"))?;
        bytes.truncate(n);
        let head = Fields(&bytes);
        ensure!(n >= V2 && head.be32(0) == MAGIC, "open {name}: qcow2 header: magic: not `QFI\\xfb`");
        let cluster_bits = head.be32(20);
        ensure!(
            (9..=21).contains(&cluster_bits),
            "open {name}: qcow2 header: cluster_bits: {cluster_bits}, want 9 to 21"
        );
        // Header, extensions and backing file name are all in the first cluster.
        bytes.resize(1 << cluster_bits, 0);
        let n = source.some(0, &mut bytes).with_context(|| format!("read {name}"))?;
        bytes.truncate(n);
        Header::parse(&bytes, cluster_bits).with_context(|| format!("open {name}: qcow2 header"))
    }

    /// `bytes` are the first cluster, or what there is of it.
    fn parse(bytes: &[u8], cluster_bits: u32) -> Result<Header> {
        let head = Fields(bytes);
        let version = head.be32(4);
        ensure!(matches!(version, 2 | 3), "version: {version}, want 2 or 3");
        let length = if version == 2 { V2 } else { head.be32(100) as usize };
        ensure!(
            version == 2 || (length >= V3 && length % 8 == 0 && length <= 1 << cluster_bits),
            "header_length: {length}, want a multiple of 8, from {V3} to a cluster"
        );
        ensure!(bytes.len() >= length, "header_length: {length}: the file ends before");
        let v3 = |at: usize| if version == 2 { 0 } else { head.be64(at) };
        let mut header = Header {
            version,
            backing: None,
            cluster_bits,
            size: head.be64(24),
            encryption: head.be32(32),
            l1_size: head.be32(36),
            l1_offset: head.be64(40),
            refcount_table_offset: head.be64(48),
            refcount_table_clusters: head.be32(56),
            snapshots: head.be32(60),
            snapshots_offset: head.be64(64),
            incompatible: v3(INCOMPATIBLE as usize),
            compatible: v3(80),
            autoclear: v3(88),
            refcount_order: if version == 2 { 4 } else { head.be32(96) },
            compression: Compression::Zlib,
            data_file: None,
            bitmaps: None,
        };
        header.check()?;
        let kind = if version == 3 && length > V3 { bytes.get(V3).copied().unwrap_or(0) } else { 0 };
        header.compression = match (kind, header.incompatible & COMPRESSION != 0) {
            (0, false) => Compression::Zlib,
            (1, true) => Compression::Zstd,
            (kind, _) => {
                bail!("compression_type: {kind}, want 0 (zlib), or 1 (zstd) with its incompatible feature bit")
            }
        };
        let (at, len) = (head.be64(8), head.be32(16));
        let format = header.extensions(bytes, length, if at == 0 { u64::MAX } else { at })?;
        if at != 0 {
            let name = name(bytes, at, len).context("backing_file_offset, backing_file_size")?;
            header.backing = Some(Backing { name, format }).filter(|backing| !backing.name.is_empty());
        }
        Ok(header)
    }

    fn check(&self) -> Result<()> {
        let unknown = self.incompatible & !KNOWN;
        ensure!(unknown == 0, "incompatible_features: {unknown:#x} are unknown here: a newer program made the image");
        ensure!(
            self.incompatible & EXTENDED_L2 == 0 || self.cluster_bits >= 14,
            "cluster_bits: {}: extended L2 entries want 14 at least",
            self.cluster_bits
        );
        ensure!(self.encryption <= 2, "crypt_method: {}, want 0 to 2", self.encryption);
        ensure!(self.refcount_order <= 6, "refcount_order: {}, want 0 to 6", self.refcount_order);
        ensure!(i64::try_from(self.size).is_ok(), "size: {} bytes are too many", self.size);
        let clusters = u64::from(self.refcount_table_clusters);
        ensure!(
            clusters > 0 && clusters << self.cluster_bits <= MAX_REFCOUNT_TABLE,
            "refcount_table_clusters: {clusters}, want 1 to {}",
            MAX_REFCOUNT_TABLE >> self.cluster_bits
        );
        ensure!(self.snapshots <= MAX_SNAPSHOTS, "nb_snapshots: {}, want {MAX_SNAPSHOTS} at most", self.snapshots);
        let wanted = self.size.div_ceil(self.span());
        ensure!(
            u64::from(self.l1_size) * 8 <= MAX_L1 && u64::from(self.l1_size) >= wanted,
            "l1_size: {}, want {wanted} for the disk's {} bytes, and {} at most",
            self.l1_size,
            self.size,
            MAX_L1 / 8
        );
        let places = [
            ("l1_table_offset", self.l1_offset, self.l1_size > 0),
            ("refcount_table_offset", self.refcount_table_offset, true),
            ("snapshots_offset", self.snapshots_offset, self.snapshots > 0),
        ];
        for (field, at, used) in places {
            let fits = at % self.cluster() == 0 && at > 0 && at < 1 << 56;
            ensure!(!used || fits, "{field}: {at:#x} is not the place of a cluster");
        }
        Ok(())
    }

    /// Reads the extensions; gives the backing file's format.
    fn extensions(&mut self, bytes: &[u8], length: usize, end: u64) -> Result<Option<String>> {
        let mut format = None;
        let end = usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len());
        let mut at = length;
        while at.saturating_add(8) <= end {
            let (kind, len) = (Fields(bytes).be32(at), Fields(bytes).be32(at + 4));
            let data = at + 8;
            if kind == END {
                break;
            }
            let fits = data.checked_add(len as usize).filter(|to| *to <= end);
            let to =
                fits.with_context(|| format!("header extension {kind:#x} at {at:#x}: length: {len} is too long"))?;
            match kind {
                BACKING_FORMAT => format = Some(name(bytes, data as u64, len).context("backing format")?),
                DATA_FILE_NAME => self.data_file = Some(name(bytes, data as u64, len).context("data file name")?),
                BITMAPS_EXTENSION => self.bitmaps = Some((data as u64, len)),
                _ => {}
            }
            at = to.next_multiple_of(8);
        }
        Ok(format)
    }

    /// Bytes of a cluster.
    pub fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }

    pub fn extended(&self) -> bool {
        self.incompatible & EXTENDED_L2 != 0
    }

    /// Bytes of an entry of an L2 table.
    pub fn l2_entry(&self) -> u64 {
        if self.extended() { 16 } else { 8 }
    }

    /// Entries of an L2 table.
    pub fn l2_entries(&self) -> u64 {
        self.cluster() / self.l2_entry()
    }

    /// Bytes of the disk that one L2 table describes.
    pub fn span(&self) -> u64 {
        self.l2_entries() << self.cluster_bits
    }

    /// Where a compressed cluster is, and how many bytes may belong to it.
    pub fn packed(&self, entry: u64) -> (u64, u64) {
        let x = 62 - (self.cluster_bits - 8);
        let at = entry & ((1 << x) - 1);
        let sectors = (entry >> x) & ((1 << (self.cluster_bits - 8)) - 1);
        (at, (sectors + 1) * 512 - at % 512)
    }
}

fn name(bytes: &[u8], at: u64, len: u32) -> Result<String> {
    let range = usize::try_from(at).ok().and_then(|at| Some(at..at.checked_add(len as usize)?));
    let bytes = range.filter(|_| len <= MAX_NAME).and_then(|range| bytes.get(range));
    let bytes = bytes.with_context(|| format!("{len} bytes at {at:#x} are no place for a name"))?;
    String::from_utf8(bytes.to_vec()).context("not UTF-8")
}

/// Bits of an L1 or L2 entry that are an offset.
pub const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// The refcount of what the entry refers to is exactly one.
pub const COPIED: u64 = 1 << 63;
/// The entry of an L2 table refers to a compressed cluster.
pub const COMPRESSED: u64 = 1 << 62;
/// The cluster reads as zero (since version 3; not in extended entries).
pub const ZERO: u64 = 1;
