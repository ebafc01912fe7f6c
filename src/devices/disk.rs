//! Block device (virtio 1.2, 5.2): the driver reads and writes the sectors of a disk image.

use super::{Built, Kind};
use crate::config::values::Maybe;
use crate::config::Switch;
use crate::host::image::{self, Format, How, Image, SECTOR, Writes};
use crate::mem::Slice;
use crate::spec;
use crate::virtio::{Chain, ConfigSpace, Device, Io};
use anyhow::{Context, Result, ensure};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::str::FromStr;
use virtio_bindings::virtio_blk::*;

spec! {
    pub struct Spec {
        /// The image: a raw file or a block device.
        path: PathBuf,
        /// The guest may not write; others may read the image meanwhile.
        readonly: Switch = "off",
        /// What the guest sees as serial number, 20 bytes at most.
        serial: Maybe<String> = "",
        /// `auto` refuses an image that looks like another format than raw; `raw` takes the bytes as they are.
        format: Format = "auto",
        /// `writeback`: what the guest flushed is safe. `writethrough`: what it wrote is. `unsafe`: flushes are ignored.
        cache: Cache = "writeback",
        /// Number of request queues, 1 to 16.
        queues: u16 = "1",
    }
}

pub static KIND: Kind = Kind {
    name: "disk",
    about: "A disk: a raw image file or a block device.",
    options: Spec::OPTIONS,
    bare: false,
    build: |options, _host| {
        let spec = Spec::parse(options)?;
        ensure!((1..=QUEUES).contains(&spec.queues), "`queues={}`: want 1 to {QUEUES}", spec.queues);
        let serial = spec.serial.0.clone().unwrap_or_default();
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        let to = id.get_mut(..serial.len()).with_context(|| format!("`serial={serial}`: want 20 bytes at most"))?;
        to.copy_from_slice(serial.as_bytes());
        let image = image::open(&spec.path, &spec.how())?;
        Ok(Built::virtio(Disk::new(image, spec.readonly.0, id, spec.cache, spec.queues)))
    },
    sample: "{tmp}",
};

impl Spec {
    fn how(&self) -> How {
        How { format: self.format, readonly: self.readonly.0, direct: false, writes: Writes::Image }
    }
}

/// The `cache=` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    Writeback,
    Writethrough,
    Unsafe,
}

impl FromStr for Cache {
    type Err = String;
    fn from_str(text: &str) -> Result<Cache, String> {
        match text {
            "writeback" => Ok(Cache::Writeback),
            "writethrough" => Ok(Cache::Writethrough),
            "unsafe" => Ok(Cache::Unsafe),
            _ => Err("want writeback, writethrough or unsafe".to_string()),
        }
    }
}

const QUEUES: u16 = 16;
const QUEUE_SIZE: u16 = 256;
/// Segments of a request: what the queue holds without the header and the status.
const SEGMENTS: u32 = QUEUE_SIZE as u32 - 2;
/// Bytes of a segment. With [`SEGMENTS`] it bounds how long one request can keep the worker from other things.
const SEGMENT: u32 = 4 << 20;
/// Sectors in one segment of a discard or write-zeroes request (256 MiB).
const RANGE: u32 = 1 << 19;
/// Segments in one discard or write-zeroes request.
const RANGES: usize = 16;
/// Bytes of a struct virtio_blk_discard_write_zeroes.
const RANGE_BYTES: usize = 16;
/// Offset of `writeback` in the configuration space.
const WRITEBACK_AT: usize = 32;

struct Disk {
    image: Box<dyn Image>,
    readonly: bool,
    serial: [u8; VIRTIO_BLK_ID_BYTES as usize],
    cache: Cache,
    queues: u16,
    /// virtio 1.2, 5.2.6.2: when off, a write is answered once it is safe.
    writeback: bool,
    /// The log has an error of this disk already.
    complained: bool,
}

/// Why a request was not served, as the driver is told.
enum Refusal {
    Unsupported,
    /// The request makes no sense, or asks for what may not be done.
    Invalid,
    Io(&'static str, io::Error),
}

impl Disk {
    fn new(image: Box<dyn Image>, readonly: bool, serial: [u8; 20], cache: Cache, queues: u16) -> Disk {
        Disk { image, readonly, serial, cache, queues, writeback: cache != Cache::Writethrough, complained: false }
    }

    /// Serves one request (virtio 1.2, 5.2.6). An error means that there was no place for the answer.
    fn answer(&mut self, chain: &mut Chain) -> Result<u32> {
        let status = split_status(&mut chain.writable).context("a request has no room for its status")?;
        // Everything is answered with all of the writable part used: the status is its last byte.
        let written = chain.sizes().1.saturating_add(1);
        let code = match self.serve(chain) {
            Ok(()) => VIRTIO_BLK_S_OK,
            Err(Refusal::Unsupported) => VIRTIO_BLK_S_UNSUPP,
            Err(Refusal::Invalid) => VIRTIO_BLK_S_IOERR,
            Err(Refusal::Io(what, e)) => {
                self.complain(what, &e);
                VIRTIO_BLK_S_IOERR
            }
        };
        status.fill(code as u8);
        Ok(u32::try_from(written).unwrap_or(u32::MAX))
    }

    fn serve(&mut self, chain: &mut Chain) -> Result<(), Refusal> {
        // struct virtio_blk_req: le32 type, le32 reserved, le64 sector
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = chain.take::<16>().map_err(|_| Refusal::Invalid)?;
        let sector = u64::from_le_bytes(sector);
        match u32::from_le_bytes([t0, t1, t2, t3]) {
            VIRTIO_BLK_T_IN => {
                let at = self.place(sector, &chain.writable)?;
                self.image.read_at(at, &chain.writable).map_err(|e| Refusal::Io("read", e))
            }
            VIRTIO_BLK_T_OUT => {
                self.may_write()?;
                let at = self.place(sector, &chain.readable)?;
                self.image.write_at(at, &chain.readable).map_err(|e| Refusal::Io("write", e))?;
                self.settle()
            }
            VIRTIO_BLK_T_FLUSH => self.flush(),
            VIRTIO_BLK_T_GET_ID => {
                chain.put(&self.serial);
                Ok(())
            }
            VIRTIO_BLK_T_DISCARD => self.ranges(chain, 0, |image, at, len, _| image.discard(at, len)),
            VIRTIO_BLK_T_WRITE_ZEROES => {
                let unmap = VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
                self.ranges(chain, unmap, |image, at, len, flags| image.write_zeroes(at, len, flags & unmap != 0))
            }
            _ => Err(Refusal::Unsupported),
        }
    }

    /// The offset in bytes of a transfer of `data`, when all of it is on the disk (virtio 1.2, 5.2.6.2).
    fn place(&self, sector: u64, data: &[Slice]) -> Result<u64, Refusal> {
        let len: u64 = data.iter().map(|s| s.len() as u64).sum();
        if !len.is_multiple_of(SECTOR) || len > u64::from(SEGMENTS) * u64::from(SEGMENT) {
            return Err(Refusal::Invalid);
        }
        self.inside(sector, len)
    }

    fn inside(&self, sector: u64, len: u64) -> Result<u64, Refusal> {
        let at = sector.checked_mul(SECTOR).ok_or(Refusal::Invalid)?;
        let end = at.checked_add(len).ok_or(Refusal::Invalid)?;
        if end <= self.image.size() { Ok(at) } else { Err(Refusal::Invalid) }
    }

    /// Does `op` with each range of a discard or write-zeroes request. All of them are checked first.
    fn ranges(
        &mut self,
        chain: &mut Chain,
        known_flags: u32,
        op: impl Fn(&dyn Image, u64, u64, u32) -> io::Result<()>,
    ) -> Result<(), Refusal> {
        self.may_write()?;
        let len = chain.sizes().0;
        if len == 0 || !len.is_multiple_of(RANGE_BYTES) || len > RANGES * RANGE_BYTES {
            return Err(Refusal::Invalid);
        }
        let mut todo = Vec::with_capacity(len / RANGE_BYTES);
        for _ in 0..len / RANGE_BYTES {
            // le64 sector, le32 num_sectors, le32 flags
            let raw = u128::from_le_bytes(chain.take().map_err(|_| Refusal::Invalid)?);
            let (sector, sectors, flags) = (raw as u64, (raw >> 64) as u32, (raw >> 96) as u32);
            if flags & !known_flags != 0 {
                return Err(Refusal::Unsupported);
            }
            if sectors > RANGE {
                return Err(Refusal::Invalid);
            }
            let len = u64::from(sectors) * SECTOR;
            todo.push((self.inside(sector, len)?, len, flags));
        }
        for (at, len, flags) in todo {
            op(self.image.as_ref(), at, len, flags).map_err(|e| Refusal::Io("discard or zero", e))?;
        }
        self.settle()
    }

    fn may_write(&self) -> Result<(), Refusal> {
        if self.readonly { Err(Refusal::Invalid) } else { Ok(()) }
    }

    /// After a write.
    fn settle(&mut self) -> Result<(), Refusal> {
        if self.writeback { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        if self.readonly || self.cache == Cache::Unsafe {
            return Ok(());
        }
        self.image.flush().map_err(|e| Refusal::Io("flush", e))
    }

    /// The guest can repeat a failing request for ever; the log gets the first.
    fn complain(&mut self, what: &str, e: &io::Error) {
        let hint = match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; the guest sees I/O errors until there is room again",
            _ => "; the guest sees an I/O error",
        };
        if !std::mem::replace(&mut self.complained, true) {
            log::error!("{what} the disk image: {e}{hint}");
        }
    }
}

impl Device for Disk {
    fn id(&self) -> u32 {
        2
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; usize::from(self.queues)]
    }

    fn features(&self) -> u64 {
        let mut bits = vec![
            VIRTIO_BLK_F_SIZE_MAX,
            VIRTIO_BLK_F_SEG_MAX,
            VIRTIO_BLK_F_BLK_SIZE,
            VIRTIO_BLK_F_TOPOLOGY,
            VIRTIO_BLK_F_FLUSH,
            VIRTIO_BLK_F_CONFIG_WCE,
        ];
        if self.queues > 1 {
            bits.push(VIRTIO_BLK_F_MQ);
        }
        match self.readonly {
            true => bits.push(VIRTIO_BLK_F_RO),
            false => bits.extend([VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_WRITE_ZEROES]),
        }
        bits.iter().fold(0, |all, bit| all | 1 << bit)
    }

    /// struct virtio_blk_config (virtio 1.2, 5.2.4).
    fn config(&self) -> Vec<u8> {
        let block = (self.image.physical_block() / SECTOR as u32).max(1);
        let mut c = Vec::with_capacity(60);
        c.extend((self.image.size() / SECTOR).to_le_bytes()); // capacity
        c.extend(SEGMENT.to_le_bytes()); // size_max
        c.extend(SEGMENTS.to_le_bytes()); // seg_max
        c.extend([0; 4]); // geometry
        c.extend((SECTOR as u32).to_le_bytes()); // blk_size
        c.extend([block.ilog2() as u8, 0]); // physical_block_exp, alignment_offset
        c.extend(1u16.to_le_bytes()); // min_io_size, in blocks
        c.extend(0u32.to_le_bytes()); // opt_io_size
        c.extend([u8::from(self.writeback), 0]); // writeback, unused0
        c.extend(self.queues.to_le_bytes()); // num_queues
        c.extend(RANGE.to_le_bytes()); // max_discard_sectors
        c.extend((RANGES as u32).to_le_bytes()); // max_discard_seg
        c.extend(block.to_le_bytes()); // discard_sector_alignment
        c.extend(RANGE.to_le_bytes()); // max_write_zeroes_sectors
        c.extend((RANGES as u32).to_le_bytes()); // max_write_zeroes_seg
        c.extend([1, 0, 0, 0]); // write_zeroes_may_unmap, unused1
        c
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        // virtio 1.2, 5.2.6.2: a driver that knows of no cache must not be given one.
        if !io.has(VIRTIO_BLK_F_FLUSH) && !io.has(VIRTIO_BLK_F_CONFIG_WCE) {
            self.writeback = self.cache == Cache::Unsafe;
        }
        Ok(())
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        let Some(queue) = io.queues.get_mut(queue) else { return Ok(()) };
        queue.serve(|chain| self.answer(chain))
    }

    fn config_written(&mut self, at: usize, data: &[u8], config: &ConfigSpace, _io: Option<&mut Io>) {
        if let (WRITEBACK_AT, &[value @ (0 | 1)]) = (at, data) {
            self.writeback = value == 1;
            config.store(at, data);
        }
    }

    fn reset(&mut self) {
        self.writeback = self.cache != Cache::Writethrough;
    }
}

/// Takes the last byte of the writable part away, wherever it lies.
fn split_status(writable: &mut Vec<Slice>) -> Option<Slice> {
    while writable.last()?.is_empty() {
        writable.pop();
    }
    let last = writable.pop()?;
    let before = last.len().checked_sub(1)?;
    writable.push(last.take(before));
    Some(last.skip(before))
}

#[cfg(test)]
mod tests;
