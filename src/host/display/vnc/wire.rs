//! What carries RFB: a socket, a TLS session on one, a WebSocket.

use crate::sys::fd;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// A connection that never waits: what cannot be done now is `WouldBlock`.
pub trait Wire: Send {
    /// To wait for. It becomes readable when there may be something to read, after `read` has said `WouldBlock`; and
    /// writable when `flush` may get further, after that has said so.
    fn fd(&self) -> BorrowedFd<'_>;

    /// Bytes of the peer. 0: it sends no more. `Interrupted`: something came that has none, and there may be more; whoever
    /// sends such things without end cannot keep the caller from what else it has to do.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Takes a part of `data`, at least one byte. What a carrier keeps of it for later must be bounded.
    fn write(&mut self, data: &[u8]) -> io::Result<usize>;

    /// Sends what was taken and kept. `WouldBlock`: some of it is still there.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Whether the peer is on this host, so that bytes cost less than the work to save them.
    fn near(&self) -> bool {
        false
    }
}

/// A socket as it is.
pub struct Socket<S> {
    stream: S,
    near: bool,
}

impl<S: AsFd + Read + Send> Socket<S> {
    /// `stream` does not block (O_NONBLOCK).
    pub fn new(stream: S, near: bool) -> Socket<S> {
        Socket { stream, near }
    }
}

impl<S: AsFd + Read + Send> Wire for Socket<S> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        fd::send_now(self.stream.as_fd(), data)
    }

    fn near(&self) -> bool {
        self.near
    }
}
