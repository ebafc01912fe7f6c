//! The block device (virtio 1.2, 5.2).

use super::{Buffer, Device, Queue, first};
use crate::{Context, Result, ensure, rt};
use alloc::vec::Vec;

pub const SIZE_MAX: u64 = 1 << 1;
pub const SEG_MAX: u64 = 1 << 2;
pub const RO: u64 = 1 << 5;
pub const FLUSH: u64 = 1 << 9;
pub const MQ: u64 = 1 << 12;
pub const DISCARD: u64 = 1 << 13;
pub const WRITE_ZEROES: u64 = 1 << 14;

/// Request types.
pub const IN: u32 = 0;
pub const OUT: u32 = 1;
pub const GET_ID: u32 = 8;
pub const TYPE_FLUSH: u32 = 4;
pub const TYPE_DISCARD: u32 = 11;
pub const TYPE_WRITE_ZEROES: u32 = 13;

/// Request statuses.
pub const OK: u8 = 0;
pub const IOERR: u8 = 1;
pub const UNSUPP: u8 = 2;

pub const SECTOR: u64 = 512;

pub struct Blk {
    pub device: Device,
    pub queues: Vec<Queue>,
    /// Sectors.
    pub capacity: u64,
    /// Header and status of each request in flight, at most one for each descriptor.
    slots: Vec<&'static mut [u8]>,
}

/// A request made available, to be recognized when it comes back.
pub struct Ticket {
    pub head: u16,
    slot: usize,
}

impl Blk {
    /// The first disk, with every queue it has, ready to work.
    pub fn open(context: &Context, extra: u64) -> Result<Blk> {
        let wanted = SIZE_MAX | SEG_MAX | RO | FLUSH | MQ | DISCARD | WRITE_ZEROES | extra;
        let mut device = Device::new(first(context, 2)?, wanted)?;
        let count = if device.has(MQ) { device.config16(34) } else { 1 };
        ensure!(count > 0, "the disk has no queue");
        let queues: Result<Vec<Queue>> = (0..count).map(|n| device.queue(n, 128)).collect();
        let queues = queues?;
        device.start()?;
        let capacity = device.config64(0);
        let slots = (0..128).map(|_| rt::pages(32, 16)).collect();
        Ok(Blk { device, queues, capacity, slots })
    }

    /// Makes a request available on `queue`, in a slot nobody else uses at the time.
    pub fn submit(&mut self, queue: usize, slot: usize, kind: u32, sector: u64, data: &[Buffer]) -> Result<Ticket> {
        let memory = &mut self.slots[slot];
        memory[..4].copy_from_slice(&kind.to_le_bytes());
        memory[4..8].fill(0);
        memory[8..16].copy_from_slice(&sector.to_le_bytes());
        memory[16] = 0xee;
        let (header, status) = memory.split_at_mut(16);
        let mut chain = Vec::with_capacity(16);
        chain.push(Buffer::out(header));
        chain.extend_from_slice(data);
        chain.push(Buffer::into(&mut status[..1]));
        let head = self.queues[queue].add(&chain)?;
        Ok(Ticket { head, slot })
    }

    /// The status of a request that has come back.
    pub fn status(&self, ticket: &Ticket) -> u8 {
        // SAFETY: the device wrote it behind the compiler's back.
        unsafe { (&raw const self.slots[ticket.slot][16]).read_volatile() }
    }

    /// One request from kick to interrupt: its status and the length the device says it wrote.
    pub fn request(&mut self, queue: usize, kind: u32, sector: u64, data: &[Buffer]) -> Result<(u8, u32)> {
        let ticket = self.submit(queue, 0, kind, sector, data)?;
        self.queues[queue].kick();
        let used = self.queues[queue].wait()?;
        ensure!(used.head == ticket.head, "the disk answered chain {}, not {}", used.head, ticket.head);
        Ok((self.status(&ticket), used.len))
    }

    pub fn read(&mut self, queue: usize, sector: u64, data: &mut [u8]) -> Result {
        let len = data.len() as u32;
        let (status, used) = self.request(queue, IN, sector, &[Buffer::into(data)])?;
        ensure!(status == OK, "reading {len} bytes at sector {sector} gives status {status}");
        ensure!(used == len + 1, "reading {len} bytes at sector {sector} says {used} were written");
        Ok(())
    }

    pub fn write(&mut self, queue: usize, sector: u64, data: &[u8]) -> Result {
        let (status, used) = self.request(queue, OUT, sector, &[Buffer::out(data)])?;
        ensure!(status == OK, "writing {} bytes at sector {sector} gives status {status}", data.len());
        ensure!(used == 1, "writing at sector {sector} says {used} bytes were written");
        Ok(())
    }

    pub fn flush(&mut self) -> Result {
        let (status, _) = self.request(0, TYPE_FLUSH, 0, &[])?;
        ensure!(status == OK, "flush gives status {status}");
        Ok(())
    }

    /// Discard or write-zeroes of one segment (5.2.6): its status.
    pub fn range(&mut self, kind: u32, sector: u64, sectors: u32, flags: u32) -> Result<u8> {
        let mut segment = [0; 16];
        segment[..8].copy_from_slice(&sector.to_le_bytes());
        segment[8..12].copy_from_slice(&sectors.to_le_bytes());
        segment[12..].copy_from_slice(&flags.to_le_bytes());
        Ok(self.request(0, kind, 0, &[Buffer::out(&segment)])?.0)
    }
}
