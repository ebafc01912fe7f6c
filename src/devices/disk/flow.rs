//! The way of a request through the device: taken from its queue, carried out (by io_uring, many at once, or one after the
//! other), answered; a signal for a whole batch of answers.

use super::request::{Range, Request, Work};
use super::{Cache, Disk, Way, full};
use crate::host::image::{Image, SECTOR};
use crate::mem::{Slice, vectored};
use crate::sys::file::knows_when_to_wait;
use crate::sys::uring::{Done, Op, Ring};
use crate::virtio::{Io, Queue};
use anyhow::{Context, Result};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use virtio_bindings::virtio_blk::{VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK};

/// Requests that the host works at; the others wait in their queues.
const UNDER_WAY: u32 = 256;
/// The ring's descriptor, as [`Io::watch`] knows it.
pub(super) const RING: u32 = 0;

pub(super) type Hand = Ring<Vec<Slice>, Request>;

/// A ring for the image, where it is a file and the host lets us.
pub(super) fn ring(image: &dyn Image) -> io::Result<Hand> {
    Ring::new(UNDER_WAY, image.plain().ok_or(ErrorKind::Unsupported)?)
}

/// What is sooner done by us than told the ring: what the host's page cache takes, or gives, without waiting for anything,
/// but io_uring would hand to a thread because the file system cannot promise that.
pub(super) struct Spot {
    reads: bool,
    writes: bool,
    /// It had to wait after all (the host has too much to write back, say): for a while the ring waits better.
    not_before: Option<Instant>,
}

/// A copy of this many bytes takes long enough.
const SPOT: usize = 1 << 20;
/// A host that throttles its writers lets them sleep for longer; one that took the processor away mostly does not.
const SLOW: Duration = Duration::from_millis(5);
const AFTER_SLOW: Duration = Duration::from_millis(50);

impl Spot {
    pub fn new(image: &dyn Image, way: Way) -> Spot {
        let cached = way == Way::Auto && image.alignment() == 1;
        let reads = cached && !image.plain().is_some_and(knows_when_to_wait);
        Spot { reads, writes: cached, not_before: None }
    }

    fn suits(&self, op: Op, data: &[Slice]) -> bool {
        let kind = match op {
            Op::Read(_) => self.reads,
            Op::Write(_) => self.writes,
            Op::Sync => false,
        };
        kind && data.iter().map(Slice::len).sum::<usize>() <= SPOT && self.not_before.is_none_or(|at| Instant::now() >= at)
    }
}

fn fits(op: Op, data: &[Slice], align: usize) -> bool {
    match op {
        Op::Read(at) | Op::Write(at) => {
            at.is_multiple_of(align as u64) && data.iter().all(|part| part.is_aligned(align))
        }
        Op::Sync => true,
    }
}

impl Disk {
    pub(super) fn start_ring(&mut self, io: &Io) -> Result<()> {
        if self.by_ring {
            let ring = ring(self.image.as_ref()).context("set io_uring up")?;
            io.watch(ring.as_fd(), RING)?;
            self.ring = Some(ring);
        }
        Ok(())
    }

    /// Takes what the driver made available on queue `index` and begins with it.
    pub(super) fn take(&mut self, index: usize, queues: &mut [Queue]) -> Result<()> {
        if !queues.get(index).is_some_and(Queue::ready) {
            return Ok(());
        }
        loop {
            let Some(queue) = queues.get_mut(index) else { return Ok(()) };
            queue.disable_kicks()?;
            while self.has_room() {
                let mut chain = self.spare.pop().unwrap_or_default();
                let Some(queue) = queues.get_mut(index) else { return Ok(()) };
                if !queue.pop_into(&mut chain)? {
                    self.spare.push(chain);
                    break;
                }
                let request = Request::new(index, chain, &self.limits)?;
                self.begin(request, queues)?;
            }
            self.turn(queues)?;
            if !self.has_room() {
                // Looked at again when there is; no kick is needed for that.
                self.starved |= 1 << index;
                return Ok(());
            }
            let Some(queue) = queues.get_mut(index) else { return Ok(()) };
            if !queue.enable_kicks()? {
                return Ok(());
            }
        }
    }

    fn has_room(&self) -> bool {
        self.ring.as_ref().is_none_or(Ring::has_room)
    }

    /// The ring has something: answers it, and goes on with what waits for room.
    pub(super) fn ring_ready(&mut self, queues: &mut [Queue]) -> Result<()> {
        self.turn(queues)?;
        let starved = std::mem::take(&mut self.starved);
        (0..queues.len()).filter(|index| starved >> index & 1 == 1).try_for_each(|index| self.take(index, queues))
    }

    /// Hands what was begun to the host, answers what has come back, and signals.
    pub(super) fn turn(&mut self, queues: &mut [Queue]) -> Result<()> {
        while let Some(ring) = &mut self.ring {
            ring.submit().context("hand requests to the host")?;
            ring.reap(&mut self.done);
            if self.done.is_empty() {
                break;
            }
            self.come_back(queues)?;
        }
        let touched = std::mem::take(&mut self.touched);
        let touched = queues.iter_mut().enumerate().filter(|(index, _)| touched >> index & 1 == 1);
        touched.map(|(_, queue)| queue).try_for_each(Queue::signal)
    }

    fn come_back(&mut self, queues: &mut [Queue]) -> Result<()> {
        let mut done = std::mem::take(&mut self.done);
        let result = done.drain(..).try_for_each(|done| self.moved(done, queues));
        self.done = done;
        result
    }

    /// Waits for all that the host works at. Nothing is begun after, and nothing touches guest memory.
    pub(super) fn drain(&mut self, io: &mut Io) -> Result<()> {
        while let Some(ring) = self.ring.as_mut().filter(|ring| ring.under_way() > 0) {
            ring.wait().context("wait for the host")?;
            ring.reap(&mut self.done);
            self.come_back(&mut io.queues)?;
        }
        (self.touched, self.starved) = (0, 0);
        match self.ring.take() {
            Some(ring) => io.unwatch(ring.as_fd()),
            None => Ok(()),
        }
    }

    /// Starts with a request, or with its next step.
    fn begin(&mut self, mut request: Request, queues: &mut [Queue]) -> Result<()> {
        let op = match request.work {
            Work::Answer(status) => return self.answer(request, status, queues),
            Work::Flush if self.limits.readonly || self.cache == Cache::Unsafe => {
                return self.answer(request, VIRTIO_BLK_S_OK, queues);
            }
            Work::Read { at } => Op::Read(at),
            Work::Write { at } if at < self.image.guarded() => return self.at_once(request, queues),
            Work::Write { at } => Op::Write(at),
            Work::Flush => Op::Sync,
            Work::Discard(_) | Work::Zero(_) => return self.at_once(request, queues),
        };
        if self.spot.suits(op, &request.data) {
            return self.on_the_spot(request, queues);
        }
        let align = self.image.alignment();
        if align > 1 && !fits(op, &request.data, align) {
            self.let_ring_end()?;
        } else if let Some(ring) = &mut self.ring {
            let data = std::mem::take(&mut request.data);
            match ring.push(op, data, request) {
                Ok(()) => return Ok(()),
                Err((data, back)) => {
                    request = back;
                    request.data = data;
                }
            }
        }
        self.at_once(request, queues)
    }

    /// A part of a block is changed by reading and writing all of it: nothing else may be under way.
    fn let_ring_end(&mut self) -> Result<()> {
        while let Some(ring) = self.ring.as_mut().filter(|ring| ring.under_way() > 0) {
            ring.wait().context("wait for the host")?;
            ring.reap(&mut self.done);
        }
        Ok(())
    }

    fn on_the_spot(&mut self, request: Request, queues: &mut [Queue]) -> Result<()> {
        let begin = Instant::now();
        self.at_once(request, queues)?;
        if begin.elapsed() > SLOW {
            self.spot.not_before = Some(Instant::now() + AFTER_SLOW);
        }
        Ok(())
    }

    /// Carries out what a request wants while we wait.
    pub(super) fn at_once(&mut self, request: Request, queues: &mut [Queue]) -> Result<()> {
        let image = self.image.as_ref();
        let each = |ranges: &[Range], op: &dyn Fn(&Range) -> io::Result<()>| ranges.iter().try_for_each(op);
        let result = match &request.work {
            Work::Read { at } => image.read_at(*at, &request.data),
            Work::Write { at } => image.write_at(*at, &request.data),
            Work::Flush => image.flush(),
            Work::Discard(ranges) => each(ranges, &|r| image.discard(r.at, r.len)),
            Work::Zero(ranges) => each(ranges, &|r| image.write_zeroes(r.at, r.len, r.may_unmap)),
            Work::Answer(_) => Ok(()),
        };
        self.ended(request, result, queues)
    }

    /// The ring has moved some of a request's data, or all.
    fn moved(&mut self, done: Done<Vec<Slice>, Request>, queues: &mut [Queue]) -> Result<()> {
        let mut request = done.tag;
        request.data = done.parts;
        let moved = match done.moved {
            Ok(moved) => moved,
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {
                return self.at_once(request, queues);
            }
            Err(e) => return self.ended(request, Err(e), queues),
        };
        let left = request.data.iter().map(Slice::len).sum::<usize>().saturating_sub(moved);
        let at = match &mut request.work {
            Work::Read { at } | Work::Write { at } if left > 0 => at,
            _ => return self.ended(request, Ok(()), queues),
        };
        *at = at.saturating_add(moved as u64);
        vectored::skip(&mut request.data, moved);
        match request.work {
            _ if moved > 0 => self.begin(request, queues),
            // As image::File says: only the rounded-up part of the last sector may be missing.
            Work::Read { at } if self.limits.size.saturating_sub(at) < SECTOR => {
                vectored::zero_from(&request.data, 0);
                self.ended(request, Ok(()), queues)
            }
            Work::Read { .. } => self.ended(request, Err(ErrorKind::UnexpectedEof.into()), queues),
            _ => self.ended(request, Err(ErrorKind::WriteZero.into()), queues),
        }
    }

    /// What was begun is done.
    fn ended(&mut self, mut request: Request, result: io::Result<()>, queues: &mut [Queue]) -> Result<()> {
        let changed = matches!(request.work, Work::Write { .. } | Work::Discard(_) | Work::Zero(_));
        match result {
            Ok(()) if changed && !self.writeback => {
                request.work = Work::Flush;
                self.begin(request, queues)
            }
            Ok(()) => self.answer(request, VIRTIO_BLK_S_OK, queues),
            Err(e) if full::is_full(&e) && self.waiting.is_some() => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.add(request, &e);
                }
                Ok(())
            }
            Err(e) => {
                self.complain(&request.work, &e);
                self.answer(request, VIRTIO_BLK_S_IOERR, queues)
            }
        }
    }

    fn answer(&mut self, request: Request, status: u32, queues: &mut [Queue]) -> Result<()> {
        self.touched |= 1 << request.queue;
        if let Some(queue) = queues.get_mut(request.queue) {
            self.spare.push(request.answer(status, queue)?);
        }
        Ok(())
    }
}
