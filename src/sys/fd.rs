//! Descriptors that other processes may share: waiting for them, and writing without waiting,
//! all without touching their O_NONBLOCK flag (the shell that started us has the same open file).

use super::EventFd;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// An eventfd as something to wait for.
pub fn of(bell: &EventFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open for as long as the EventFd is borrowed.
    unsafe { BorrowedFd::borrow_raw(bell.as_raw_fd()) }
}

/// Waits until one of `fds` has input, was hung up or failed; says which have.
pub fn wait_readable<const N: usize>(fds: [BorrowedFd<'_>; N]) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    poll(&mut polled, -1)?;
    Ok(polled.map(|p| p.revents != 0))
}

/// Waits until `fd` takes output, or would answer a write with an error.
pub fn wait_writable(fd: BorrowedFd<'_>) -> io::Result<()> {
    poll(&mut [libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 }], -1)?;
    Ok(())
}

/// Waits until the other side of socket `fd` is closed both ways.
pub fn wait_hangup(fd: BorrowedFd<'_>) -> io::Result<()> {
    poll(&mut [libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 }], -1)?;
    Ok(())
}

/// Whether the other side of `fd` is closed.
pub fn hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [libc::pollfd { fd: fd.as_raw_fd(), events: 0, revents: 0 }];
    poll(&mut polled, 0).is_ok_and(|n| n > 0)
}

/// Whether `fd` was opened for writing.
pub fn is_for_output(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no pointers.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE != libc::O_RDONLY
}

/// Whether `fd` takes output now, or would answer a write with an error.
pub fn writable_now(fd: BorrowedFd<'_>) -> bool {
    let mut polled = [libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 }];
    poll(&mut polled, 0).is_ok_and(|n| n > 0)
}

fn poll(fds: &mut [libc::pollfd], timeout: i32) -> io::Result<i32> {
    loop {
        // SAFETY: the array is ours and its length is given.
        match check(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout) }) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

/// Sends on a socket what fits without waiting. A peer that left is an error, never SIGPIPE.
pub fn send_now(fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::send(fd.as_raw_fd(), data.as_ptr().cast(), data.len(), flags) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// A listening unix socket that only its owner may connect to, from the first moment on:
/// Linux gives the new file the mode that the socket itself has.
pub fn listen_privately(path: &Path) -> io::Result<UnixListener> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: no pointers.
    check(unsafe { libc::fchmod(fd, 0o600) })?;
    let address = unix_address(path.as_os_str())?;
    // SAFETY: a complete sockaddr_un and its size.
    check(unsafe { libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::listen(fd, 8) })?;
    Ok(UnixListener::from(socket))
}

/// Connects to a unix socket without waiting: `WouldBlock` when too many wait to be let in already.
pub fn connect_now(path: &Path) -> io::Result<UnixStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: a new descriptor that nobody else owns.
    let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let address = unix_address(path.as_os_str())?;
    // SAFETY: a complete sockaddr_un and its size.
    check(unsafe { libc::connect(fd, (&raw const address).cast(), size_of_val(&address) as libc::socklen_t) })?;
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// The most bytes a path of a unix socket has.
pub const UNIX_PATH_MAX: usize = 107;

fn unix_address(path: &OsStr) -> io::Result<libc::sockaddr_un> {
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
    if path.len() > UNIX_PATH_MAX || path.is_empty() {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.as_bytes()) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

/// A new descriptor for the same open file.
pub fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
