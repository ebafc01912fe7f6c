//! The terminal: raw while the guest owns it, and as it was on every way out.
//!
//! ```text
//! way out                            who restores
//! return, error                      drop of `Raw`
//! process::exit                      atexit
//! panic                              the panic hook, before the message is printed
//! SIGHUP, SIGINT, SIGQUIT, SIGTERM   their handler, which then dies by the signal
//! SIGTSTP                            its handler, which then stops; SIGCONT makes it raw again
//! SIGKILL, SIGSEGV, ...              the guard, a child that waits for our end of a pipe to close
//! ```

mod guard;
mod pty;

pub use pty::open_pty;

use super::fd::check;
use super::signal;
use guard::Guard;
use std::io::{self, IsTerminal, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

const STDIN: RawFd = libc::STDIN_FILENO;

/// The terminal's settings before us, and ours.
struct Settings {
    before: libc::termios,
    raw: libc::termios,
}

static SETTINGS: OnceLock<Settings> = OnceLock::new();
/// A [`Raw`] lives.
static WANTED: AtomicBool = AtomicBool::new(false);
/// The terminal has our settings.
static IS_RAW: AtomicBool = AtomicBool::new(false);

/// While it lives, standard input is a raw terminal.
pub struct Raw {
    guard: Option<Guard>,
}

/// Makes standard input raw; `None` when it is no terminal. Best called before there are threads and guest memory
/// (it forks), and late enough that errors of the configuration are out of the way. To be called once in a process.
///
/// A process in the background is not stopped for it: the terminal becomes raw when it is next in the foreground.
pub fn raw() -> io::Result<Option<Raw>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let before = attributes(STDIN)?;
    let first = SETTINGS.set(Settings { before, raw: made_raw(before) }).is_ok();
    if !first || WANTED.swap(true, Ordering::SeqCst) {
        return Err(io::Error::other("the terminal is already raw"));
    }
    // Without a guard only SIGKILL leaves the terminal raw: no reason not to run.
    let guard = Guard::start().inspect_err(|e| log::warn!("start the terminal's guard: {e}")).ok();
    let raw = Raw { guard };
    for fatal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        signal::handle(fatal, on_fatal, true)?;
    }
    signal::handle(libc::SIGTSTP, on_stop, false)?;
    signal::handle(libc::SIGCONT, on_continue, false)?;
    restore_on_panic();
    // SAFETY: registers a function that lives for ever.
    unsafe { libc::atexit(on_exit) };
    resume();
    Ok(Some(raw))
}

impl Drop for Raw {
    fn drop(&mut self) {
        WANTED.store(false, Ordering::SeqCst);
        restore();
        if let Some(guard) = self.guard.take() {
            guard.end();
        }
    }
}

/// Gives the terminal its settings back, until [`resume`]. Does nothing when it has them. Safe in a signal handler.
pub fn restore() {
    let Some(settings) = SETTINGS.get() else { return };
    if IS_RAW.swap(false, Ordering::SeqCst) {
        // With SIGTTOU (we are in the background by now) the process would stop here; the others can wait.
        if in_foreground() {
            let _ = set_attributes(STDIN, &settings.before);
        }
    }
}

/// Makes the terminal raw again if it is to be, is not, and is ours now. Safe in a signal handler.
pub fn resume() {
    let Some(settings) = SETTINGS.get() else { return };
    if WANTED.load(Ordering::SeqCst) && in_foreground() && !IS_RAW.swap(true, Ordering::SeqCst) {
        let _ = set_attributes(STDIN, &settings.raw);
    }
}

/// Columns and rows; `None` when `fd` is no terminal or does not know.
pub fn size(fd: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: TIOCGWINSZ fills a winsize.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) }).ok()?;
    // SAFETY: filled just now (and all-zero is valid).
    let size = unsafe { size.assume_init() };
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Standard error for messages that may be written while the terminal is raw (where a line feed is no new line).
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut to = io::stderr().lock();
        if !IS_RAW.load(Ordering::Relaxed) {
            return to.write(data);
        }
        let lines = data.split_inclusive(|b| *b == b'\n');
        for line in lines {
            match line.strip_suffix(b"\n") {
                Some(line) => to.write_all(line).and_then(|()| to.write_all(b"\r\n"))?,
                None => to.write_all(line)?,
            }
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Every byte both ways as it is: no echo, no lines, no signals, no translation.
fn made_raw(mut settings: libc::termios) -> libc::termios {
    // SAFETY: changes the fields of a termios that is ours.
    unsafe { libc::cfmakeraw(&raw mut settings) };
    settings
}

fn attributes(fd: RawFd) -> io::Result<libc::termios> {
    let mut settings = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: tcgetattr fills a termios.
    check(unsafe { libc::tcgetattr(fd, settings.as_mut_ptr()) })?;
    // SAFETY: filled just now.
    Ok(unsafe { settings.assume_init() })
}

/// At once: waiting for output to drain could last for ever in front of a stopped terminal.
fn set_attributes(fd: RawFd, settings: &libc::termios) -> io::Result<()> {
    // SAFETY: a complete termios.
    check(unsafe { libc::tcsetattr(fd, libc::TCSANOW, settings) }).map(|_| ())
}

/// Whether changing the terminal would not stop us: we are in its foreground group, or it is not our controlling one.
fn in_foreground() -> bool {
    // SAFETY: no pointers.
    let (owner, group) = unsafe { (libc::tcgetpgrp(STDIN), libc::getpgrp()) };
    owner < 0 || owner == group
}

extern "C" fn on_exit() {
    restore();
    guard::dismiss();
}

/// The signal has its default action again (SA_RESETHAND) and is delivered when this returns.
extern "C" fn on_fatal(number: libc::c_int) {
    on_exit();
    signal::raise(number);
}

extern "C" fn on_stop(number: libc::c_int) {
    let errno = signal::errno();
    restore();
    signal::default(number);
    signal::unblock(number);
    signal::raise(number);
    // Here we are continued.
    let _ = signal::handle(number, on_stop, false);
    resume();
    signal::set_errno(errno);
}

/// After SIGSTOP, or `fg`: whoever had the terminal in between has left it as it likes it.
extern "C" fn on_continue(_: libc::c_int) {
    let errno = signal::errno();
    if in_foreground() {
        IS_RAW.store(false, Ordering::SeqCst);
        resume();
    }
    signal::set_errno(errno);
}

fn restore_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        print(info);
    }));
}

#[cfg(test)]
mod tests;
