//! A timer to wait for together with other descriptors (timerfd_create(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;
use vmm_sys_util::timerfd::TimerFd;

pub struct Timer(TimerFd);

impl Timer {
    /// Goes off once, after that time; it is readable from then on, until it is set again.
    pub fn after(time: Duration) -> io::Result<Timer> {
        let mut timer = Timer(TimerFd::new()?);
        timer.again(time)?;
        Ok(timer)
    }

    /// Goes off when it is set.
    pub fn off() -> io::Result<Timer> {
        Ok(Timer(TimerFd::new()?))
    }

    /// It does not go off, and is not readable any more.
    pub fn cancel(&mut self) -> io::Result<()> {
        Ok(self.0.clear()?)
    }

    pub fn again(&mut self, time: Duration) -> io::Result<()> {
        Ok(self.0.reset(time, None)?)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the timer is open as long as it is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) }
    }
}
