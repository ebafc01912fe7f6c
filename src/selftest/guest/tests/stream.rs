//! Entropy and the console.

use crate::cpu::Page;
use crate::virtio::{self, Buffer, Device, EVENT_IDX, INDIRECT, console::Console, rng::Rng};
use crate::{Context, Result, agreed, ensure, rt, time};
use alloc::format;
use alloc::vec::Vec;

/// Fills of several sizes: each different, none constant, each with an interrupt of its own.
fn entropy(rng: &mut Rng) -> Result {
    let bytes = rt::pages(8192, 4096);
    for len in [1, 16, 64, 4096] {
        let used = rng.queue.request_by_interrupt(&[Buffer::into(&mut bytes[..len])])? as usize;
        ensure!((1..=len).contains(&used), "{used} bytes of {len} were given");
    }
    let (first, second) = bytes.split_at_mut(4096);
    rng.fill(first)?;
    rng.fill(second)?;
    ensure!(first != second, "two fills are the same");
    for half in [first, second] {
        let ones: u32 = half.iter().map(|b| b.count_ones()).sum();
        // 32768 fair bits: a deviation of 20 sigma does not happen.
        ensure!(ones.abs_diff(16384) < 1810, "{ones} bits of 32768 are ones");
    }
    Ok(())
}

pub fn rng(context: &mut Context) -> Result {
    let mut rng = Rng::open(context, 0)?;
    entropy(&mut rng)?;
    let pieces = rt::pages(300, 16);
    let (a, rest) = pieces.split_at_mut(1);
    let (b, c) = rest.split_at_mut(99);
    let used = rng.queue.request(&[Buffer::into(a), Buffer::into(b), Buffer::into(c)])?;
    ensure!((1..=300).contains(&used), "{used} bytes of 300 in three pieces");
    // Around the ring more than once.
    let mut byte = [0; 8];
    for _ in 0..2 * rng.queue.size {
        rng.fill(&mut byte)?;
    }
    Ok(())
}

pub fn rng_indirect(context: &mut Context) -> Result {
    let mut rng = Rng::open(context, INDIRECT | EVENT_IDX)?;
    ensure!(rng.device.has(INDIRECT) && rng.device.has(EVENT_IDX), "features {:#x} only", rng.device.features);
    entropy(&mut rng)?;
    let pieces = rt::pages(16 * 32, 16);
    let mut chain = [Buffer { at: 0, len: 0, write: true }; 16];
    for (buffer, piece) in chain.iter_mut().zip(pieces.chunks_mut(32)) {
        *buffer = Buffer::into(piece);
    }
    for _ in 0..rng.queue.size {
        let used = rng.queue.request(&chain)?;
        ensure!((1..=512).contains(&used), "{used} bytes of 512");
    }
    Ok(())
}

/// After a reset the device leaves memory alone and works again from the start.
pub fn rng_reset(context: &mut Context) -> Result {
    let bytes = rt::pages(64, 16);
    for _ in 0..3 {
        let mut rng = Rng::open(context, 0)?;
        rng.fill(bytes)?;
        let transport = &*rng.device.transport;
        virtio::reset(transport)?;
        bytes.fill(0);
        rng.queue.add(&[Buffer::into(bytes)])?;
        rng.queue.kick();
        time::delay(2000);
        ensure!(!rng.queue.has_used(), "the device answers after its reset");
        // SAFETY: the device may have changed it behind the compiler's back.
        let touched = (0..64).any(|i| unsafe { bytes.as_ptr().add(i).read_volatile() } != 0);
        ensure!(!touched, "the device wrote memory after its reset");
    }
    Ok(())
}

/// A device that meets a broken ring stops, says so, and works again after a reset (virtio 1.2, 2.1.1, 2.1.2).
pub fn rng_broken(context: &mut Context) -> Result {
    const NOWHERE: u64 = 0xffff_ffff_ffff_0000;
    for at in [NOWHERE, 0xfee0_0000, !0 - 7] {
        let mut device = Device::new(virtio::first(context, 4)?, 0)?;
        let changed = device.transport.config_vector()?;
        let before = Page::boot().count(changed);
        let mut rng = Rng::begin(device)?;
        rng.queue.add(&[Buffer { at, len: 64, write: true }])?;
        rng.queue.kick();
        let transport = &rng.device.transport;
        let told = time::spin(|| transport.status() & virtio::NEEDS_RESET != 0);
        ensure!(told, "a buffer at {at:#x} leaves the status at {:#x}", transport.status());
        ensure!(crate::pci::interrupted(changed, before), "no interrupt tells that the device needs a reset");
    }
    Rng::open(context, 0)?.fill(&mut [0; 64])
}

/// A driver may do without interrupts (2.7.7).
pub fn rng_quiet(context: &mut Context) -> Result {
    for features in [0, EVENT_IDX] {
        let mut rng = Rng::open(context, features)?;
        let page = Page::boot();
        let bytes = rt::pages(64, 16);
        rng.queue.request_by_interrupt(&[Buffer::into(bytes)])?;
        rng.queue.set_interrupts(false);
        let before = page.count(rng.queue.vector);
        for _ in 0..10 {
            rng.queue.add(&[Buffer::into(bytes)])?;
            rng.queue.kick();
            ensure!(time::spin(|| rng.queue.has_used()), "no answer without interrupts");
            rng.queue.pop()?;
        }
        time::delay(2000);
        let came = page.count(rng.queue.vector) - before;
        ensure!(came == 0, "{came} interrupts that nobody asked for");
        rng.queue.set_interrupts(true);
        rng.queue.request_by_interrupt(&[Buffer::into(bytes)])?;
    }
    Ok(())
}

/// The host's half compares what comes out.
pub fn console_output(context: &mut Context) -> Result {
    let mut console = Console::open(context)?;
    console.write(agreed::CONSOLE_TEXT)?;
    let text: Vec<u8> = (0..agreed::CONSOLE_LONG).map(agreed::console_byte).collect();
    console.write(&text)?;
    console.write(b"\n")
}

/// The host's half answers `send N` with `ping N`.
pub fn console_input(context: &mut Context) -> Result {
    let mut console = Console::open(context)?;
    for n in 0..agreed::CONSOLE_TURNS {
        console.write(format!("send {n}\n").as_bytes())?;
        let want = format!("ping {n}\n");
        let mut got = Vec::new();
        while got.len() < want.len() {
            got.extend(console.read()?);
        }
        ensure!(got == want.as_bytes(), "{} came, not {want:?}", got.escape_ascii());
    }
    Ok(())
}
