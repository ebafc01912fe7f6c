//! Where vCPU threads wait while the machine is stopped, and how they are called out of the guest.
//!
//! ```text
//!   supervisor                                   vCPU thread
//!   want = Wait                                  in KVM_RUN, or on its way there
//!   set immediate_exit, send the signal  ──────▶ KVM_RUN finishes a pending access, returns "interrupted"
//!   wait until all are parked            ◀────── enter(): want is Wait: parked += 1, sleep
//!   want = Run, wake all                 ──────▶ parked -= 1, clear immediate_exit, KVM_RUN
//! ```
//! The flag makes the signal safe: set between the thread's look at `want` and KVM_RUN, it makes KVM_RUN return at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Run,
    Wait,
    Leave,
}

struct Inner {
    want: Want,
    parked: usize,
    /// Those who stay although the gate is open.
    held: Vec<usize>,
}

impl Inner {
    fn stays(&self, index: usize) -> bool {
        self.want == Want::Wait || self.want == Want::Run && self.held.contains(&index)
    }
}

pub struct Gate {
    inner: Mutex<Inner>,
    changed: Condvar,
    threads: usize,
}

impl Gate {
    /// A closed gate for `threads` vCPUs: they park as soon as they reach it.
    pub fn new(threads: usize) -> Gate {
        Gate {
            inner: Mutex::new(Inner { want: Want::Wait, parked: 0, held: Vec::new() }),
            changed: Condvar::new(),
            threads,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// vCPU `index`'s side, before it enters the guest and whenever it was called out of it.
    /// `false`: the thread is to end. `clear` takes back the call.
    pub fn enter(&self, index: usize, clear: impl FnOnce()) -> bool {
        self.wait(index, self.inner(), clear)
    }

    /// vCPU `index`'s side, when the guest cannot go on: sleeps until the machine was stopped and started again.
    pub fn give_up(&self, index: usize, clear: impl FnOnce()) -> bool {
        let inner = self.changed.wait_while(self.inner(), |i| i.want == Want::Run);
        self.wait(index, inner.unwrap_or_else(PoisonError::into_inner), clear)
    }

    fn wait(&self, index: usize, mut inner: MutexGuard<'_, Inner>, clear: impl FnOnce()) -> bool {
        if inner.stays(index) {
            inner.parked += 1;
            self.changed.notify_all();
            inner = self.changed.wait_while(inner, |i| i.stays(index)).unwrap_or_else(PoisonError::into_inner);
            inner.parked -= 1;
        }
        // Under the lock: whoever wants something else says so first, and calls after.
        clear();
        inner.want == Want::Run
    }

    pub fn open(&self) {
        self.open_except(Vec::new());
    }

    /// Opens it for all but these.
    pub fn open_except(&self, held: Vec<usize>) {
        let mut inner = self.inner();
        (inner.want, inner.held) = (Want::Run, held);
        self.changed.notify_all();
    }

    /// Whether vCPUs may run.
    pub fn is_open(&self) -> bool {
        self.inner().want == Want::Run
    }

    /// Returns when every vCPU is parked. `call` gets them out of the guest.
    pub fn close(&self, call: impl FnOnce()) {
        self.inner().want = Want::Wait;
        self.changed.notify_all();
        call();
        let all = |i: &mut Inner| i.parked < self.threads;
        drop(self.changed.wait_while(self.inner(), all).unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends the threads home; they may be joined then.
    pub fn dismiss(&self, call: impl FnOnce()) {
        self.inner().want = Want::Leave;
        self.changed.notify_all();
        call();
    }
}

#[cfg(test)]
mod tests;
