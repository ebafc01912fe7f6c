//! How many files the process may have open for guests: the host's limit is shared by everything in it.

use super::errno::{Errno, Res};
use crate::sys::dir;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Counts open descriptors. The shares of a process have one in common.
#[derive(Clone)]
pub struct Budget(Arc<Count>);

struct Count {
    most: usize,
    held: AtomicUsize,
}

/// A descriptor that is counted for as long as it lives.
pub struct Held {
    fd: OwnedFd,
    budget: Budget,
}

impl Budget {
    pub fn new(most: usize) -> Budget {
        Budget(Arc::new(Count { most, held: AtomicUsize::new(0) }))
    }

    /// That of this process: five eighths of the hard limit, which is also made the soft one.
    pub fn of_process() -> Budget {
        static SHARED: OnceLock<Budget> = OnceLock::new();
        let limit = || usize::try_from(dir::raise_open_files().unwrap_or(1024)).unwrap_or(usize::MAX).min(1 << 20);
        SHARED.get_or_init(|| Budget::new(limit() / 8 * 5)).clone()
    }

    /// Descriptors that one share keeps only to be fast.
    pub fn cached(&self) -> usize {
        (self.0.most / 20).clamp(16, 1024)
    }

    /// ENFILE when the guests have as many files open as they may.
    pub fn check(&self) -> Res<()> {
        if self.0.held.load(Ordering::Relaxed) < self.0.most { Ok(()) } else { Err(Errno::NFILE) }
    }

    pub fn hold(&self, fd: impl Into<OwnedFd>) -> Held {
        self.0.held.fetch_add(1, Ordering::Relaxed);
        Held { fd: fd.into(), budget: self.clone() }
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Deref for Held {
    type Target = OwnedFd;
    fn deref(&self) -> &OwnedFd {
        &self.fd
    }
}
