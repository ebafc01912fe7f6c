//! The guest of tests/bench/disk: drives a virtio disk (PCI) as fast as it can be driven and says how fast that was.
//! Its set-up and drivers are those of the self-test's guest; the loop below allocates nothing and adds as little as it can.
//!
//! Command line: `bench=NAME:kind:bytes:depth:wait:millis,..` with kind `r`, `w` (at random) or `R`, `W` (in order), wait `poll` or `irq`.
//! For each a line `NAME requests nanoseconds kicks interrupts`.

#![no_std]
#![no_main]
#![allow(dead_code)]

extern crate alloc;

#[path = "../../src/selftest/guest"]
mod guest {
    pub mod acpi;
    pub mod apic;
    pub mod cpu;
    pub mod pci;
    pub mod port;
    pub mod rt;
    pub mod smp;
    pub mod start;
    pub mod tap;
    pub mod time;
    pub mod virtio;
}
use guest::*;

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{Ordering, fence};
use cpu::Page;
pub use start::Context;
use virtio::{Device, EVENT_IDX};

pub type Result<T = (), E = String> = core::result::Result<T, E>;

#[macro_export]
macro_rules! ensure {
    ($cond:expr, $($why:tt)*) => {
        if !$cond {
            return Err($crate::tap::text(format_args!($($why)*)));
        }
    };
}

#[unsafe(no_mangle)]
extern "C" fn main(info: u64, _: u64) -> ! {
    let context = start::begin(info);
    pci::place_bars();
    match run(&context) {
        Ok(()) => tap::exit(0),
        Err(why) => tap::bail(format_args!("{why}")),
    }
}

/// Requests that may be under way.
const SLOTS: u16 = 64;
/// Bytes of a request at most.
const LARGEST: usize = 1 << 20;
const NEXT: u64 = 1;
const WRITE: u64 = 2;

struct Disk {
    device: Device,
    vector: u8,
    doorbell: (u64, bool),
    size: u16,
    descriptors: *mut [u64; 2],
    available: *mut u16,
    used: *mut u16,
    headers: *mut [u64; 2],
    statuses: *mut u8,
    data: *mut u8,
    sectors: u64,
    next: u16,
    kicked: u16,
    seen: u16,
    kicks: u64,
}

impl Disk {
    fn open(context: &Context) -> Result<Disk> {
        let mut device = Device::new(virtio::first(context, 2)?, EVENT_IDX)?;
        ensure!(device.has(EVENT_IDX), "no event indices");
        let size = device.transport.queue_max(0).min(256);
        ensure!(size >= SLOTS * 3, "a queue of {size}");
        let n = usize::from(size);
        let descriptors = rt::pages(n * 16, 4096).as_mut_ptr();
        let available = rt::pages(6 + n * 2, 4096).as_mut_ptr();
        let used = rt::pages(6 + n * 8, 4096).as_mut_ptr();
        let vector = device.transport.set_queue(0, size, [descriptors as u64, available as u64, used as u64])?;
        device.start()?;
        let data = rt::pages(usize::from(SLOTS) * LARGEST, 4096).as_mut_ptr();
        Ok(Disk {
            doorbell: device.transport.doorbell(0),
            sectors: device.config64(0),
            device,
            vector,
            size,
            descriptors: descriptors.cast(),
            available: available.cast(),
            used: used.cast(),
            headers: rt::pages(usize::from(SLOTS) * 16, 4096).as_mut_ptr().cast(),
            statuses: rt::pages(SLOTS.into(), 4096).as_mut_ptr(),
            data,
            next: 0,
            kicked: 0,
            seen: 0,
            kicks: 0,
        })
    }

    /// Lays out the chains of all slots: header, data, status.
    fn lay_out(&mut self, write: bool, bytes: usize) {
        for slot in 0..usize::from(SLOTS) {
            let first = slot * 3;
            let flags = if write { 0 } else { WRITE };
            // SAFETY: the tables are ours and large enough, and the device has nothing at the time.
            unsafe {
                self.headers.add(slot).write_volatile([u64::from(write), 0]);
                let entry = |len: usize, flags: u64, next: usize| len as u64 | flags << 32 | (next as u64) << 48;
                let header = self.headers.add(slot) as u64;
                self.descriptors.add(first).write_volatile([header, entry(16, NEXT, first + 1)]);
                let data = self.data.add(slot * LARGEST) as u64;
                self.descriptors.add(first + 1).write_volatile([data, entry(bytes, NEXT | flags, first + 2)]);
                let status = self.statuses.add(slot) as u64;
                self.descriptors.add(first + 2).write_volatile([status, entry(1, WRITE, 0)]);
            }
        }
    }

    fn offer(&mut self, slot: u16, sector: u64) {
        // SAFETY: as above; the slot is ours at the time.
        unsafe {
            (*self.headers.add(slot.into()))[1] = sector;
            self.statuses.add(slot.into()).write_volatile(0xee);
            self.available.add(2 + usize::from(self.next % self.size)).write_volatile(slot * 3);
            self.next = self.next.wrapping_add(1);
            fence(Ordering::Release);
            self.available.add(1).write_volatile(self.next);
        }
    }

    fn kick(&mut self) {
        fence(Ordering::SeqCst);
        // SAFETY: the word behind the used ring's last element (avail_event).
        let event = unsafe { self.used.add(2 + usize::from(self.size) * 4).read_volatile() };
        let since = self.next.wrapping_sub(self.kicked);
        let needed = self.next.wrapping_sub(event).wrapping_sub(1) < since;
        self.kicked = self.next;
        if needed {
            self.kicks += 1;
            port::write16(self.doorbell.0, 0);
        }
    }

    fn has_used(&self) -> bool {
        // SAFETY: the used ring's index.
        unsafe { self.used.add(1).read_volatile() != self.seen }
    }

    /// The next slot that has come back.
    fn pop(&mut self) -> Result<u16> {
        fence(Ordering::Acquire);
        // SAFETY: inside the used ring.
        let id = unsafe { self.used.add(2 + usize::from(self.seen % self.size) * 4).cast::<u32>().read_volatile() };
        self.seen = self.seen.wrapping_add(1);
        let slot = (id / 3) as u16;
        ensure!(slot < SLOTS, "the device gave back {id}");
        // SAFETY: one byte for each slot.
        let status = unsafe { self.statuses.add(slot.into()).read_volatile() };
        ensure!(status == 0, "a request has status {status}");
        Ok(slot)
    }

    /// `quiet`: no interrupt.
    fn set_event(&mut self, quiet: bool) {
        let value = if quiet { self.seen.wrapping_sub(1 << 14) } else { self.seen };
        // SAFETY: the word behind the available ring's last element (used_event).
        unsafe { self.available.add(2 + usize::from(self.size)).write_volatile(value) };
        fence(Ordering::SeqCst);
    }
}

struct Job {
    name: &'static str,
    write: bool,
    random: bool,
    bytes: u64,
    depth: u16,
    poll: bool,
    millis: u64,
}

fn parse(text: &'static str) -> Result<Job> {
    let mut words = text.split(':');
    let mut word = || words.next().ok_or_else(|| tap::text(format_args!("{text}: a word is missing")));
    let name = word()?;
    let kind = word()?;
    let bytes = word()?.parse().unwrap_or(4096);
    let depth = word()?.parse().unwrap_or(1);
    let poll = word()? == "poll";
    let millis = word()?.parse().unwrap_or(1000);
    ensure!(depth >= 1 && depth <= SLOTS && bytes >= 512 && bytes as usize <= LARGEST, "{text}");
    let (write, random) = (kind.eq_ignore_ascii_case("w"), kind == "r" || kind == "w");
    Ok(Job { name, write, random, bytes, depth, poll, millis })
}

fn run(context: &Context) -> Result {
    let mut disk = Disk::open(context)?;
    let jobs: Result<Vec<Job>> = context.option("bench").unwrap_or("").split(',').map(parse).collect();
    for job in jobs? {
        measure(&mut disk, &job)?;
    }
    Ok(())
}

fn measure(disk: &mut Disk, job: &Job) -> Result {
    disk.lay_out(job.write, job.bytes as usize);
    let units = disk.sectors * 512 / job.bytes;
    let (mut seed, mut at) = (0x9e37_79b9_7f4a_7c15u64 ^ job.name.len() as u64, 0);
    let mut place = || {
        if job.random {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            at = seed;
        } else {
            at += 1;
        }
        at % units * (job.bytes / 512)
    };
    let (kicks, interrupts) = (disk.kicks, Page::boot().count(disk.vector));
    disk.set_event(job.poll);
    let begin = time::now();
    let end = begin + time::ticks_of_micros(job.millis * 1000);
    let (mut count, mut under_way) = (0u64, 0);
    for slot in 0..job.depth {
        disk.offer(slot, place());
        under_way += 1;
    }
    disk.kick();
    while under_way > 0 {
        wait(disk, job.poll);
        let more = time::now() < end;
        while disk.has_used() {
            let slot = disk.pop()?;
            count += 1;
            match more {
                true => disk.offer(slot, place()),
                false => under_way -= 1,
            }
        }
        disk.kick();
    }
    let ticks = time::now() - begin;
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(time::hz());
    let (kicks, interrupts) = (disk.kicks - kicks, Page::boot().count(disk.vector) - interrupts);
    tap::line(format_args!("{} {count} {nanos} {kicks} {interrupts}", job.name));
    Ok(())
}

/// Until something has come back.
fn wait(disk: &mut Disk, poll: bool) {
    if poll {
        // The event index stays away from what the device uses next.
        disk.set_event(true);
        while !disk.has_used() {
            core::hint::spin_loop();
        }
        return;
    }
    loop {
        let seen = Page::boot().count(disk.vector);
        disk.set_event(false);
        if disk.has_used() {
            return;
        }
        Page::boot().halt(disk.vector, seen);
    }
}
