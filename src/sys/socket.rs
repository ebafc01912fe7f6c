//! Message sockets that std does not offer, and descriptors that another program hands us.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Two connected ends of a reliable unix socket that keeps message boundaries (SOCK_SEQPACKET), non-blocking.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the kernel writes two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) })?;
    // SAFETY: new descriptors that nobody else owns.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Asks for room for `bytes` in the sending direction; gets less where the host does not allow as much.
pub fn set_send_buffer(fd: BorrowedFd<'_>, bytes: libc::c_int) {
    for option in [libc::SO_SNDBUFFORCE, libc::SO_SNDBUF] {
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the kernel reads one int.
        let rc = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const bytes).cast(), size) };
        if rc == 0 {
            return;
        }
    }
}

/// Asks the peer of a silent TCP connection now and then whether it is there (SO_KEEPALIVE): one that is not ends it.
pub fn keep_alive(fd: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let at = (&raw const on).cast();
    // SAFETY: the kernel reads one int.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_KEEPALIVE, at, size) }).map(drop)
}

/// SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET. Errors when it is no socket.
pub fn kind(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    let mut kind: libc::c_int = 0;
    let mut size = size_of::<libc::c_int>() as libc::socklen_t;
    let at = (&raw mut kind).cast();
    // SAFETY: the kernel writes one int.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TYPE, at, &mut size) })?;
    Ok(kind)
}

/// A descriptor of our own for what is open as number `fd` (handed down by whoever started us).
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes any number and refuses those that are not open.
    let own = check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}

/// A process at the other end of a unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// 0: of another PID namespace.
    pub pid: u32,
    /// Its effective user.
    pub user: u32,
}

/// Who connected, or, asked by one who did, who listens (SO_PEERCRED, unix(7)).
pub fn peer(fd: BorrowedFd<'_>) -> io::Result<Peer> {
    let mut raw = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let at = (&raw mut raw).cast();
    // SAFETY: the kernel writes one ucred.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, at, &mut size) })?;
    Ok(Peer { pid: u32::try_from(raw.pid).unwrap_or(0), user: raw.uid })
}

/// Reads and writes say `WouldBlock` instead of waiting.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(drop)
}

fn check(rc: libc::c_int) -> io::Result<libc::c_int> {
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}
