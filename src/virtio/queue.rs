//! A split virtqueue seen from the device's side, over virtio-queue's ring; and one request of it, as checked slices.

use crate::irq::Interrupt;
use crate::mem::{Memory, Slice};
use anyhow::{Context, Result, bail, ensure};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use virtio_queue::{Queue as Ring, QueueOwnedT, QueueT};

/// The most descriptors in one request. The specification allows as many as the queue has entries (virtio 1.2, 2.7.5.3.1),
/// but there are drivers that go by the device's own limits once a table is indirect. This is also IOV_MAX:
/// a request always fits one preadv.
const LONGEST: usize = 1024;

/// VIRTQ_AVAIL_F_NO_INTERRUPT (virtio 1.2, 2.7.6).
const NO_INTERRUPT: u16 = 1;

pub struct Queue {
    ring: Ring,
    mem: Memory,
    interrupt: Arc<dyn Interrupt>,
    /// Requests that may still be popped before the worker looks at other things.
    budget: u16,
    /// The device was stopped by the budget.
    again: bool,
    /// Lends its buffers to `serve`.
    spare: Chain,
}

/// One request. Its descriptors were read once, so the driver cannot change them behind us
/// (what they point at it can: copy, then check the copy).
#[derive(Default)]
pub struct Chain {
    head: u16,
    pub readable: Vec<Slice>,
    pub writable: Vec<Slice>,
}

impl Queue {
    /// `ring` is one whose addresses were found valid in `mem`, or one that is not ready.
    pub(crate) fn new(ring: Ring, mem: Memory, interrupt: Arc<dyn Interrupt>) -> Queue {
        let budget = ring.size();
        Queue { ring, mem, interrupt, budget, again: false, spare: Chain::default() }
    }

    pub fn ready(&self) -> bool {
        self.ring.ready()
    }

    /// Entries of the ring: the most requests that can be under way.
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// The next request. Also none when a whole ring of them was popped since the device was called:
    /// it is then called again, after the worker has seen to its orders.
    /// An error means the ring itself is broken: the device needs a reset.
    pub fn pop(&mut self) -> Result<Option<Chain>> {
        let mut chain = Chain::default();
        Ok(self.pop_into(&mut chain)?.then_some(chain))
    }

    /// The same into a chain that was used before: its buffers are. Says whether there was a request.
    pub fn pop_into(&mut self, chain: &mut Chain) -> Result<bool> {
        chain.readable.clear();
        chain.writable.clear();
        if !self.ring.ready() {
            return Ok(false);
        }
        let Some(budget) = self.budget.checked_sub(1) else {
            self.again = true;
            return Ok(false);
        };
        let next = self.ring.iter(self.mem.map()).context("read the available ring")?.next();
        let Some(descriptors) = next else { return Ok(false) };
        self.budget = budget;
        chain.head = descriptors.head_index();
        let mut more = true;
        for d in descriptors {
            more = d.has_next();
            let count = chain.readable.len() + chain.writable.len();
            ensure!(count < LONGEST, "a request has more than {LONGEST} descriptors");
            let slice = self.mem.slice(d.addr().0, d.len() as usize)?;
            match d.is_write_only() {
                true => chain.writable.push(slice),
                false if chain.writable.is_empty() => chain.readable.push(slice),
                false => bail!("a readable descriptor follows a writable one"),
            }
        }
        // The iterator ends early, and without a word, on whatever it does not like: an index outside the table, a loop,
        // more than 4 GiB, a bad or nested indirect table. Then the last descriptor had a next one, or there was none at all.
        ensure!(!more, "descriptor chain {} is broken", chain.head);
        Ok(true)
    }

    /// Gives a request back, with the number of bytes written to its writable part.
    pub fn push(&mut self, chain: &Chain, written: u32) -> Result<()> {
        self.ring.add_used(self.mem.map(), chain.head, written).context("write the used ring")
    }

    /// The last request popped was not answered: the next `pop` gives it again.
    pub fn undo_pop(&mut self) {
        self.ring.go_to_previous_position();
        self.budget = self.budget.saturating_add(1);
    }

    /// Interrupts the driver unless it asked not to be. Called after pushing.
    pub fn signal(&mut self) -> Result<()> {
        // virtio-queue knows used_event, but not the flag that counts without EVENT_IDX (virtio 1.2, 2.7.7).
        if !self.ring.event_idx_enabled() {
            fence(Ordering::SeqCst);
            let flags = u16::from_le_bytes(self.mem.read(self.ring.avail_ring()).context("read the available ring")?);
            if flags & NO_INTERRUPT != 0 {
                return Ok(());
            }
        }
        if self.ring.needs_notification(self.mem.map()).context("read the used event")? {
            self.interrupt.raise();
        }
        Ok(())
    }

    /// Asks the driver for kicks again; true when requests came in the meantime.
    pub fn enable_kicks(&mut self) -> Result<bool> {
        if self.again || !self.ring.ready() {
            return Ok(false);
        }
        self.ring.enable_notification(self.mem.map()).context("enable kicks")
    }

    pub fn disable_kicks(&mut self) -> Result<()> {
        if !self.ring.ready() {
            return Ok(());
        }
        self.ring.disable_notification(self.mem.map()).context("disable kicks")
    }

    /// Pops every waiting request, answers it with the number of bytes written, and signals.
    pub fn serve(&mut self, mut answer: impl FnMut(&mut Chain) -> Result<u32>) -> Result<()> {
        if !self.ready() {
            return Ok(());
        }
        let mut chain = std::mem::take(&mut self.spare);
        loop {
            self.disable_kicks()?;
            let mut any = false;
            while self.pop_into(&mut chain)? {
                let written = answer(&mut chain)?;
                self.push(&chain, written)?;
                any = true;
            }
            if any {
                self.signal()?;
            }
            if !self.enable_kicks()? {
                break;
            }
        }
        self.spare = chain;
        Ok(())
    }

    /// A whole ring of requests may be popped from now on.
    pub(super) fn refill(&mut self) {
        self.budget = self.ring.size();
    }

    /// The device is about to be called for this queue.
    pub(super) fn begin(&mut self) {
        self.again = false;
    }

    /// The device did not get to the end of the queue, and is to be called again.
    pub(super) fn again(&self) -> bool {
        self.again
    }
}

impl Chain {
    /// Bytes the device may read, and may write.
    pub fn sizes(&self) -> (usize, usize) {
        let sum = |s: &[Slice]| s.iter().map(Slice::len).sum();
        (sum(&self.readable), sum(&self.writable))
    }

    /// Takes the next `N` bytes the driver wrote for us.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        let n = self.take_into(&mut out);
        ensure!(n == N, "request is {} bytes short", N - n);
        Ok(out)
    }

    /// Takes as many bytes as `out` holds and the driver wrote; says how many.
    pub fn take_into(&mut self, out: &mut [u8]) -> usize {
        let mut done = 0;
        consume(&mut self.readable, |slice| {
            let n = out.get_mut(done..).map_or(0, |rest| slice.copy_to(rest));
            done += n;
            n
        });
        done
    }

    /// Puts `data` into the writable part, from where the last `put` ended; says how many bytes fitted.
    pub fn put(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        consume(&mut self.writable, |slice| {
            let n = data.get(done..).map_or(0, |rest| slice.copy_from(rest));
            done += n;
            n
        });
        done
    }
}

/// `copy` says how many bytes of a slice it took; what is used up goes, and the first slice not used up ends it.
fn consume(slices: &mut Vec<Slice>, mut copy: impl FnMut(&Slice) -> usize) {
    let mut gone = 0;
    for slice in slices.iter_mut() {
        let n = copy(slice);
        if n < slice.len() {
            *slice = slice.skip(n);
            break;
        }
        gone += 1;
    }
    slices.drain(..gone);
}

#[cfg(test)]
mod tests;
