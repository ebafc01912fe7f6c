//! The disk: agreed.rs says what it holds, before and after.

use crate::agreed::{self, Part};
use crate::cpu::Page;
use crate::virtio::blk::*;
use crate::virtio::{Buffer, EVENT_IDX, INDIRECT};
use crate::{Context, Result, ensure, note, pci, rt};
use alloc::vec::Vec;

pub fn identity(context: &mut Context) -> Result {
    let mut blk = Blk::open(context, 0)?;
    ensure!(blk.capacity * SECTOR == agreed::DISK, "{} sectors", blk.capacity);
    let name = rt::pages(20, 16);
    let (status, _) = blk.request(0, GET_ID, 0, &[Buffer::into(name)])?;
    ensure!(status == OK, "asking for the name gives status {status}");
    let len = name.iter().position(|b| *b == 0).unwrap_or(20);
    ensure!(&name[..len] == agreed::SERIAL.as_bytes(), "it is called {:?}", core::str::from_utf8(&name[..len]));
    note!("{} queues, features {:#x}", blk.queues.len(), blk.device.features);
    Ok(())
}

fn check(blk: &mut Blk, queue: usize, part: &Part, piece: usize) -> Result {
    let bytes = rt::pages(piece, 4096);
    for at in (part.at..part.at + part.len).step_by(piece) {
        bytes.fill(0xa5);
        blk.read(queue, at / SECTOR, bytes)?;
        let wrong = agreed::difference(part.pattern, at, bytes);
        ensure!(wrong.is_none(), "byte {:#x} of the disk is wrong", wrong.unwrap_or(0));
    }
    Ok(())
}

pub fn given(context: &mut Context) -> Result {
    let mut blk = Blk::open(context, 0)?;
    check(&mut blk, 0, &agreed::GIVEN, 65536)?;
    let one = Part { at: 512, len: 512 * 7, pattern: agreed::GIVEN.pattern };
    check(&mut blk, 0, &one, 512)
}

/// Requests of 128 KiB in seven pieces of odd lengths.
pub fn large(context: &mut Context) -> Result {
    const LEN: usize = 128 << 10;
    let mut blk = Blk::open(context, INDIRECT)?;
    let page = Page::boot();
    let Part { at: start, len, pattern } = agreed::LARGE;
    let bytes = rt::pages(LEN, 4096);
    let cuts = [0, 512, 513, 4096, 4100, 40_000, 131_000, LEN];
    for at in (start..start + len).step_by(LEN) {
        let before = page.count(blk.queues[0].vector);
        agreed::fill(pattern, at, bytes);
        let pieces: Vec<Buffer> = cuts.windows(2).map(|c| Buffer::out(&bytes[c[0]..c[1]])).collect();
        let (status, used) = blk.request(0, OUT, at / SECTOR, &pieces)?;
        ensure!(status == OK && used == 1, "writing gives status {status}, length {used}");
        ensure!(pci::interrupted(blk.queues[0].vector, before), "no interrupt");
        bytes.fill(0);
        let mut pieces = Vec::new();
        for c in cuts.windows(2) {
            pieces.push(Buffer::into(&mut bytes[c[0]..c[1]]));
        }
        let (status, used) = blk.request(0, IN, at / SECTOR, &pieces)?;
        ensure!(status == OK && used as usize == LEN + 1, "reading gives status {status}, length {used}");
        let wrong = agreed::difference(pattern, at, bytes);
        ensure!(wrong.is_none(), "byte {:#x} of the disk is wrong", wrong.unwrap_or(0));
    }
    check(&mut blk, 0, &agreed::LARGE, 1 << 20)
}

/// 32 pages under way at the same time, in no order, with event indices.
pub fn small(context: &mut Context) -> Result {
    const PAGE: usize = 4096;
    const DEPTH: usize = 32;
    let mut blk = Blk::open(context, INDIRECT | EVENT_IDX)?;
    let Part { at: start, len, pattern } = agreed::SMALL;
    let count = len as usize / PAGE;
    let buffers = rt::pages(DEPTH * PAGE, PAGE);
    for kind in [OUT, IN] {
        let (mut next, mut done) = (0, 0);
        let mut flying: Vec<(Ticket, usize, u64)> = Vec::new();
        let mut free: Vec<usize> = (0..DEPTH).collect();
        while done < count {
            while next < count && !free.is_empty() {
                let Some(slot) = free.pop() else { break };
                // 101 is prime to the number of pages, so each comes once.
                let at = start + (next * 101 % count * PAGE) as u64;
                let buffer = &mut buffers[slot * PAGE..][..PAGE];
                match kind {
                    OUT => agreed::fill(pattern, at, buffer),
                    _ => buffer.fill(0),
                }
                let data = if kind == OUT { Buffer::out(buffer) } else { Buffer::into(buffer) };
                flying.push((blk.submit(0, slot, kind, at / SECTOR, &[data])?, slot, at));
                next += 1;
            }
            blk.queues[0].kick();
            let mut used = Some(blk.queues[0].wait()?);
            while let Some(u) = used {
                let place = flying.iter().position(|(ticket, ..)| ticket.head == u.head);
                let Some(place) = place else { return Err("an answer to no request".into()) };
                let (ticket, slot, at) = flying.swap_remove(place);
                ensure!(blk.status(&ticket) == OK, "a request at {at:#x} gives status {}", blk.status(&ticket));
                let wrong = agreed::difference(pattern, at, &buffers[slot * PAGE..][..PAGE]);
                ensure!(wrong.is_none(), "byte {:#x} of the disk is wrong", wrong.unwrap_or(0));
                free.push(slot);
                done += 1;
                used = blk.queues[0].pop()?;
            }
        }
    }
    note!("{} kicks for {} requests", blk.queues[0].kicks, 2 * count);
    Ok(())
}

/// Each queue writes a piece and reads it back, and interrupts with its own vector.
pub fn queues(context: &mut Context) -> Result {
    const PIECE: usize = 64 << 10;
    let mut blk = Blk::open(context, 0)?;
    let bytes = rt::pages(PIECE, 4096);
    for queue in 0..blk.queues.len().min(16) {
        let at = agreed::QUEUES.at + (queue * PIECE) as u64;
        let vector = blk.queues[queue].vector;
        let before = Page::boot().count(vector);
        agreed::fill(agreed::QUEUES.pattern, at, bytes);
        blk.write(queue, at / SECTOR, bytes)?;
        ensure!(pci::interrupted(vector, before), "no interrupt of queue {queue}");
        check(&mut blk, queue, &Part { at, len: PIECE as u64, pattern: agreed::QUEUES.pattern }, PIECE)?;
    }
    Ok(())
}

pub fn special(context: &mut Context) -> Result {
    let mut blk = Blk::open(context, 0)?;
    ensure!(blk.device.has(FLUSH), "flush is not offered");
    let put = |blk: &mut Blk, part: &Part| -> Result {
        let bytes = rt::pages(part.len as usize, 4096);
        agreed::fill(part.pattern, part.at, bytes);
        blk.write(0, part.at / SECTOR, bytes)
    };
    put(&mut blk, &agreed::LAST)?;
    put(&mut blk, &agreed::DISCARDED)?;
    blk.flush()?;
    check(&mut blk, 0, &agreed::LAST, 4096)?;
    let Part { at, len, .. } = agreed::ZEROED;
    if blk.device.has(WRITE_ZEROES) {
        let status = blk.range(TYPE_WRITE_ZEROES, at / SECTOR, (len / SECTOR) as u32, 0)?;
        ensure!(status == OK, "write zeroes gives status {status}");
    } else {
        put(&mut blk, &agreed::ZEROED)?;
    }
    check(&mut blk, 0, &agreed::ZEROED, 65536)?;
    for (at, len) in [(at - 4096, 4096), (at + len, 4096)] {
        check(&mut blk, 0, &Part { at, len, pattern: agreed::LARGE.pattern }, 4096)?;
    }
    if blk.device.has(DISCARD) {
        let Part { at, len, .. } = agreed::DISCARDED;
        let status = blk.range(TYPE_DISCARD, at / SECTOR, (len / SECTOR) as u32, 0)?;
        ensure!(status == OK, "discard gives status {status}");
        let status = blk.range(TYPE_DISCARD, at / SECTOR, 8, 1)?;
        ensure!(status == UNSUPP, "discard with the unmap flag gives status {status}");
        check(&mut blk, 0, &Part { at: at - 4096, len: 4096, pattern: 0 }, 4096)?;
        check(&mut blk, 0, &Part { at: at + len, len: 4096, pattern: 0 }, 4096)?;
    }
    blk.flush()
}

/// What a disk must refuse, and that it works on afterwards.
pub fn errors(context: &mut Context) -> Result {
    let mut blk = Blk::open(context, 0)?;
    let end = blk.capacity;
    let page = rt::pages(4096, 4096);
    for (what, kind, sector) in [
        ("reading behind the end", IN, end),
        ("reading across the end", IN, end - 1),
        ("writing behind the end", OUT, end),
        ("writing across the end", OUT, end - 7),
        ("reading at sector 2^55", IN, 1 << 55),
        ("writing at the last sector number", OUT, u64::MAX),
    ] {
        let data = if kind == IN { Buffer::into(page) } else { Buffer::out(page) };
        let (status, _) = blk.request(0, kind, sector, &[data])?;
        ensure!(status == IOERR, "{what} gives status {status}");
    }
    let (status, _) = blk.request(0, 77, 0, &[Buffer::into(page)])?;
    ensure!(status == UNSUPP, "a request of type 77 gives status {status}");
    if blk.device.has(WRITE_ZEROES) {
        let status = blk.range(TYPE_WRITE_ZEROES, end - 1, 2, 0)?;
        ensure!(status == IOERR, "write zeroes across the end gives status {status}");
    }
    ensure!(!blk.queues[0].has_used(), "there is an answer to nothing");
    check(&mut blk, 0, &agreed::LAST, 4096)
}
