//! Waiting for several descriptors at once, some for input and some for room to write.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What a descriptor is waited for. An error or a hang-up of the other side ends every wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Readable,
    Writable,
    /// For errors and hang-ups alone.
    Broken,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Is {
    pub readable: bool,
    pub writable: bool,
    /// In error, or hung up. There may be input left.
    pub broken: bool,
}

/// Waits, without a limit, until one of them is as it is waited for.
pub fn until<const N: usize>(fds: [Option<(BorrowedFd<'_>, Until)>; N]) -> io::Result<[Is; N]> {
    let mut polled = fds.map(|wanted| match wanted {
        // poll(2) passes over negative descriptors.
        None => libc::pollfd { fd: -1, events: 0, revents: 0 },
        Some((fd, until)) => {
            let events = match until {
                Until::Readable => libc::POLLIN,
                Until::Writable => libc::POLLOUT,
                Until::Broken => 0,
            };
            libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
        }
    });
    loop {
        // SAFETY: the array is ours and its length is given.
        let rc = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
        match io::Error::last_os_error() {
            _ if rc >= 0 => break,
            e if e.kind() == io::ErrorKind::Interrupted => continue,
            e => return Err(e),
        }
    }
    Ok(polled.map(|p| Is {
        readable: p.revents & libc::POLLIN != 0,
        writable: p.revents & libc::POLLOUT != 0,
        broken: p.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0,
    }))
}
