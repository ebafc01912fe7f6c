//! The terminal's guard: a child process that restores the terminal when we are killed in a way nobody can catch.
//! It has no descriptors but the terminal and a pipe, no controlling terminal, and ignores every signal.

use super::{SETTINGS, STDIN, attributes, set_attributes};
use crate::sys::fd::check;
use crate::sys::signal;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Our end of the pipe; while it is open, the guard waits.
static PIPE: AtomicI32 = AtomicI32::new(-1);

pub(super) struct Guard(libc::pid_t);

impl Guard {
    pub(super) fn start() -> io::Result<Guard> {
        let mut ends = [0; 2];
        // SAFETY: pipe2 fills two descriptors.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
        // SAFETY: two new descriptors that nobody else owns.
        let [theirs, ours] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: the child makes system calls only, and never returns from `watch`.
        let pid = check(unsafe { libc::fork() })?;
        if pid == 0 {
            watch(theirs.into_raw_fd());
        }
        PIPE.store(ours.into_raw_fd(), Ordering::SeqCst);
        Ok(Guard(pid))
    }

    /// Ends the guard, and waits until it has ended: it will touch the terminal no more, and leaves no zombie.
    pub(super) fn end(self) {
        dismiss();
        let mut status = 0;
        loop {
            // SAFETY: `status` is ours.
            match check(unsafe { libc::waitpid(self.0, &raw mut status, 0) }) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                _ => return,
            }
        }
    }
}

/// Tells the guard that the terminal is in order. Safe in a signal handler.
pub(super) fn dismiss() {
    let pipe = PIPE.swap(-1, Ordering::SeqCst);
    if pipe >= 0 {
        // SAFETY: one byte of ours; the descriptor was taken out of PIPE, so it is closed once.
        unsafe {
            libc::write(pipe, b"q".as_ptr().cast(), 1);
            libc::close(pipe);
        }
    }
}

fn watch(pipe: RawFd) -> ! {
    for number in 1..=64 {
        signal::ignore(number);
    }
    // SAFETY: system calls on our own process. A session of its own keeps the guard out of everybody's process group
    // (`kill -9 -GROUP` is to end us, not the guard); the pipe becomes descriptor 1, and all others but the terminal close:
    // they would keep pipes, locks and the VM alive.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"kiln-terminal".as_ptr());
        libc::dup2(pipe, 1);
        close_from(2);
    }
    let mut byte = 0u8;
    let n = loop {
        // SAFETY: one byte of ours.
        match unsafe { libc::read(1, (&raw mut byte).cast(), 1) } {
            -1 if signal::errno() == libc::EINTR => continue,
            n => break n,
        }
    };
    // When the shell was quicker and made its own settings, those stay.
    if let (0, Some(settings), Ok(now)) = (n, SETTINGS.get(), attributes(STDIN))
        && same(&now, &settings.raw)
    {
        let _ = set_attributes(STDIN, &settings.before);
    }
    // SAFETY: ends this process without running anything of the parent's.
    unsafe { libc::_exit(0) }
}

/// # Safety
/// Nobody in this process uses a descriptor from `first` on.
unsafe fn close_from(first: libc::c_uint) {
    // SAFETY: as the caller promises.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) < 0 {
            (first as RawFd..4096).for_each(|fd| {
                libc::close(fd);
            });
        }
    }
}

fn same(a: &libc::termios, b: &libc::termios) -> bool {
    let flags = |t: &libc::termios| (t.c_iflag, t.c_oflag, t.c_lflag);
    flags(a) == flags(b) && a.c_cc[libc::VMIN] == b.c_cc[libc::VMIN] && a.c_cc[libc::VTIME] == b.c_cc[libc::VTIME]
}
