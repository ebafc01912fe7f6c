//! Virtual PC's VHD, fixed and dynamic (Microsoft, "Virtual Hard Disk Image Format Specification", 2006). QEMU calls
//! it vpc. All is big-endian; every block of a dynamic disk begins with a bitmap of its sectors.

use super::{Fields, Layout, Place, ReadOnly, SECTOR, Source};
use crate::host::image::Image;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io;
use std::path::Path;

const COOKIE: &[u8] = b"conectix";
const FOOTER: u64 = 512;
const HEADER_COOKIE: &[u8] = b"cxsparse";
const VERSION_1_0: u32 = 0x1_0000;
const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCING: u32 = 4;
const MAX_BLOCK: u32 = 256 << 20;
const FREE: u32 = 0xffff_ffff;
/// The most that cylinders, heads and sectors can say: such a disk is larger.
const MAX_GEOMETRY: u64 = 65535 * 16 * 255;
/// Who writes a size that is not the geometry's (as QEMU's block/vpc.c has it).
const BY_SIZE: &[&[u8]] = &[b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0"];

struct Fixed;

struct Dynamic {
    table: u64,
    entries: u64,
    block: u64,
    /// Bytes of the bitmap before each block.
    bitmap: u64,
}

pub fn open(file: fs::File, path: &Path) -> Result<Box<dyn Image>> {
    let source = Source::new(file, path)?;
    let name = source.name().to_string();
    let end = source.len().checked_sub(FOOTER).with_context(|| format!("open {name}: too short for a VHD image"))?;
    let (at, footer) = match source.head::<512>(0, "VHD footer")? {
        // The copy that a dynamic disk begins with.
        copy if copy.starts_with(COOKIE) => (0, copy),
        _ => (end, source.head::<512>(end, "VHD footer")?),
    };
    let footer = Fields(&footer);
    ensure!(footer.starts_with(0, COOKIE), "open {name}: VHD footer: cookie: not `conectix`");
    check(&name, "VHD footer", &footer, 64)?;
    let version = footer.be32(12);
    ensure!(version == VERSION_1_0, "open {name}: VHD footer: file format version: {version:#x}");
    let size = size(&footer);
    match footer.be32(60) {
        FIXED => {
            ensure!(at == end, "open {name}: VHD footer: disk type: fixed, but the footer is not at the end");
            ensure!(size <= end, "open {name}: VHD footer: current size: {size} bytes are beyond the end of the file");
            Ok(Box::new(ReadOnly::new(source, Fixed, size, None)?))
        }
        DYNAMIC => {
            let dynamic = Dynamic::new(&source, footer.be64(16), size)?;
            Ok(Box::new(ReadOnly::new(source, dynamic, size, None)?))
        }
        DIFFERENCING => bail!("open {name}: VHD footer: disk type: differencing: kiln reads no VHD that has a parent"),
        other => bail!("open {name}: VHD footer: disk type: {other}, want 2 (fixed) or 3 (dynamic)"),
    }
}

/// Bytes of the disk: by its geometry when the program that wrote it goes by that.
fn size(footer: &Fields) -> u64 {
    let geometry = u64::from(footer.be16(56)) * u64::from(footer.0.get(58).copied().unwrap_or(0));
    let geometry = geometry * u64::from(footer.0.get(59).copied().unwrap_or(0));
    let by_size = BY_SIZE.iter().any(|creator| footer.starts_with(28, creator));
    if by_size || geometry == MAX_GEOMETRY { footer.be64(48) / SECTOR * SECTOR } else { geometry * SECTOR }
}

/// The checksum: the ones' complement of the sum of all other bytes.
fn check(name: &str, what: &str, of: &Fields, at: usize) -> Result<()> {
    let sum = of.0.iter().enumerate().filter(|(i, _)| !(at..at + 4).contains(i));
    let sum = !sum.fold(0u32, |sum, (_, byte)| sum.wrapping_add(u32::from(*byte)));
    ensure!(of.be32(at) == sum, "open {name}: {what}: checksum: {:#x}, should be {sum:#x}", of.be32(at));
    Ok(())
}

impl Dynamic {
    fn new(source: &Source, at: u64, size: u64) -> Result<Dynamic> {
        let name = source.name();
        ensure!(at < source.len(), "open {name}: VHD footer: data offset: {at:#x} is beyond the end of the file");
        let head: [u8; 1024] = source.head(at, "VHD dynamic disk header")?;
        let head = Fields(&head);
        let what = "VHD dynamic disk header";
        ensure!(head.starts_with(0, HEADER_COOKIE), "open {name}: {what}: cookie: not `cxsparse`");
        check(name, what, &head, 36)?;
        ensure!(head.be32(24) == VERSION_1_0, "open {name}: {what}: header version: {:#x}", head.be32(24));
        let (table, entries, block) = (head.be64(16), u64::from(head.be32(28)), head.be32(32));
        let fits = block.is_power_of_two() && (SECTOR as u32..=MAX_BLOCK).contains(&block);
        ensure!(fits, "open {name}: {what}: block size: {block}, want a power of two from {SECTOR} to {MAX_BLOCK}");
        let block = u64::from(block);
        ensure!(
            entries * block >= size,
            "open {name}: {what}: max table entries: {entries} blocks of {block} are less than the disk's {size} bytes"
        );
        let fits = table % 4 == 0 && table <= source.len() && entries * 4 <= source.len() - table;
        ensure!(fits, "open {name}: {what}: table offset: {entries} entries at {table:#x} are not in the file");
        let bitmap = (block / SECTOR).div_ceil(8).next_multiple_of(SECTOR);
        Ok(Dynamic { table, entries, block, bitmap })
    }
}

impl Layout for Fixed {
    fn find(&self, _source: &Source, at: u64) -> io::Result<(Place, u64)> {
        Ok((Place::At(at), u64::MAX))
    }
}

impl Layout for Dynamic {
    fn find(&self, source: &Source, at: u64) -> io::Result<(Place, u64)> {
        let (number, inside) = (at / self.block, at % self.block);
        let rest = self.block - inside;
        if number >= self.entries {
            return Ok((Place::Zeroes, rest));
        }
        // The bitmap is not looked at: nobody writes sectors that it does not have without zeroing them (nor does QEMU).
        let place = match u32::from_be_bytes(source.entry(self.table + number * 4)?) {
            FREE => Place::Zeroes,
            sector => {
                let data = u64::from(sector) * SECTOR + self.bitmap;
                Place::At(source.inside(data, format_args!("VHD block table: block {number}"))? + inside)
            }
        };
        Ok((place, rest))
    }
}
