//! Locks that the client and the host have in common. Each owner's range locks are on an opening of its own, since that is
//! who they belong to on the host; flock(2) locks are on the client's. Who has to wait does so on a thread of its own.

use super::Server;
use super::budget::Held;
use super::call::Call;
use super::errno::{Errno, Res};
use super::wire::{self, Fields, Reply};
use super::{Answer, Done};
use crate::mem::Slice;
use crate::sys::flock::{self, Range};
use crate::sys::{self, EventFd, Lock, inode};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Requests that wait for a lock at a time; ENOLCK beyond.
const WAITING: usize = 128;
/// Bytes of the stack of a thread that waits.
const STACK: usize = 64 << 10;
/// How long between two calls to a thread that was just not waiting yet.
const AGAIN: Duration = Duration::from_micros(200);

/// A request that waited, and is answered now.
#[derive(Debug)]
pub struct Finished {
    /// What [`Server::serve`] was told.
    pub ticket: u64,
    unique: u64,
    error: i32,
}

impl Finished {
    pub fn reply(&self, writable: &[Slice]) -> Answer {
        super::reply(writable, self.unique, self.error, 0)
    }
}

struct Waiter {
    unique: u64,
    thread: JoinHandle<()>,
    cancelled: Arc<AtomicBool>,
}

pub struct Locks {
    /// By node and owner: the owner's opening, and the client's handle that it locked through last.
    ranges: HashMap<(u64, u64), (Arc<Held>, u64)>,
    /// By the ticket; the client's own number of a request may be anything.
    waiting: HashMap<u64, Waiter>,
    finished: Arc<Lock<Vec<Finished>>>,
    bell: Arc<EventFd>,
}

/// What is to be locked, and how.
enum Wanted {
    Range(Range),
    Whole(i32),
}

impl Wanted {
    fn lock(&self, fd: &Held, wait: bool) -> std::io::Result<()> {
        match self {
            Wanted::Range(range) => flock::lock_range(fd.as_fd(), *range, wait),
            Wanted::Whole(kind) => flock::lock_whole(fd.as_fd(), *kind, wait),
        }
    }
}

impl Locks {
    pub fn new() -> std::io::Result<Locks> {
        sys::accept_calls()?;
        Ok(Locks {
            ranges: HashMap::new(),
            waiting: HashMap::new(),
            finished: Arc::default(),
            bell: Arc::new(sys::eventfd()?),
        })
    }

    /// Starts a thread that waits.
    fn wait(&mut self, unique: u64, ticket: u64, fd: Arc<Held>, wanted: Wanted) -> Res<()> {
        if self.waiting.len() >= WAITING {
            return Err(Errno(libc::ENOLCK));
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        let (stop, finished, bell) = (cancelled.clone(), self.finished.clone(), self.bell.clone());
        let body = move || {
            flock::hear_calls();
            let error = until_locked(&fd, &wanted, &stop).map_or_else(|e| e.0, |()| 0);
            drop(fd);
            finished.lock().push(Finished { ticket, unique, error });
            if let Err(e) = bell.write(1) {
                log::error!("answer a request that waited for a lock: {e}");
            }
        };
        let thread = Builder::new().name("lock".to_string()).stack_size(STACK).spawn(body);
        let thread = thread.map_err(|_| Errno(libc::ENOLCK))?;
        self.waiting.insert(ticket, Waiter { unique, thread, cancelled });
        Ok(())
    }

    /// A request is to wait no longer. It is answered with EINTR, or with what it got at last.
    pub fn interrupt(&mut self, unique: u64) {
        let found = self.waiting.iter().find(|(_, waiter)| waiter.unique == unique);
        if let Some(ticket) = found.map(|(ticket, _)| *ticket) {
            self.cancel(ticket);
        }
    }

    fn cancel(&mut self, ticket: u64) {
        let Some(waiter) = self.waiting.remove(&ticket) else { return };
        waiter.cancelled.store(true, Ordering::SeqCst);
        // A call that comes just before the thread waits is not heard.
        while !waiter.thread.is_finished() {
            sys::call_out(&waiter.thread);
            std::thread::sleep(AGAIN);
        }
        let _ = waiter.thread.join();
    }

    /// Nobody waits and nothing is locked any more.
    pub fn reset(&mut self) {
        let waiting: Vec<u64> = self.waiting.keys().copied().collect();
        waiting.into_iter().for_each(|ticket| self.cancel(ticket));
        self.ranges.clear();
        self.finished.lock().clear();
        let _ = self.bell.read();
    }

    /// An owner closed a file: its range locks go (close(2), fcntl(2)).
    pub fn close(&mut self, node: u64, owner: u64) {
        self.ranges.remove(&(node, owner));
    }

    /// A handle is gone, and with it the locks whose owner is the handle itself (F_OFD_SETLK). Those of processes went
    /// before, as each of them closed it.
    pub fn release(&mut self, fh: u64) {
        self.ranges.retain(|_, (_, through)| *through != fh);
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.reset();
    }
}

fn until_locked(fd: &Held, wanted: &Wanted, cancelled: &AtomicBool) -> Res<()> {
    loop {
        if cancelled.load(Ordering::SeqCst) {
            return Err(Errno(libc::EINTR));
        }
        match wanted.lock(fd, true) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return Ok(other?),
        }
    }
}

impl Server {
    /// Rings when [`Server::finished`] has something; none when no request ever waits.
    pub fn bell(&self) -> Option<&EventFd> {
        self.locks.as_ref().map(|locks| &*locks.bell)
    }

    /// The requests that have waited long enough, each once.
    pub fn finished(&mut self) -> Vec<Finished> {
        let Some(locks) = &mut self.locks else { return Vec::new() };
        let _ = locks.bell.read();
        let done = std::mem::take(&mut *locks.finished.lock());
        for one in &done {
            if let Some(waiter) = locks.waiting.remove(&one.ticket) {
                let _ = waiter.thread.join();
            }
        }
        done
    }

    pub(super) fn interrupt(&mut self, body: &mut Fields) -> Res<()> {
        let unique = body.u64()?;
        if let Some(locks) = &mut self.locks {
            locks.interrupt(unique);
        }
        Ok(())
    }

    /// SETLK, and SETLKW when `wait` is there: the ticket of a request that may be answered later.
    pub(super) fn setlk(&mut self, call: &Call, body: &mut Fields, wait: Option<u64>) -> Res<Done> {
        let lk = LkIn::new(body)?;
        let locks = self.locks.as_mut().ok_or(Errno::NOSYS)?;
        let file = self.handles.file(lk.fh)?;
        let (fd, wanted) = if lk.flags & wire::FUSE_LK_FLOCK != 0 {
            (file.fd.clone(), Wanted::Whole(lk.whole()?))
        } else {
            let key = (file.node, lk.owner);
            let range = lk.range()?;
            let fd = match locks.ranges.get_mut(&key) {
                Some((fd, through)) => {
                    *through = lk.fh;
                    fd.clone()
                }
                None if range.kind == libc::F_UNLCK => return Ok(Done::Out),
                None => {
                    self.tree.budget.check()?;
                    let fd = Arc::new(own_opening(&file.fd, &self.tree.budget)?);
                    locks.ranges.insert(key, (fd.clone(), lk.fh));
                    fd
                }
            };
            (fd, Wanted::Range(range))
        };
        match (wanted.lock(&fd, false), wait) {
            (Err(e), Some(ticket)) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                locks.wait(call.header.unique, ticket, fd, wanted).map(|()| Done::Later)
            }
            (other, _) => Ok(other.map(|()| Done::Out)?),
        }
    }

    pub(super) fn getlk(&mut self, body: &mut Fields) -> Res<()> {
        let lk = LkIn::new(body)?;
        let locks = self.locks.as_ref().ok_or(Errno::NOSYS)?;
        let file = self.handles.file(lk.fh)?;
        let fd = match locks.ranges.get(&(file.node, lk.owner)) {
            Some((fd, _)) => fd.clone(),
            None => Arc::new(own_opening(&file.fd, &self.tree.budget)?),
        };
        let there = flock::lock_in_the_way(fd.as_fd(), lk.range()?)?;
        // struct fuse_lk_out
        self.out.u64(there.start.cast_unsigned());
        let last = if there.len == 0 { i64::MAX } else { there.start.saturating_add(there.len - 1) };
        self.out.u64(last.cast_unsigned());
        self.out.u32(there.kind.cast_unsigned());
        self.out.u32(0); // pid: of no process that the client knows
        Ok(())
    }
}

/// One more opening of the same file, for writing too if that is possible: write locks need it.
fn own_opening(fd: &Held, budget: &super::Budget) -> Res<Held> {
    let mut result = Err(Errno::ACCES);
    for access in [libc::O_RDWR, libc::O_RDONLY, libc::O_WRONLY] {
        result = inode::reopen(fd.as_fd(), access | libc::O_NONBLOCK).map_err(Errno::from);
        if result.is_ok() {
            break;
        }
    }
    result.map(|file| budget.hold(file))
}

/// struct fuse_lk_in
struct LkIn {
    fh: u64,
    owner: u64,
    start: u64,
    end: u64,
    kind: u32,
    flags: u32,
}

impl LkIn {
    fn new(body: &mut Fields) -> Res<LkIn> {
        let (fh, owner, start, end, kind) = (body.u64()?, body.u64()?, body.u64()?, body.u64()?, body.u32()?);
        body.skip(4)?; // pid
        Ok(LkIn { fh, owner, start, end, kind, flags: body.u32()? })
    }

    fn range(&self) -> Res<Range> {
        let kind = self.kind.cast_signed();
        let start = i64::try_from(self.start).map_err(|_| Errno::INVAL)?;
        if !matches!(kind, libc::F_RDLCK | libc::F_WRLCK | libc::F_UNLCK) || self.end < self.start {
            return Err(Errno::INVAL);
        }
        // `end` is the last byte; that of the largest file stands for all there will ever be.
        let len = match i64::try_from(self.end) {
            Ok(end) if end < i64::MAX => end - start + 1,
            _ => 0,
        };
        Ok(Range { kind, start, len })
    }

    fn whole(&self) -> Res<i32> {
        match self.kind.cast_signed() {
            libc::F_RDLCK => Ok(libc::LOCK_SH),
            libc::F_WRLCK => Ok(libc::LOCK_EX),
            libc::F_UNLCK => Ok(libc::LOCK_UN),
            _ => Err(Errno::INVAL),
        }
    }
}
