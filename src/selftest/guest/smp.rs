//! The other processors: started one by one, then each waits, halted, for work.

use crate::apic;
use crate::cpu::{self, Page};
use crate::{Result, ensure, time};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A processor other than the boot processor, as both sides see it.
pub struct Other {
    pub id: u32,
    pub page: Page,
    /// Its place in the list, from 1.
    pub index: usize,
    /// 1 when it is there, then the number of calls it has answered, plus 1.
    turns: AtomicU64,
    /// The function to call, 0 for none.
    work: AtomicUsize,
    result: AtomicU64,
}

/// The vector that wakes a processor.
pub const WAKE: u8 = 0x2f;

/// Starts the processor with local APIC `id` (SDM 3A, 9.4.4.1).
pub fn start(index: usize, id: u32) -> Result<&'static Other> {
    let other: &'static Other = Box::leak(Box::new(Other {
        id,
        index,
        page: Page::new(),
        turns: AtomicU64::new(0),
        work: AtomicUsize::new(0),
        result: AtomicU64::new(0),
    }));
    let vector = cpu::prepare(index, other.page, begin, other as *const Other as u64);
    apic::send(id, apic::INIT);
    time::delay(200);
    apic::send(id, apic::STARTUP | u32::from(vector));
    ensure!(time::spin(|| other.turns.load(Ordering::Acquire) == 1), "the processor with APIC ID {id} did not start");
    Ok(other)
}

extern "C" fn begin(_: u64, other: u64) -> ! {
    // SAFETY: `start` leaked it for us.
    let other = unsafe { &*(other as *const Other) };
    apic::enable();
    loop {
        other.turns.fetch_add(1, Ordering::AcqRel);
        let work = loop {
            let seen = other.page.count(WAKE);
            match other.work.swap(0, Ordering::AcqRel) {
                0 => other.page.halt(WAKE, seen),
                work => break work,
            }
        };
        // SAFETY: `call` put a function of this type there.
        let work: fn(&Other) -> u64 = unsafe { core::mem::transmute(work) };
        other.result.store(work(other), Ordering::Release);
    }
}

impl Other {
    /// Lets it run `work`; the answer comes with [`Other::finish`].
    pub fn call(&self, work: fn(&Other) -> u64) -> u64 {
        let turn = self.turns.load(Ordering::Acquire);
        self.work.store(work as usize, Ordering::Release);
        apic::send(self.id, apic::FIXED | u32::from(WAKE));
        turn
    }

    /// What `work` returned; `turn` is what `call` gave.
    pub fn finish(&self, turn: u64) -> Result<u64> {
        let done = time::spin(|| self.turns.load(Ordering::Acquire) > turn);
        ensure!(done, "the processor with APIC ID {} did not answer", self.id);
        Ok(self.result.load(Ordering::Acquire))
    }
}

/// Runs `work` on all `others` at the same time.
pub fn on_all(others: &[&Other], work: fn(&Other) -> u64) -> Result<Vec<u64>> {
    let turns: Vec<u64> = others.iter().map(|o| o.call(work)).collect();
    others.iter().zip(turns).map(|(o, turn)| o.finish(turn)).collect()
}
