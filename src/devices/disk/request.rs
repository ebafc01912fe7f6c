//! One request of the driver (virtio 1.2, 5.2.6): taken apart, checked, and answered.

use crate::host::image::SECTOR;
use crate::mem::Slice;
use crate::virtio::{Chain, Queue};
use anyhow::{Context, Result};
use virtio_bindings::virtio_blk::*;

/// Segments of a request: what a queue of the largest size holds without the header and the status.
pub const SEGMENTS: u32 = super::QUEUE_SIZE as u32 - 2;
/// Bytes of a segment. With [`SEGMENTS`] it bounds how much one request can move.
pub const SEGMENT: u32 = 4 << 20;
/// Sectors in one segment of a discard or write-zeroes request (256 MiB).
pub const RANGE: u32 = 1 << 19;
/// Segments in one discard or write-zeroes request.
pub const RANGES: usize = 16;
/// Bytes of a struct virtio_blk_discard_write_zeroes.
const RANGE_BYTES: usize = 16;

/// What there is to ask for.
pub struct Limits {
    /// Bytes of the disk.
    pub size: u64,
    pub readonly: bool,
    pub serial: [u8; VIRTIO_BLK_ID_BYTES as usize],
}

pub enum Work {
    /// To and from [`Request::data`].
    Read {
        at: u64,
    },
    Write {
        at: u64,
    },
    Flush,
    Discard(Vec<Range>),
    Zero(Vec<Range>),
    /// Nothing is left to be done, or it may not be done: this is the status.
    Answer(u32),
}

#[derive(Debug, Clone, Copy)]
pub struct Range {
    pub at: u64,
    pub len: u64,
    pub may_unmap: bool,
}

pub struct Request {
    /// Which queue it came by.
    pub queue: usize,
    pub work: Work,
    pub data: Vec<Slice>,
    chain: Chain,
    status: Slice,
    written: u32,
}

/// Why a request is not served.
enum Refusal {
    Unsupported,
    /// The request makes no sense, or asks for what may not be done.
    Invalid,
}

impl Request {
    /// Takes `chain` apart. Nothing has been done for it yet. An error means that there is no place for the answer.
    pub fn new(queue: usize, mut chain: Chain, limits: &Limits) -> Result<Request> {
        let status = split_status(&mut chain.writable).context("a request has no room for its status")?;
        // Everything is answered with all of the writable part used: the status is its last byte.
        let written = chain.sizes().1.saturating_add(1);
        let written = u32::try_from(written).unwrap_or(u32::MAX);
        let mut data = Vec::new();
        let work = match limits.look_into(&mut chain, &mut data) {
            Ok(work) => work,
            Err(Refusal::Unsupported) => Work::Answer(VIRTIO_BLK_S_UNSUPP),
            Err(Refusal::Invalid) => Work::Answer(VIRTIO_BLK_S_IOERR),
        };
        Ok(Request { queue, work, data, chain, status, written })
    }

    /// Gives it back to the driver, without a signal; what is left can be used again.
    pub fn answer(mut self, status: u32, queue: &mut Queue) -> Result<Chain> {
        self.status.fill(status as u8);
        queue.push(&self.chain, self.written)?;
        // The larger of the vectors is worth keeping.
        if self.chain.writable.capacity() < self.data.capacity() {
            self.chain.writable = self.data;
        }
        Ok(self.chain)
    }
}

impl Limits {
    fn look_into(&self, chain: &mut Chain, data: &mut Vec<Slice>) -> Result<Work, Refusal> {
        // struct virtio_blk_req: le32 type, le32 reserved, le64 sector
        let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = chain.take::<16>().map_err(|_| Refusal::Invalid)?;
        let sector = u64::from_le_bytes(sector);
        match u32::from_le_bytes([t0, t1, t2, t3]) {
            VIRTIO_BLK_T_IN => {
                *data = std::mem::take(&mut chain.writable);
                Ok(Work::Read { at: self.place(sector, data)? })
            }
            VIRTIO_BLK_T_OUT => {
                self.may_write()?;
                *data = std::mem::take(&mut chain.readable);
                Ok(Work::Write { at: self.place(sector, data)? })
            }
            VIRTIO_BLK_T_FLUSH => Ok(Work::Flush),
            VIRTIO_BLK_T_GET_ID => {
                chain.put(&self.serial);
                Ok(Work::Answer(VIRTIO_BLK_S_OK))
            }
            VIRTIO_BLK_T_DISCARD => Ok(Work::Discard(self.ranges(chain, 0)?)),
            VIRTIO_BLK_T_WRITE_ZEROES => Ok(Work::Zero(self.ranges(chain, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)?)),
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
        if end <= self.size { Ok(at) } else { Err(Refusal::Invalid) }
    }

    /// The ranges of a discard or write-zeroes request.
    fn ranges(&self, chain: &mut Chain, known_flags: u32) -> Result<Vec<Range>, Refusal> {
        self.may_write()?;
        let len = chain.sizes().0;
        if len == 0 || !len.is_multiple_of(RANGE_BYTES) || len > RANGES * RANGE_BYTES {
            return Err(Refusal::Invalid);
        }
        let mut ranges = Vec::with_capacity(len / RANGE_BYTES);
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
            let may_unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0;
            ranges.push(Range { at: self.inside(sector, len)?, len, may_unmap });
        }
        Ok(ranges)
    }

    fn may_write(&self) -> Result<(), Refusal> {
        if self.readonly { Err(Refusal::Invalid) } else { Ok(()) }
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
