//! A guest that writes to its disk without end, or a given number of times; and what the disk holds after that.
#![allow(dead_code)]

use crate::support::{BASE, HALT, guest, out16};

/// The first window of `--transport mmio`, and the registers of a block device there (virtio 1.2, 4.2.2).
const WINDOW: u32 = 0xf000_0000;
const QUEUE: u32 = 64;
/// Where, from [`BASE`] on, the queue and the requests lie.
const DESCRIPTORS: usize = 0x1000;
const AVAILABLE: usize = 0x1400;
const USED: usize = 0x1600;
const HEADERS: usize = 0x2000;
const STATUSES: usize = 0x2400;
const DATA: usize = 0x3000;
/// ACPI S5: SLP_TYP 5, SLP_EN in the PM1a control block.
const S5: u16 = 5 << 10 | 1 << 13;

/// Bytes of a write.
pub const LEN: usize = 4096;
/// Writes of a batch; a flush is the last request of each.
pub const WRITES: usize = 15;
/// What the guest prints after a batch that was served, and after one that was not.
pub const SERVED: u8 = b'.';
pub const FAILED: u8 = b'!';

/// Batches of writes, each to places of its own on a disk of `sectors` (a power of two).
#[derive(Clone, Copy)]
pub struct Writer {
    pub sectors: u32,
    pub seed: u32,
    /// Batches until the guest powers off; 0: none.
    pub batches: u32,
}

impl Writer {
    fn mask(&self) -> u32 {
        (self.sectors - 1) & !(LEN as u32 / 512 - 1)
    }

    /// Where the `n`th request of the first batch writes, and how far on that of the next batch does.
    fn place(&self, n: usize) -> (u32, u32) {
        let start = self.seed.wrapping_mul(0x9e37_79b1).wrapping_add((n as u32).wrapping_mul(0x85eb_ca77));
        (start & self.mask(), (0x2545_f491u32.wrapping_mul(n as u32 + 1) | 8) & self.mask())
    }

    /// The guest's program.
    pub fn guest(&self) -> Vec<u8> {
        let (avail, used) = (BASE as u32 + AVAILABLE as u32, BASE as u32 + USED as u32);
        let mut code = Vec::new();
        let set = |code: &mut Vec<u8>, register: u32, value: u32| mov(code, WINDOW + register, value);
        // 3.1.1: the driver is there, wants VIRTIO_BLK_F_FLUSH and VIRTIO_F_VERSION_1, and has one queue.
        for (register, value) in [
            (0x70, 0),
            (0x70, 1),
            (0x70, 3),
            (0x24, 0),
            (0x20, 1 << 9),
            (0x24, 1),
            (0x20, 1),
            (0x70, 11),
            (0x30, 0),
            (0x38, QUEUE),
            (0x80, BASE as u32 + DESCRIPTORS as u32),
            (0x84, 0),
            (0x90, avail),
            (0x94, 0),
            (0xa0, used),
            (0xa4, 0),
            (0x44, 1),
            (0x70, 15),
        ] {
            set(&mut code, register, value);
        }
        // mov ebx, batches; mov edx, 0x3f8
        code.push(0xbb);
        code.extend(self.batches.to_le_bytes());
        code.extend([0xba, 0xf8, 0x03, 0, 0]);
        let again = code.len();
        // add word [avail.idx], 16
        code.extend([0x66, 0x83, 0x05]);
        code.extend((avail + 2).to_le_bytes());
        code.push(WRITES as u8 + 1);
        set(&mut code, 0x50, 0);
        // mov ax, [used.idx]; cmp ax, [avail.idx]; jne back
        code.extend([0x66, 0xa1]);
        code.extend((used + 2).to_le_bytes());
        code.extend([0x66, 0x3b, 0x05]);
        code.extend((avail + 2).to_le_bytes());
        code.extend([0x75, 0xf1]);
        // mov ecx, [the statuses]; or ecx, [the next four] ...; mov al, '!'; jnz over: mov al, '.'; out dx, al
        let statuses = BASE as u32 + STATUSES as u32;
        code.extend([0x8b, 0x0d]);
        code.extend(statuses.to_le_bytes());
        for n in 1..4 {
            code.extend([0x0b, 0x0d]);
            code.extend((statuses + 4 * n).to_le_bytes());
        }
        code.extend([0xb0, FAILED, 0x75, 0x02, 0xb0, SERVED, 0xee]);
        // What is written tells its batch: inc dword [data]. Each write goes on to its next place: add and and dword [sector], value
        code.extend([0xff, 0x05]);
        code.extend((BASE as u32 + DATA as u32).to_le_bytes());
        for n in 0..WRITES {
            let sector = BASE as u32 + HEADERS as u32 + 16 * n as u32 + 8;
            for (op, value) in [(0x05, self.place(n).1), (0x25, self.mask())] {
                code.extend([0x81, op]);
                code.extend(sector.to_le_bytes());
                code.extend(value.to_le_bytes());
            }
        }
        // dec ebx; jnz again
        code.extend([0x4b, 0x0f, 0x85]);
        let next = code.len() + 4;
        code.extend((again as i32 - next as i32).to_le_bytes());
        code.extend(out16(0x604, S5));
        code.extend(HALT);
        assert!(code.len() <= DESCRIPTORS);
        code.resize(DATA, 0);
        self.queue(&mut code);
        code.extend((0..LEN).map(|at| if at < 4 { 0 } else { pattern(at) }));
        guest(&code)
    }

    /// Chains of a header, data and a status, and one of a flush; the ring has them all, again and again.
    fn queue(&self, image: &mut [u8]) {
        let mut descriptors = Vec::new();
        let mut heads = Vec::new();
        for n in 0..=WRITES {
            let at = descriptors.len() / 16;
            heads.push(at as u16);
            let write = n < WRITES;
            let mut put = |address: usize, len: u32, flags: u16| {
                let next = (descriptors.len() / 16 + 1) as u16;
                descriptors.extend((BASE + address as u64).to_le_bytes());
                descriptors.extend(len.to_le_bytes());
                descriptors.extend(flags.to_le_bytes());
                descriptors.extend((if flags & 1 == 0 { 0 } else { next }).to_le_bytes());
            };
            put(HEADERS + 16 * n, 16, 1);
            if write {
                put(DATA, LEN as u32, 1);
            }
            put(STATUSES + n, 1, 2);
            let (kind, sector) = if write { (1u32, self.place(n).0) } else { (4, 0) };
            image[HEADERS + 16 * n..][..4].copy_from_slice(&kind.to_le_bytes());
            image[HEADERS + 16 * n + 8..][..4].copy_from_slice(&sector.to_le_bytes());
        }
        assert!(descriptors.len() / 16 <= QUEUE as usize);
        image[DESCRIPTORS..][..descriptors.len()].copy_from_slice(&descriptors);
        for slot in 0..QUEUE as usize {
            image[AVAILABLE + 4 + 2 * slot..][..2].copy_from_slice(&heads[slot % heads.len()].to_le_bytes());
        }
    }

    /// Does to `disk` what the guest does to its own.
    pub fn replay(&self, disk: &mut [u8]) {
        for batch in 0..self.batches {
            for n in 0..WRITES {
                let (start, stride) = self.place(n);
                let sector = start.wrapping_add(stride.wrapping_mul(batch)) & self.mask();
                let to = &mut disk[sector as usize * 512..][..LEN];
                to.iter_mut().zip(0..).for_each(|(byte, at)| *byte = pattern(at));
                to[..4].copy_from_slice(&batch.to_le_bytes());
            }
        }
    }
}

fn pattern(at: usize) -> u8 {
    (at * 7 + at / 256) as u8 | 1
}

/// mov dword [address], value
fn mov(code: &mut Vec<u8>, address: u32, value: u32) {
    code.extend([0xc7, 0x05]);
    code.extend(address.to_le_bytes());
    code.extend(value.to_le_bytes());
}
