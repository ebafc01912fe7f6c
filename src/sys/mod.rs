//! The few raw system facilities the rest needs: file descriptors, polling, signals, the terminal, locks.
//! Knows nothing of virtual machines.

mod call;
pub mod child;
pub mod dir;
pub mod fd;
pub mod file;
pub mod flock;
mod heap;
pub mod inode;
mod lock;
mod memfd;
#[cfg(test)]
pub mod mount;
pub mod pid1;
mod poll;
pub mod process;
pub mod pty;
mod random;
pub mod range;
pub mod readiness;
pub mod signal;
pub mod socket;
pub mod storage;
pub mod tap;
pub mod term;
mod text;
pub mod timer;
pub mod uring;

pub use call::{accept_calls, call_out};
pub use heap::{return_large_buffers, share_heap};
pub use lock::Lock;
pub use memfd::memfd;
pub use poll::{Poll, Token};
pub use random::random;
pub use text::forget_startup_code;
pub use vmm_sys_util::eventfd::EventFd;

/// A new eventfd with counter 0, non-blocking and close-on-exec.
pub fn eventfd() -> std::io::Result<EventFd> {
    EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
}
