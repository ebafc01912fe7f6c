//! Signals: handlers that only do what a handler may, and eventfds that a signal rings.

use super::EventFd;
use super::fd::check;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Runs in whatever thread the signal meets: it may only make system calls and touch atomics.
pub type Handler = extern "C" fn(libc::c_int);

/// Calls `handler` on `signal`; a signal that was ignored when we were started stays so (nohup).
/// `once`: the signal has its default action again when the handler runs.
pub fn handle(signal: libc::c_int, handler: Handler, once: bool) -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one to be filled.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `old` is ours; nothing is changed.
    check(unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut old) })?;
    if old.sa_sigaction == libc::SIG_IGN && signal != libc::SIGCONT && signal != libc::SIGWINCH {
        return Ok(());
    }
    set(
        signal,
        handler as *const () as libc::sighandler_t,
        libc::SA_RESTART | if once { libc::SA_RESETHAND } else { 0 },
    )
}

/// Gives `signal` its default action. Safe in a handler.
pub(super) fn default(signal: libc::c_int) {
    let _ = set(signal, libc::SIG_DFL, 0);
}

pub(super) fn ignore(signal: libc::c_int) {
    let _ = set(signal, libc::SIG_IGN, 0);
}

fn set(signal: libc::c_int, action: libc::sighandler_t, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: all-zero is a valid sigaction: no flags, an empty mask.
    let mut new: libc::sigaction = unsafe { std::mem::zeroed() };
    new.sa_sigaction = action;
    new.sa_flags = flags;
    // SAFETY: a complete sigaction, whose handler (if it is one) is a function that lives for ever.
    check(unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) })?;
    Ok(())
}

/// Sends `signal` to the calling thread. Safe in a handler.
pub(super) fn raise(signal: libc::c_int) {
    // SAFETY: no pointers.
    unsafe { libc::raise(signal) };
}

/// Lets `signal` through in the calling thread. Safe in a handler.
pub(super) fn unblock(signal: libc::c_int) {
    // SAFETY: the set is ours and initialised by sigemptyset.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
}

static RESIZED: AtomicI32 = AtomicI32::new(-1);
static ENDING: AtomicI32 = AtomicI32::new(-1);

extern "C" fn resized(_: libc::c_int) {
    ring(&RESIZED);
}

/// The monotonic clock when we were first asked to end, in milliseconds; 0: not yet.
static ASKED: AtomicU64 = AtomicU64::new(0);
/// timeout(1) and terminals ask a process and then its group: what comes so soon after the first is the same wish.
const SAME_WISH: u64 = 500;

extern "C" fn ending(signal: libc::c_int) {
    let now = monotonic();
    match ASKED.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst) {
        Ok(_) => ring(&ENDING),
        Err(first) if now.saturating_sub(first) < SAME_WISH => {}
        Err(_) => {
            default(signal);
            unblock(signal);
            raise(signal);
        }
    }
}

/// Milliseconds, never 0.
fn monotonic() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills `now`; allowed in a handler (signal-safety(7)).
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    (now.tv_sec as u64).saturating_mul(1000).saturating_add(now.tv_nsec as u64 / 1_000_000).max(1)
}

fn ring(bell: &AtomicI32) {
    let (one, errno) = (1u64, errno());
    // SAFETY: eight bytes of ours; a descriptor is never closed once it is in RESIZED or ENDING.
    unsafe { libc::write(bell.load(Ordering::Acquire), (&raw const one).cast(), 8) };
    set_errno(errno);
}

/// An eventfd that rings when the terminal changed its size (SIGWINCH). It is never closed; the last one made rings.
pub fn on_resize() -> io::Result<EventFd> {
    let bell = super::eventfd()?;
    let kept = bell.try_clone()?;
    RESIZED.store(kept.as_raw_fd(), Ordering::Release);
    let _ = kept.into_raw_fd();
    handle(libc::SIGWINCH, resized, false)?;
    Ok(bell)
}

/// An eventfd that rings when somebody asks us to end: SIGINT, SIGTERM, SIGHUP. It rings once; whoever asks again, half a
/// second later or more, ends us at once. The eventfd is never closed; the last one made rings.
pub fn on_end() -> io::Result<EventFd> {
    let bell = super::eventfd()?;
    let kept = bell.try_clone()?;
    ENDING.store(kept.as_raw_fd(), Ordering::Release);
    let _ = kept.into_raw_fd();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        handle(signal, ending, false)?;
    }
    Ok(bell)
}

/// A handler must leave errno as it found it.
pub(super) fn errno() -> libc::c_int {
    // SAFETY: always points at this thread's errno.
    unsafe { *libc::__errno_location() }
}

pub(super) fn set_errno(value: libc::c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value };
}
