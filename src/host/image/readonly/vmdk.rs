//! VMware's VMDK in one file: monolithicSparse, and streamOptimized with its compressed grains (VMware, "Virtual Disk
//! Format 5.0"). Offsets and sizes are in sectors.
//!
//! ```text
//! header -> grain directory -> grain table (512 entries) -> grain (64 KiB)
//! ```
//! A stream has its directory's place only in a footer, a copy of the header near the end of the file.

use super::unpack::{self, Method};
use super::{Fields, Layout, Packed, Place, ReadOnly, SECTOR, Source};
use crate::host::image::Image;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io;
use std::path::Path;

const MAGIC: &[u8] = b"KDMV";
const DESCRIPTOR: &[u8] = b"# Disk DescriptorFile";
const LINE_ENDS: &[u8] = b"\n \r\n";
/// Flags: the line ends are there to be checked; a table entry of 1 is a grain of zeroes; grains are compressed.
const CHECK_LINE_ENDS: u32 = 1;
const ZEROED_GRAINS: u32 = 1 << 2;
const COMPRESSED: u32 = 1 << 16;
const DEFLATE: u16 = 1;
/// The grain directory's place is in the footer.
const AT_END: u64 = u64::MAX;
const FOOTER_MARKER: u32 = 3;
const MAX_GRAIN: u64 = 2 << 20;
/// QEMU's limits: of grain table entries, and of directory entries.
const MAX_ENTRIES: u64 = 512;
const MAX_TABLES: u64 = 32 << 20;
const MAX_DESCRIPTOR: u64 = 64 << 10;

struct Vmdk {
    /// Offset of the grain directory.
    directory: u64,
    /// Bytes of a grain.
    grain: u64,
    /// Entries of a grain table.
    entries: u64,
    tables: u64,
    zeroed: bool,
    compressed: bool,
}

pub fn open(file: fs::File, path: &Path) -> Result<Box<dyn Image>> {
    let source = Source::new(file, path)?;
    let name = source.name().to_string();
    let mut head = [0; 512];
    let n = source.some(0, &mut head).with_context(|| format!("read {name}"))?;
    let head = head.get(..n).unwrap_or_default();
    ensure!(
        !head.starts_with(DESCRIPTOR),
        "open {name}: createType: it only describes other files; open its data (often {}) with `format=raw`",
        name.strip_suffix(".vmdk").map_or("*-flat.vmdk".to_string(), |stem| format!("{stem}-flat.vmdk"))
    );
    ensure!(n == 512 && head.starts_with(MAGIC), "open {name}: VMDK header: magicNumber: not `KDMV`");
    check_descriptor(&source, &Fields(head))?;
    if Fields(head).le64(56) != AT_END {
        return sparse(source, &Fields(head), "VMDK header");
    }
    // A marker, the footer and the end-of-stream marker, a sector each.
    let at = source.len().checked_sub(3 * SECTOR).with_context(|| format!("open {name}: VMDK footer: missing"))?;
    let tail: [u8; 1024] = source.head(at, "VMDK footer")?;
    let (marker, footer) = tail.split_at(512);
    ensure!(
        Fields(marker).le32(12) == FOOTER_MARKER && footer.starts_with(MAGIC),
        "open {name}: VMDK footer: missing: the file is cut off, or not a finished stream"
    );
    sparse(source, &Fields(footer), "VMDK footer")
}

fn sparse(source: Source, head: &Fields, what: &str) -> Result<Box<dyn Image>> {
    let name = source.name();
    let (version, flags, capacity) = (head.le32(4), head.le32(8), head.le64(12));
    ensure!((1..=3).contains(&version), "open {name}: {what}: version: {version}, want 1 to 3");
    let intact = flags & CHECK_LINE_ENDS == 0 || head.starts_with(73, LINE_ENDS);
    ensure!(intact, "open {name}: {what}: line ends: changed, as by a transfer of the file as text");
    let sectors = |field: &str, n: u64| {
        let bytes = n.checked_mul(SECTOR).filter(|bytes| i64::try_from(*bytes).is_ok());
        bytes.with_context(|| format!("open {name}: {what}: {field}: {n} sectors are too many"))
    };
    let size = sectors("capacity", capacity)?;
    ensure!(size > 0, "open {name}: {what}: capacity: 0: its data are in other files");
    let grain = sectors("grainSize", head.le64(20))?;
    let fits = grain.is_power_of_two() && (8 * SECTOR..=MAX_GRAIN).contains(&grain);
    ensure!(fits, "open {name}: {what}: grainSize: {grain} bytes, want a power of two from 4096 to {MAX_GRAIN}");
    let entries = u64::from(head.le32(44));
    let fits = entries.is_power_of_two() && entries <= MAX_ENTRIES;
    ensure!(fits, "open {name}: {what}: numGTEsPerGT: {entries}, want a power of two up to {MAX_ENTRIES}");
    let tables = size.div_ceil(grain * entries);
    ensure!(tables <= MAX_TABLES, "open {name}: {what}: capacity: {size} bytes would take {tables} grain tables");
    let directory = sectors("gdOffset", head.le64(56))?;
    ensure!(
        directory > 0 && directory <= source.len() && tables * 4 <= source.len() - directory,
        "open {name}: {what}: gdOffset: {tables} entries at {directory:#x} are not in the file"
    );
    let compressed = flags & COMPRESSED != 0;
    let algorithm = head.le16(77);
    ensure!(
        !compressed || algorithm == DEFLATE,
        "open {name}: {what}: compressAlgorithm: {algorithm}, want 1 (deflate)"
    );
    let vmdk = Vmdk { directory, grain, entries, tables, zeroed: flags & ZEROED_GRAINS != 0, compressed };
    Ok(Box::new(ReadOnly::new(source, vmdk, size, None)?))
}

/// The text in the file: it must be a whole disk, all of it in this file.
fn check_descriptor(source: &Source, head: &Fields) -> Result<()> {
    let name = source.name();
    let (at, len) = (head.le64(28), head.le64(36));
    ensure!(at > 0, "open {name}: VMDK header: descriptorOffset: 0: it is a part of an image of several files");
    let len = len.saturating_mul(SECTOR).min(MAX_DESCRIPTOR);
    let at = at.saturating_mul(SECTOR);
    ensure!(at < source.len(), "open {name}: VMDK header: descriptorOffset: {at:#x} is beyond the end of the file");
    let mut text = vec![0; len as usize];
    let n = source.some(at, &mut text).with_context(|| format!("read {name}"))?;
    text.truncate(n);
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        line.map(|value| value.trim().trim_matches('"').to_ascii_lowercase())
    };
    match value("createType") {
        Some(kind) if matches!(kind.as_str(), "monolithicsparse" | "streamoptimized") => {}
        Some(kind) => {
            bail!("open {name}: VMDK descriptor: createType: {kind:?}, want monolithicSparse or streamOptimized")
        }
        None => {
            bail!("open {name}: VMDK descriptor: createType: missing; it may be a part of an image of several files")
        }
    }
    let parent = value("parentCID").unwrap_or_else(|| "ffffffff".to_string());
    ensure!(
        parent == "ffffffff",
        "open {name}: VMDK descriptor: parentCID: {parent}: kiln reads no VMDK that has a parent"
    );
    Ok(())
}

impl Layout for Vmdk {
    fn find(&self, source: &Source, at: u64) -> io::Result<(Place, u64)> {
        let span = self.grain * self.entries;
        let (table, in_table) = (at / span, at % span);
        if table >= self.tables {
            return Ok((Place::Zeroes, span - in_table));
        }
        let sector = u32::from_le_bytes(source.entry(self.directory + table * 4)?);
        if sector == 0 {
            return Ok((Place::Zeroes, span - in_table));
        }
        let (number, inside) = (in_table / self.grain, in_table % self.grain);
        let rest = self.grain - inside;
        let entry = source.inside(u64::from(sector) * SECTOR, format_args!("VMDK grain directory: entry {table}"))?;
        let place = match u32::from_le_bytes(source.entry(entry + number * 4)?) {
            0 => Place::Zeroes,
            1 if self.zeroed => Place::Zeroes,
            sector => {
                let name = format_args!("VMDK grain table {table}: entry {number}");
                let at = source.inside(u64::from(sector) * SECTOR, name)?;
                match self.compressed {
                    false => Place::At(at + inside),
                    true => Place::Packed(Packed { at, len: 0, skip: inside as usize }),
                }
            }
        };
        Ok((place, rest))
    }

    /// Before the data there are the grain's number (8 bytes) and the data's length (4).
    fn unpack(&self, source: &Source, packed: Packed) -> io::Result<Vec<u8>> {
        let mut marker = [0; 12];
        source.exactly(packed.at, &mut marker)?;
        let len = u64::from(Fields(&marker).le32(8));
        // Deflate makes nothing larger by more than a few bytes in a thousand; VMware's own limit is twice a grain.
        let at = packed.at;
        if len > 2 * self.grain {
            return Err(source.bad(format_args!("VMDK grain at {at:#x}: size: {len} bytes are more than two grains")));
        }
        let mut bytes = vec![0; len as usize];
        source.exactly(at + 12, &mut bytes)?;
        let wrong = |e| source.bad(format_args!("VMDK grain at {at:#x}: cannot be unpacked: {e}"));
        unpack::unpack(Method::Zlib, &bytes, self.grain as usize).map_err(wrong)
    }
}
