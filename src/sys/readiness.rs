//! Waiting for a few descriptors, each in its own way, without setting anything up for it (poll(2)).

use super::fd::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// One descriptor, or none, and what to wait for. That it was hung up or failed is always said.
#[repr(transparent)]
pub struct Watch<'a>(libc::pollfd, std::marker::PhantomData<BorrowedFd<'a>>);

impl<'a> Watch<'a> {
    /// A place in the list that never becomes ready.
    pub const NONE: Watch<'static> = Watch(libc::pollfd { fd: -1, events: 0, revents: 0 }, std::marker::PhantomData);

    pub fn new(fd: BorrowedFd<'a>, input: bool, output: bool) -> Watch<'a> {
        let events = if input { libc::POLLIN } else { 0 } | if output { libc::POLLOUT } else { 0 };
        Watch(libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }, std::marker::PhantomData)
    }

    /// Anything at all was said of it.
    pub fn ready(&self) -> bool {
        self.0.revents != 0
    }

    /// There is input.
    pub fn readable(&self) -> bool {
        self.0.revents & libc::POLLIN != 0
    }

    pub fn writable(&self) -> bool {
        self.0.revents & libc::POLLOUT != 0
    }

    /// Hung up, failed or not open.
    pub fn gone(&self) -> bool {
        self.0.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0
    }
}

/// Waits until something can be said of one of them, or for `timeout`, which is rounded up to milliseconds.
/// A signal ends the wait early.
pub fn wait(watches: &mut [Watch<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let ms = timeout.map_or(-1, |t| t.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as libc::c_int);
    // SAFETY: the array is ours, of pollfd (the wrapper is transparent), and its length is given.
    let rc = unsafe { libc::poll(watches.as_mut_ptr().cast(), watches.len() as libc::nfds_t, ms) };
    match check(rc) {
        Err(e) if e.kind() != io::ErrorKind::Interrupted => Err(e),
        _ => Ok(()),
    }
}
