//! RFB in the binary messages of a WebSocket (RFC 6455), whose borders mean nothing.

use super::super::vnc::Wire;
use crate::host::http::Stream;
use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, fd};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

/// The most bytes of a message of a browser.
const MOST: usize = 1 << 20;
/// Bytes of a message that we send.
const PIECE: usize = 64 << 10;
/// How long a browser has to say goodbye too.
const FAREWELL: Duration = Duration::from_millis(500);
/// What the page tells people that the guest has ended by (RFC 6455, 7.4.2: from 4000 on they are the application's own).
const GUEST_ENDED: u16 = 4000;

pub struct Socket {
    socket: WebSocket<Sent>,
    /// Of the message that is being read.
    rest: Bytes,
    /// Something was taken that may not be sent yet.
    kept: bool,
    near: bool,
    stop: Arc<EventFd>,
}

impl Socket {
    /// `stream` does not block; `early` is what was read of it already. `stop` is readable when the guest has ended.
    pub fn new(stream: Arc<Stream>, early: Vec<u8>, near: bool, stop: Arc<EventFd>) -> Socket {
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * PIECE)
            .max_message_size(Some(MOST))
            .max_frame_size(Some(MOST));
        let socket = WebSocket::from_partially_read(Sent(stream), early, Role::Server, Some(config));
        Socket { socket, rest: Bytes::new(), kept: false, near, stop }
    }
}

impl Wire for Socket {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().0.as_fd()
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = match self.socket.read() {
                Ok(Message::Binary(data)) => data,
                Ok(Message::Text(_)) => return Err(io::Error::new(ErrorKind::InvalidData, "a text message")),
                Ok(Message::Close(_)) => return Ok(0),
                // Pings are answered with what is sent next, or by the next read.
                Ok(_) => Bytes::new(),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Err(e) => return Err(plain(e)),
            };
        }
        if self.rest.is_empty() {
            return Err(ErrorKind::Interrupted.into());
        }
        let n = buf.len().min(self.rest.len());
        let data = self.rest.split_to(n);
        buf.iter_mut().zip(data).for_each(|(to, from)| *to = from);
        Ok(n)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.kept {
            self.flush()?;
        }
        let piece = data.get(..data.len().min(PIECE)).unwrap_or_default();
        match self.socket.write(Message::Binary(Bytes::copy_from_slice(piece))) {
            // It is in the buffer all the same.
            Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => {}
            other => other.map_err(plain)?,
        }
        self.kept = true;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(plain)?;
        self.kept = false;
        Ok(())
    }

    fn near(&self) -> bool {
        self.near
    }
}

/// Says why, and waits a little for the answer: a connection that is closed with unread input would lose it.
impl Drop for Socket {
    fn drop(&mut self) {
        let ended = Watch::new(fd::of(&self.stop), true, false);
        let mut ended = [ended];
        let ended = readiness::wait(&mut ended, Some(Duration::ZERO)).is_ok() && ended.iter().all(Watch::ready);
        let (code, reason) = match ended {
            true => (CloseCode::from(GUEST_ENDED), "the guest has ended"),
            false => (CloseCode::Normal, ""),
        };
        let mut last = self.socket.close(Some(CloseFrame { code, reason: reason.into() }));
        let deadline = Instant::now() + FAREWELL;
        loop {
            let output = match last {
                Ok(()) => false,
                Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => true,
                Err(_) => return,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || readiness::wait(&mut [Watch::new(self.fd(), true, output)], Some(left)).is_err() {
                return;
            }
            last = match self.socket.read() {
                Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => self.socket.flush(),
                other => other.map(drop),
            };
        }
    }
}

fn plain(error: Error) -> io::Error {
    match error {
        Error::Io(e) => e,
        Error::ConnectionClosed | Error::AlreadyClosed => ErrorKind::BrokenPipe.into(),
        other => io::Error::new(ErrorKind::InvalidData, other.to_string()),
    }
}

/// A stream as the WebSocket wants it. What does not fit now is `WouldBlock`; a browser that left is an error.
struct Sent(Arc<Stream>);

impl Read for Sent {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf)
    }
}

impl io::Write for Sent {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        fd::send_now(self.0.as_fd(), data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
