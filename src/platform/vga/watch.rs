//! When the card's thread looks at the video memory.
//!
//! ```text
//!  nobody looks: waits       somebody: looks FRAME after FRAME       nothing new for QUIET frames: sleeps
//!        |  watched(true) ------> |  protect, look once more -------------> |
//!        | <----- watched(false)  | <---- the guest's next store stops its vCPU, which unprotects and wakes
//! ```
//! What is written before the memory is protected, the look after that sees; what is written after, wakes. So nothing is
//! missed, and an idle screen costs neither a timer nor a look.

use super::Card;
use crate::mem::Video;
use crate::sys::Lock;
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks: 60 a second.
const FRAME: Duration = Duration::from_micros(16_667);
/// From the store that ends a sleep to the look: as a rule more stores follow.
const GATHER: Duration = Duration::from_millis(4);
/// Looks in a row that see nothing new, before the thread sleeps.
const QUIET: u32 = 4;

#[derive(Default)]
pub struct Watch {
    pace: Lock<Pace>,
    changed: Condvar,
}

#[derive(Default)]
struct Pace {
    watched: bool,
    /// The memory is protected, and the thread sleeps until that changes.
    asleep: bool,
    ended: bool,
    /// How often the memory was protected no more.
    wakes: u64,
    thread: Option<JoinHandle<()>>,
}

/// Somebody looks, or nobody does any more. The thread begins with the first who does.
pub fn watched(card: &Arc<Card>, yes: bool) {
    let watch = &card.watch;
    let mut pace = watch.pace.lock();
    pace.watched = yes;
    if !yes {
        watch.rouse(&mut pace, &card.memory);
    } else if pace.thread.is_none() && !pace.ended {
        let card = card.clone();
        let thread = std::thread::Builder::new().name("screen".into()).stack_size(256 << 10);
        match thread.spawn(move || live(&card)) {
            Ok(thread) => pace.thread = Some(thread),
            Err(e) => log::error!("vga: start the thread that looks at video memory: {e}"),
        }
    }
    watch.changed.notify_all();
}

impl Watch {
    /// Ends the thread.
    pub fn end(&self) {
        let mut pace = self.pace.lock();
        pace.ended = true;
        let thread = pace.thread.take();
        self.changed.notify_all();
        drop(pace);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// There is something new to look at.
    pub fn wake(&self, memory: &Video) {
        self.rouse(&mut self.pace.lock(), memory);
    }

    /// A vCPU was stopped: by the protection, if that has been in force since its last time here. Another vCPU may have
    /// come first and ended it.
    pub fn woken(&self, memory: &Video, seen: &mut u64) -> bool {
        let mut pace = self.pace.lock();
        self.rouse(&mut pace, memory);
        std::mem::replace(seen, pace.wakes) != pace.wakes
    }

    fn rouse(&self, pace: &mut Pace, memory: &Video) {
        if !pace.asleep {
            return;
        }
        match memory.protect(false) {
            Ok(()) => {
                pace.asleep = false;
                pace.wakes += 1;
                self.changed.notify_all();
            }
            Err(e) => log::error!("vga: {e:#}"),
        }
    }

    fn wait<'a>(&self, pace: MutexGuard<'a, Pace>) -> MutexGuard<'a, Pace> {
        self.changed.wait(pace).unwrap_or_else(PoisonError::into_inner)
    }

    fn pause<'a>(&self, pace: MutexGuard<'a, Pace>, time: Duration) -> MutexGuard<'a, Pace> {
        let still = |pace: &mut Pace| pace.watched && !pace.ended;
        self.changed.wait_timeout_while(pace, time, still).unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread's life.
fn live(card: &Card) {
    let watch = &card.watch;
    let (mut quiet, mut next) = (0, Duration::ZERO);
    let mut pace = watch.pace.lock();
    while !pace.ended {
        if !pace.watched {
            (quiet, next) = (0, Duration::ZERO);
            pace = watch.wait(pace);
        } else if pace.asleep {
            (quiet, next) = (0, GATHER);
            pace = watch.wait(pace);
        } else if quiet >= QUIET {
            quiet = 0;
            match card.memory.protect(true) {
                Ok(()) => pace.asleep = true,
                Err(e) => log::error!("vga: {e:#}"),
            }
            drop(pace);
            card.look();
            pace = watch.pace.lock();
        } else {
            pace = watch.pause(pace, std::mem::replace(&mut next, FRAME));
            if !pace.watched || pace.ended {
                continue;
            }
            drop(pace);
            quiet = if card.look() { 0 } else { quiet + 1 };
            pace = watch.pace.lock();
        }
    }
}

/// For tests: whether the thread sleeps, and how often it was woken.
#[cfg(test)]
impl Watch {
    pub fn asleep(&self) -> (bool, u64) {
        let pace = self.pace.lock();
        (pace.asleep, pace.wakes)
    }
}
