//! VirtualBox's VDI, dynamic and static: a header, a map of blocks, blocks.

use super::{Fields, Layout, Place, ReadOnly, SECTOR, Source};
use crate::host::image::Image;
use anyhow::{Result, ensure};
use std::fs;
use std::io;
use std::path::Path;

const SIGNATURE: u32 = 0xbeda_107f;
const VERSION_1_1: u32 = 0x0001_0001;
/// The types that are whole disks (the others are differences to a parent).
const DYNAMIC: u32 = 1;
const STATIC: u32 = 2;
/// Map entries: never written, and written as zeroes.
const FREE: u32 = 0xffff_ffff;
const ZERO: u32 = 0xffff_fffe;
const MAX_BLOCK: u32 = 64 << 20;

struct Vdi {
    map: u64,
    data: u64,
    block: u64,
    blocks: u64,
}

pub fn open(file: fs::File, path: &Path) -> Result<Box<dyn Image>> {
    let source = Source::new(file, path)?;
    let name = source.name();
    let head: [u8; 0x1c8] = source.head(0, "VDI header")?;
    let head = Fields(&head);
    ensure!(head.le32(0x40) == SIGNATURE, "open {name}: VDI header: signature: {:#x}", head.le32(0x40));
    let version = head.le32(0x44);
    ensure!(version == VERSION_1_1, "open {name}: VDI header: version: {}.{}", version >> 16, version & 0xffff);
    let kind = head.le32(0x4c);
    let parent = head.le64(0x1a8) | head.le64(0x1b0) | head.le64(0x1b8) | head.le64(0x1c0);
    ensure!(
        matches!(kind, DYNAMIC | STATIC) && parent == 0,
        "open {name}: VDI header: type: {kind}: kiln reads dynamic (1) and static (2) images that have no parent; \
         `VBoxManage clonemedium` makes one"
    );
    let sector = head.le32(0x168);
    ensure!(u64::from(sector) == SECTOR, "open {name}: VDI header: sector size: {sector}, want {SECTOR}");
    let block = head.le32(0x178);
    let fits = block.is_power_of_two() && (SECTOR as u32..=MAX_BLOCK).contains(&block);
    ensure!(fits, "open {name}: VDI header: block size: {block}, want a power of two from {SECTOR} to {MAX_BLOCK}");
    ensure!(head.le32(0x17c) == 0, "open {name}: VDI header: block extra: {}, want 0", head.le32(0x17c));
    let (map, data) = (u64::from(head.le32(0x154)), u64::from(head.le32(0x158)));
    let (size, blocks, block) = (head.le64(0x170), u64::from(head.le32(0x180)), u64::from(block));
    for (field, at) in [("block map's offset", map), ("data's offset", data)] {
        let fits = at % SECTOR == 0 && at >= SECTOR && at <= source.len();
        ensure!(fits, "open {name}: VDI header: {field}: {at:#x} is not a place in the file");
    }
    ensure!(
        size.div_ceil(block) <= blocks,
        "open {name}: VDI header: disk size: {size} bytes are more than its {blocks} blocks of {block}"
    );
    ensure!(
        blocks * 4 <= source.len().saturating_sub(map),
        "open {name}: VDI header: blocks: a map of {blocks} is beyond the end of the file"
    );
    Ok(Box::new(ReadOnly::new(source, Vdi { map, data, block, blocks }, size, None)?))
}

impl Layout for Vdi {
    fn find(&self, source: &Source, at: u64) -> io::Result<(Place, u64)> {
        let (number, inside) = (at / self.block, at % self.block);
        let rest = self.block - inside;
        // A size that is not a multiple of the sector was rounded up.
        if number >= self.blocks {
            return Ok((Place::Zeroes, rest));
        }
        let place = match u32::from_le_bytes(source.entry(self.map + number * 4)?) {
            FREE | ZERO => Place::Zeroes,
            // At most 2^32 * 2^26: no overflow.
            n => {
                let block = self.data + u64::from(n) * self.block;
                Place::At(source.inside(block, format_args!("VDI block map: block {number}"))? + inside)
            }
        };
        Ok((place, rest))
    }
}
