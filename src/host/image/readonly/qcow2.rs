//! qcow2 images that are only read: with clusters packed by zstd, with extended L2 entries, dirty ones. (Those that are
//! written are opened by imago, which refuses these.)

use super::unpack::{self, Method};
use super::{Layout, Packed, Place, ReadOnly, Source};
use crate::host::image::Image;
use crate::host::image::qcow2_meta::header::{self, Compression, Header};
use anyhow::{Result, ensure};
use std::fs;
use std::io;
use std::path::Path;

/// Subclusters of a cluster, when entries are extended.
const SUBCLUSTERS: u64 = 32;

/// An image whose backing file is not yet opened.
pub struct Qcow2 {
    source: Source,
    header: Header,
}

struct Clusters(Header);

impl Qcow2 {
    pub fn open(file: fs::File, path: &Path) -> Result<Qcow2> {
        let source = Source::new(file, path)?;
        let header = Header::read(&source)?;
        let name = source.name();
        ensure!(
            header.encryption == 0,
            "open {name}: qcow2 header: crypt_method: {}: kiln reads no encrypted image; `qemu-img convert` makes a \
             plain one of it",
            header.encryption
        );
        let external = header.incompatible & header::DATA_FILE != 0;
        ensure!(!external, "open {name}: qcow2 header: incompatible_features: its data are in another file");
        let len = u64::from(header.l1_size) * 8;
        ensure!(
            header.l1_offset <= source.len() && len <= source.len() - header.l1_offset,
            "open {name}: qcow2 header: l1_table_offset: {len} bytes at {:#x} are not in the file",
            header.l1_offset
        );
        Ok(Qcow2 { source, header })
    }

    /// `below` is what is seen where nothing is stored.
    pub fn over(self, below: Option<Box<dyn Image>>) -> Result<Box<dyn Image>> {
        let size = self.header.size;
        Ok(Box::new(ReadOnly::new(self.source, Clusters(self.header), size, below)?))
    }
}

impl Layout for Clusters {
    fn find(&self, source: &Source, at: u64) -> io::Result<(Place, u64)> {
        let head = &self.0;
        let (table, in_table) = (at / head.span(), at % head.span());
        // A size that is not a multiple of the sector was rounded up.
        if table >= u64::from(head.l1_size) {
            return Ok((Place::Zeroes, head.span() - in_table));
        }
        let l2 = u64::from_be_bytes(source.entry(head.l1_offset + table * 8)?) & header::OFFSET;
        if l2 == 0 {
            return Ok((Place::Below, head.span() - in_table));
        }
        self.aligned(source, l2, format_args!("qcow2 L1 table: entry {table}"))?;
        let (number, inside) = (in_table / head.cluster(), in_table % head.cluster());
        let entry_at = l2 + number * head.l2_entry();
        let entry = u64::from_be_bytes(source.entry(entry_at)?);
        let rest = head.cluster() - inside;
        if entry & header::COMPRESSED != 0 {
            let (at, len) = head.packed(entry);
            let at = source.inside(at, format_args!("qcow2 L2 table {table}: compressed entry {number}"))?;
            return Ok((Place::Packed(Packed { at, len: len as usize, skip: inside as usize }), rest));
        }
        let data = entry & header::OFFSET;
        let stored = || -> io::Result<Place> {
            self.aligned(source, data, format_args!("qcow2 L2 table {table}: entry {number}"))?;
            Ok(Place::At(data + inside))
        };
        if !head.extended() {
            let place = match (entry & header::ZERO != 0, data) {
                (true, _) if head.version < 3 => {
                    let which = format_args!("qcow2 L2 table {table}: entry {number}");
                    return Err(
                        source.bad(format_args!("{which}: its zero flag is set, which version 2 does not have"))
                    );
                }
                (true, _) => Place::Zeroes,
                (false, 0) => Place::Below,
                (false, _) => stored()?,
            };
            return Ok((place, rest));
        }
        let bitmap = u64::from_be_bytes(source.entry(entry_at + 8)?);
        let size = head.cluster() / SUBCLUSTERS;
        let subcluster = inside / size;
        let place = match (bitmap >> subcluster & 1 != 0, bitmap >> (32 + subcluster) & 1 != 0) {
            (true, true) => {
                let which = format_args!("qcow2 L2 table {table}: entry {number}: subcluster {subcluster}");
                return Err(source.bad(format_args!("{which}: both stored and zero")));
            }
            (_, true) => Place::Zeroes,
            (true, _) => stored()?,
            _ => Place::Below,
        };
        Ok((place, size - inside % size))
    }

    fn unpack(&self, source: &Source, packed: Packed) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; packed.len];
        let n = source.some(packed.at, &mut bytes)?;
        bytes.truncate(n);
        let method = match self.0.compression {
            Compression::Zlib => Method::Deflate,
            Compression::Zstd => Method::Zstd,
        };
        let wrong =
            |e| source.bad(format_args!("qcow2 compressed cluster at {:#x}: cannot be unpacked: {e}", packed.at));
        unpack::unpack(method, &bytes, self.0.cluster() as usize).map_err(wrong)
    }
}

impl Clusters {
    fn aligned(&self, source: &Source, at: u64, what: std::fmt::Arguments) -> io::Result<()> {
        if !at.is_multiple_of(self.0.cluster()) || at == 0 {
            return Err(source.bad(format_args!("{what}: {at:#x} is not the place of a cluster")));
        }
        source.inside(at, what).map(drop)
    }
}
