//! A split virtqueue seen from the device's side, over virtio-queue's ring; and one request of it, as checked slices.

use crate::irq::Interrupt;
use crate::mem::{Memory, Slice};
use anyhow::{Context, Result, bail, ensure};
use std::sync::Arc;
use virtio_queue::{Queue as Ring, QueueOwnedT, QueueT};

pub struct Queue {
    ring: Ring,
    mem: Memory,
    interrupt: Arc<dyn Interrupt>,
}

/// One request. Its descriptors were read once, so the driver cannot change them behind us
/// (what they point at it can: copy, then check the copy).
pub struct Chain {
    head: u16,
    pub readable: Vec<Slice>,
    pub writable: Vec<Slice>,
}

impl Queue {
    pub(crate) fn new(ring: Ring, mem: Memory, interrupt: Arc<dyn Interrupt>) -> Queue {
        Queue { ring, mem, interrupt }
    }

    pub fn ready(&self) -> bool {
        self.ring.ready()
    }

    /// Entries of the ring: the most requests that can be under way.
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// The next request. An error means the ring itself is broken: the device needs a reset.
    pub fn pop(&mut self) -> Result<Option<Chain>> {
        if !self.ring.ready() {
            return Ok(None);
        }
        let next = self.ring.iter(self.mem.map()).context("read the available ring")?.next();
        let Some(descriptors) = next else { return Ok(None) };
        let mut chain = Chain { head: descriptors.head_index(), readable: Vec::new(), writable: Vec::new() };
        let mut more = true;
        for d in descriptors {
            more = d.has_next();
            let slice = self.mem.slice(d.addr().0, d.len() as usize)?;
            match d.is_write_only() {
                true => chain.writable.push(slice),
                false if chain.writable.is_empty() => chain.readable.push(slice),
                false => bail!("a readable descriptor follows a writable one"),
            }
        }
        // The iterator ends early on whatever it does not like.
        ensure!(!more, "descriptor chain {} is broken", chain.head);
        Ok(Some(chain))
    }

    /// Gives a request back, with the number of bytes written to its writable part.
    pub fn push(&mut self, chain: &Chain, written: u32) -> Result<()> {
        self.ring.add_used(self.mem.map(), chain.head, written).context("write the used ring")
    }

    /// The last request popped was not answered: the next `pop` gives it again.
    pub fn undo_pop(&mut self) {
        self.ring.go_to_previous_position();
    }

    /// Interrupts the driver unless it asked not to be.
    pub fn signal(&mut self) -> Result<()> {
        if self.ring.needs_notification(self.mem.map()).context("read the used event")? {
            self.interrupt.raise();
        }
        Ok(())
    }

    /// Asks the driver for kicks again; true when requests came in the meantime.
    pub fn enable_kicks(&mut self) -> Result<bool> {
        self.ring.enable_notification(self.mem.map()).context("enable kicks")
    }

    pub fn disable_kicks(&mut self) -> Result<()> {
        self.ring.disable_notification(self.mem.map()).context("disable kicks")
    }

    /// Pops every waiting request, answers it with the number of bytes written, and signals.
    pub fn serve(&mut self, mut answer: impl FnMut(&mut Chain) -> Result<u32>) -> Result<()> {
        if !self.ready() {
            return Ok(());
        }
        loop {
            self.disable_kicks()?;
            let mut any = false;
            while let Some(mut chain) = self.pop()? {
                let written = answer(&mut chain)?;
                self.push(&chain, written)?;
                any = true;
            }
            if any {
                self.signal()?;
            }
            if !self.enable_kicks()? {
                return Ok(());
            }
        }
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
        while let (Some(first), Some(rest)) = (self.readable.first(), out.get_mut(done..).filter(|r| !r.is_empty())) {
            let n = first.copy_to(rest);
            let left = first.skip(n);
            done += n;
            if left.is_empty() {
                self.readable.remove(0);
            } else if let Some(first) = self.readable.first_mut() {
                *first = left;
            }
        }
        done
    }

    /// Puts `data` into the writable part, from where the last `put` ended; says how many bytes fitted.
    pub fn put(&mut self, data: &[u8]) -> usize {
        let mut done = 0;
        while let (Some(first), Some(rest)) = (self.writable.first(), data.get(done..).filter(|r| !r.is_empty())) {
            let n = first.copy_from(rest);
            let left = first.skip(n);
            done += n;
            if left.is_empty() {
                self.writable.remove(0);
            } else if let Some(first) = self.writable.first_mut() {
                *first = left;
            }
        }
        done
    }
}
