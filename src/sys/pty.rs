//! A terminal for a program: both ends, as a person expects it (echo, lines, Ctrl-C).

use super::fd::check;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Our end, non-blocking, and the program's.
pub fn open(columns: u16, rows: u16) -> io::Result<(File, OwnedFd)> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::posix_openpt(flags | libc::O_NONBLOCK) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let ours = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // SAFETY: no pointers.
    check(unsafe { libc::unlockpt(fd) })?;
    // By descriptor: the file's name need not be visible here (ioctl_tty(2)).
    // SAFETY: no pointers; the result is checked.
    let theirs = check(unsafe { libc::ioctl(fd, libc::TIOCGPTPEER, flags) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    resize(&ours, columns, rows)?;
    let mut settings = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: tcgetattr fills a termios, of which one flag is changed.
    unsafe {
        check(libc::tcgetattr(theirs.as_raw_fd(), settings.as_mut_ptr()))?;
        let mut settings = settings.assume_init();
        settings.c_iflag |= libc::IUTF8;
        check(libc::tcsetattr(theirs.as_raw_fd(), libc::TCSANOW, &raw const settings))?;
    }
    Ok((ours, theirs))
}

/// Gives it another size; the program in its foreground gets SIGWINCH.
pub fn resize(ours: &File, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize.
    check(unsafe { libc::ioctl(ours.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}
