//! The receiving half of one pair of queues: buffers the driver gave, and the frame that is put into them.
//! Frames go from the link straight into the driver's buffers; only what the buffers at hand do not hold is kept here
//! until there are more.

use crate::host::link::{HEADER, LARGEST, Link};
use crate::mem::{Slice, vectored};
use crate::virtio::{Chain, Queue};
use anyhow::{Result, ensure};
use std::io::ErrorKind;

/// Offset of `num_buffers` in struct virtio_net_hdr (virtio 1.2, 5.1.6).
const NUM_BUFFERS: usize = 10;

/// The most that is received before other things have their turn.
const BATCH: usize = 64;

/// Slices of a buffer, and of all buffers before one more is taken: together, and with the tail, one system call's.
const PARTS: usize = vectored::PARTS / 2;

#[derive(Default)]
pub struct Receiver {
    /// Buffers taken from the ring, in order.
    buffers: Vec<Chain>,
    /// Bytes they hold.
    room: usize,
    /// Slices they have.
    parts: usize,
    /// A frame that has been received and waits for more buffers.
    late: Option<Late>,
    /// Whether the link's descriptor is watched.
    pub watched: bool,
}

struct Late {
    /// Bytes of header and frame.
    len: usize,
    /// The first of them are in the buffers, the rest in the tail.
    placed: usize,
}

/// What [`Receiver::run`] ended with.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// There may be more: the link's descriptor tells.
    Watch,
    /// The driver has to give buffers first.
    Buffers,
    /// The link is gone.
    Gone,
}

/// How frames are put into buffers.
#[derive(Clone, Copy)]
pub struct Rules {
    /// A frame may take several buffers (VIRTIO_NET_F_MRG_RXBUF).
    pub merge: bool,
    /// Bytes in front of a frame.
    pub header: usize,
    /// Bytes to have room for before a frame is received, when there are as many.
    pub expect: usize,
}

impl Receiver {
    /// Receives what the link has and the buffers hold. `tail` has [`LARGEST`] bytes and belongs to this receiver alone.
    pub fn run(
        &mut self,
        pair: usize,
        link: &mut dyn Link,
        queue: &mut Queue,
        rules: Rules,
        tail: &mut [u8],
        dropped: &mut u64,
    ) -> Result<Next> {
        let mut pushed = false;
        let mut received = 0;
        queue.disable_kicks()?;
        let next = loop {
            // A late frame is not left for the next time: perhaps nothing else will ever come.
            if received >= BATCH && self.late.is_none() {
                break Next::Watch;
            }
            let wanted = self.late.as_ref().map_or(if rules.merge { rules.expect } else { rules.header }, |late| late.len);
            if !self.gather(queue, wanted, rules)? {
                // Kicks are of interest only while buffers are short.
                match queue.enable_kicks()? {
                    true => queue.disable_kicks()?,
                    false => break Next::Buffers,
                }
                continue;
            }
            let frame = match self.late.take() {
                Some(late) => late,
                None => {
                    let (parts, placed) = self.targets(rules);
                    match link.receive(pair, &parts, tail) {
                        Ok(len) => Late { len, placed: placed.min(len) },
                        Err(e) if e.kind() == ErrorKind::WouldBlock => break Next::Watch,
                        Err(e) => {
                            log::error!("receive from the network: {e}; the guest's link is down");
                            break Next::Gone;
                        }
                    }
                }
            };
            received += 1;
            match self.finish(frame, queue, rules, tail)? {
                Outcome::Delivered => pushed = true,
                Outcome::Dropped => *dropped += 1,
                Outcome::Waits => {}
            }
        };
        if pushed {
            queue.signal()?;
        }
        Ok(next)
    }

    /// Takes buffers until they hold `wanted` bytes. False when there is not even enough to go on with.
    fn gather(&mut self, queue: &mut Queue, wanted: usize, rules: Rules) -> Result<bool> {
        while self.room < wanted && self.parts < PARTS {
            let Some(chain) = queue.pop()? else { break };
            ensure!(chain.readable.is_empty(), "a receive buffer has a part that cannot be written");
            ensure!(chain.writable.len() < PARTS, "a receive buffer has too many parts");
            self.room = self.room.saturating_add(chain.sizes().1);
            self.parts += chain.writable.len();
            self.buffers.push(chain);
        }
        Ok(match self.late {
            // When the driver has given all it has, the frame is judged by that.
            Some(_) => self.room >= wanted || self.full(queue),
            None => self.room >= rules.header,
        })
    }

    /// There will not be more buffers at once than there are now.
    fn full(&self, queue: &Queue) -> bool {
        self.buffers.len() >= usize::from(queue.size()) || self.parts >= PARTS
    }

    /// Where a frame is to be received, and how many bytes that is.
    fn targets(&self, rules: Rules) -> (Vec<&Slice>, usize) {
        if rules.merge {
            return (self.buffers.iter().flat_map(|b| &b.writable).collect(), self.room);
        }
        // Without merging a frame has the first buffer. When that has no room for a header, it goes to the tail.
        let first = self.buffers.first();
        match first.map_or(0, |b| b.sizes().1) {
            room if room >= rules.header => (first.iter().flat_map(|b| &b.writable).collect(), room),
            _ => (Vec::new(), 0),
        }
    }

    fn finish(&mut self, frame: Late, queue: &mut Queue, rules: Rules, tail: &[u8]) -> Result<Outcome> {
        let Late { len, placed } = frame;
        let beyond = len - placed;
        // As much as the tail holds: perhaps it was more.
        if len < rules.header || beyond >= tail.len() || (!rules.merge && beyond > 0) {
            return Ok(Outcome::Dropped);
        }
        if self.room < len {
            if self.full(queue) {
                return Ok(Outcome::Dropped);
            }
            self.late = Some(frame);
            return Ok(Outcome::Waits);
        }
        let parts = || self.buffers.iter().flat_map(|b| &b.writable);
        if beyond > 0 {
            vectored::copy_from(parts(), placed, tail.get(..beyond).unwrap_or_default());
        }
        let mut left = len;
        let mut count = 0u16;
        for buffer in &self.buffers {
            count += 1;
            left = left.saturating_sub(buffer.sizes().1);
            if left == 0 {
                break;
            }
        }
        // virtio 1.2, 5.1.6.4.1: 1 without merging. Before version 1 the field is only there with it.
        if rules.header >= HEADER {
            vectored::copy_from(parts(), NUM_BUFFERS, &count.to_le_bytes());
        }
        let mut left = len;
        for buffer in self.buffers.drain(..usize::from(count)) {
            let room = buffer.sizes().1;
            let n = left.min(room);
            queue.push(&buffer, u32::try_from(n)?)?;
            left -= n;
            self.room -= room;
            self.parts -= buffer.writable.len();
        }
        Ok(Outcome::Delivered)
    }

    /// Gives the buffers back to the ring, as if they had never been taken.
    pub fn undo(&mut self, queue: &mut Queue) {
        self.buffers.iter().for_each(|_| queue.undo_pop());
        *self = Receiver { watched: self.watched, ..Receiver::default() };
    }
}

enum Outcome {
    Delivered,
    Dropped,
    Waits,
}

/// Room for whatever no buffer holds.
pub fn tail() -> Vec<u8> {
    vec![0; LARGEST]
}
