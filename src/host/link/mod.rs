//! Network links: where the frames of a guest's network card go to and come from.

mod socket;
mod tap;

use crate::mem::Slice;
use anyhow::Result;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

/// Bytes in front of every frame: struct virtio_net_hdr_v1, which Linux's tap speaks as well. A link without offloads
/// ignores it when sending and fills it with zero when receiving.
pub const HEADER: usize = 12;

/// The same without the number of buffers at its end, for drivers from before virtio 1.0 ([`Link::set_header`]).
pub const SHORT_HEADER: usize = 10;

/// Header and the largest frame there is: 65535 bytes of IP behind an Ethernet header with a VLAN tag.
pub const LARGEST: usize = HEADER + 18 + 65535;

/// What a link can be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A tap interface of the host.
    Tap(String),
    /// A datagram socket that is open as this number; one frame a message.
    Fd(RawFd),
    /// What is sent comes back.
    Loopback,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Tap(name) => write!(f, "tap {name}"),
            Kind::Fd(n) => write!(f, "fd {n}"),
            Kind::Loopback => write!(f, "loopback"),
        }
    }
}

/// A set of things that one side leaves to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offloads(pub u32);

impl Offloads {
    pub const NONE: Offloads = Offloads(0);
    /// Checksums are left open.
    pub const CHECKSUM: Offloads = Offloads(1);
    /// Frames are larger than the MTU, to be cut into TCP segments (over IPv4, IPv6, with ECN).
    pub const TSO4: Offloads = Offloads(2);
    pub const TSO6: Offloads = Offloads(4);
    pub const ECN: Offloads = Offloads(8);
    /// The same for UDP: into fragments, into datagrams.
    pub const UFO: Offloads = Offloads(16);
    pub const USO: Offloads = Offloads(32);

    pub fn has(self, other: Offloads) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn with(self, other: Offloads) -> Offloads {
        Offloads(self.0 | other.0)
    }
}

/// An open link. Nothing here waits.
pub trait Link: Send {
    /// What both sides may leave to each other.
    fn offloads(&self) -> Offloads;

    /// From now on frames received may rely on `guest`.
    fn set_offloads(&mut self, guest: Offloads) -> io::Result<()>;

    /// From now on [`HEADER`] or [`SHORT_HEADER`] bytes are in front of a frame; at first it is [`HEADER`].
    fn set_header(&mut self, bytes: usize) -> io::Result<()>;

    /// Frames are received through the first `n` pairs of queues only.
    fn set_pairs(&mut self, n: usize) -> io::Result<()>;

    /// Readable when there is something to receive.
    fn fd(&self, pair: usize) -> Option<BorrowedFd<'_>>;

    /// Receives header and frame: into `parts` (at least the header), and what does not fit there into `tail`.
    /// Says how many bytes there were. `WouldBlock`: nothing is there. Any other error: the link is gone.
    fn receive(&mut self, pair: usize, parts: &[&Slice], tail: &mut [u8]) -> io::Result<usize>;

    /// Sends the frame that follows the header. An error means that it was lost.
    fn send(&mut self, pair: usize, parts: &[Slice]) -> io::Result<()>;

    /// The same for header and frame in memory of our own.
    fn send_own(&mut self, pair: usize, frame: &[u8]) -> io::Result<()>;
}

/// Opens a link with `pairs` pairs of queues. The error says what to do.
pub fn open(kind: &Kind, pairs: usize) -> Result<Box<dyn Link>> {
    Ok(match kind {
        Kind::Tap(name) => Box::new(tap::Tap::open(name, pairs)?),
        Kind::Fd(fd) => Box::new(socket::Socket::inherited(*fd, pairs)?),
        Kind::Loopback => Box::new(socket::Socket::loopback(pairs)?),
    })
}
