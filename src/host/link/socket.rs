//! A link over a message socket: one frame a message, without a header. Also the loopback, which is a socket pair
//! whose one end is written and whose other end is read.

use super::{HEADER, Link, Offloads};
use crate::mem::{Slice, vectored};
use crate::sys::socket;
use anyhow::{Context, Result, bail, ensure};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

/// Frames under way in a loopback: a full ring of ordinary ones.
const LOOPBACK_BUFFER: libc::c_int = 1 << 20;

pub struct Socket {
    receive: OwnedFd,
    /// `None`: the same.
    send: Option<OwnedFd>,
    /// A message of no bytes means that the other side is gone.
    connection: bool,
    header: usize,
}

impl Socket {
    pub fn loopback(pairs: usize) -> Result<Socket> {
        one(pairs)?;
        let (receive, send) = socket::message_pair().context("create a socket pair")?;
        socket::set_send_buffer(send.as_fd(), LOOPBACK_BUFFER);
        Ok(Socket { receive, send: Some(send), connection: true, header: HEADER })
    }

    pub fn inherited(fd: RawFd, pairs: usize) -> Result<Socket> {
        one(pairs)?;
        ensure!(fd > 2, "`fd={fd}`: want a socket, not standard input, output or error");
        let own = socket::inherited(fd).with_context(|| {
            format!("`fd={fd}`: whoever starts kiln must open a datagram socket and hand it down as this number")
        })?;
        let connection = match socket::kind(own.as_fd()).with_context(|| format!("`fd={fd}`"))? {
            libc::SOCK_DGRAM => false,
            libc::SOCK_SEQPACKET => true,
            _ => bail!("`fd={fd}`: want a datagram or seqpacket socket, one frame a message"),
        };
        socket::set_nonblocking(own.as_fd()).with_context(|| format!("`fd={fd}`"))?;
        Ok(Socket { receive: own, send: None, connection, header: HEADER })
    }
}

fn one(pairs: usize) -> Result<()> {
    ensure!(pairs == 1, "`queues={pairs}`: only a tap has several queues");
    Ok(())
}

impl Link for Socket {
    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }

    fn set_offloads(&mut self, _: Offloads) -> io::Result<()> {
        Ok(())
    }

    fn set_header(&mut self, bytes: usize) -> io::Result<()> {
        self.header = bytes.min(HEADER);
        Ok(())
    }

    fn set_pairs(&mut self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn fd(&self, pair: usize) -> Option<BorrowedFd<'_>> {
        (pair == 0).then_some(self.receive.as_fd())
    }

    fn receive(&mut self, _: usize, parts: &[&Slice], tail: &mut [u8]) -> io::Result<usize> {
        let n = vectored::receive(self.receive.as_fd(), self.header, parts, tail)?;
        if n == 0 && self.connection {
            return Err(ErrorKind::ConnectionReset.into());
        }
        vectored::copy_from(parts.iter().copied(), 0, [0; HEADER].get(..self.header).unwrap_or_default());
        Ok(n + self.header)
    }

    fn send(&mut self, _: usize, parts: &[Slice]) -> io::Result<()> {
        let to = self.send.as_ref().unwrap_or(&self.receive);
        vectored::send(to.as_fd(), self.header, parts).map(drop)
    }

    fn send_own(&mut self, _: usize, frame: &[u8]) -> io::Result<()> {
        let to = self.send.as_ref().unwrap_or(&self.receive);
        vectored::send_own(to.as_fd(), frame.get(self.header..).unwrap_or_default()).map(drop)
    }
}
