//! What the two ends of the channel say to each other: frames of a kind, a length and a payload.
//!
//! ```text
//! byte 0     kind
//! bytes 1-3  length of the payload, little endian, at most 64 KiB
//! then       the payload; numbers in it are little endian
//!
//! guest  Hello                Started  Out* Err* StdinClosed? Credit*  OutEnd ErrEnd   Exit
//! host          Job* JobEnd            Stdin* StdinEnd? Credit* Close* Resize* Signal*
//! ```
//!
//! Each of the three streams starts with a window of [`WINDOW`] bytes that may be on the way; credits open it again. So a
//! reader that is slow stops the writer of its own stream, and nothing else.

mod buffers;
mod seal;

pub use buffers::{Incoming, Outgoing};
pub use seal::{Key, seal};

use std::fmt;

/// Of this file. Both ends are the same program, but the initramfs may be somebody's own.
pub const VERSION: u32 = 1;
/// Bytes before the payload of a frame.
pub const HEADER: usize = 4;
/// The most bytes of a payload.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// Bytes of one stream that may be on the way without a credit.
pub const WINDOW: u32 = 256 << 10;
/// Credits are given in steps of this many bytes, so that they are few.
pub const CREDIT_STEP: u32 = WINDOW / 4;
/// The most bytes of a text; longer ones are cut.
pub const MAX_TEXT: usize = 4096;

/// An output stream of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

impl Stream {
    pub const ALL: [Stream; 2] = [Stream::Out, Stream::Err];

    pub fn index(self) -> usize {
        self as usize
    }

    pub fn name(self) -> &'static str {
        match self {
            Stream::Out => "standard output",
            Stream::Err => "standard error",
        }
    }

    fn of(byte: u8) -> Result<Stream, Malformed> {
        match byte {
            0 => Ok(Stream::Out),
            1 => Ok(Stream::Err),
            _ => Err(Malformed("a stream that does not exist")),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its exit status.
    Code(u8),
    /// The signal that killed it, 1 to 64.
    Signal(u8),
}

/// What the host says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToGuest<'a> {
    /// A piece of the encoded [`super::Job`]; the pieces joined are the whole.
    Job(&'a [u8]),
    JobEnd,
    Stdin(&'a [u8]),
    /// End of file on the command's standard input, once what was sent has been read.
    StdinEnd,
    Resize {
        columns: u16,
        rows: u16,
    },
    /// For the command's process group.
    Signal(u8),
    /// So many more bytes of the stream may come.
    Credit(Stream, u32),
    /// Nobody reads the stream any more: the command is to get SIGPIPE.
    Close(Stream),
}

/// What the guest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToHost<'a> {
    Hello {
        version: u32,
        /// CLOCK_BOOTTIME.
        uptime_ns: u64,
        /// `uname -r`.
        release: &'a [u8],
        /// /sys/kernel/vmcoreinfo, or nothing.
        vmcoreinfo: &'a [u8],
    },
    Started {
        uptime_ns: u64,
    },
    Data(Stream, &'a [u8]),
    /// No more data on the stream.
    End(Stream),
    /// The command closed its standard input.
    StdinClosed,
    /// So many more bytes of standard input may come.
    Credit(u32),
    Exit(Exit),
    /// There is no such command (127).
    NotFound(&'a [u8]),
    /// There is one, and it cannot be run (126).
    NotRunnable(&'a [u8]),
    /// The agent could not do its part.
    Failed(&'a [u8]),
}

/// The last word: believed only if the totals are what came, and the seal is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub ending: Ending,
    pub uptime_ns: u64,
    /// Bytes sent of each stream.
    pub totals: [u64; 2],
    /// See [`seal`].
    pub seal: u64,
}

impl Exit {
    /// What [`seal`] is made over.
    pub fn sealed_part(&self) -> [u8; 26] {
        let (kind, value) = match self.ending {
            Ending::Code(code) => (0, code),
            Ending::Signal(number) => (1, number),
        };
        let mut bytes = [0; 26];
        let numbers = [self.uptime_ns, self.totals[0], self.totals[1]];
        let rest = numbers.into_iter().flat_map(u64::to_le_bytes);
        for (to, from) in bytes.iter_mut().zip([kind, value].into_iter().chain(rest)) {
            *to = from;
        }
        bytes
    }
}

/// Why bytes are not what [`VERSION`] of the protocol says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

const JOB: u8 = 1;
const JOB_END: u8 = 2;
const STDIN: u8 = 3;
const STDIN_END: u8 = 4;
const RESIZE: u8 = 5;
const SIGNAL: u8 = 6;
const CREDIT: u8 = 7;
const CLOSE: u8 = 8;

const HELLO: u8 = 0x81;
const STARTED: u8 = 0x82;
const OUT: u8 = 0x83;
const ERR: u8 = 0x84;
const OUT_END: u8 = 0x85;
const ERR_END: u8 = 0x86;
const STDIN_CLOSED: u8 = 0x87;
const STDIN_CREDIT: u8 = 0x88;
const EXIT: u8 = 0x89;
const NOT_FOUND: u8 = 0x8a;
const NOT_RUNNABLE: u8 = 0x8b;
const FAILED: u8 = 0x8c;

/// The kind of a frame with data of `stream`, for who writes the payload in place.
pub fn data_kind(stream: Stream) -> u8 {
    match stream {
        Stream::Out => OUT,
        Stream::Err => ERR,
    }
}

/// A payload longer than [`MAX_PAYLOAD`] is cut; callers send less.
fn frame(to: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let room = parts.iter().map(|p| p.len()).sum::<usize>().min(MAX_PAYLOAD);
    let [a, b, c, _] = (room as u32).to_le_bytes();
    to.extend([kind, a, b, c]);
    to.extend(parts.iter().copied().flatten().take(room));
}

fn text(bytes: &[u8]) -> &[u8] {
    bytes.get(..MAX_TEXT).unwrap_or(bytes)
}

impl ToGuest<'_> {
    /// Appends the frame.
    pub fn put(&self, to: &mut Vec<u8>) {
        match *self {
            ToGuest::Job(piece) => frame(to, JOB, &[piece]),
            ToGuest::JobEnd => frame(to, JOB_END, &[]),
            ToGuest::Stdin(data) => frame(to, STDIN, &[data]),
            ToGuest::StdinEnd => frame(to, STDIN_END, &[]),
            ToGuest::Resize { columns, rows } => {
                frame(to, RESIZE, &[&columns.to_le_bytes(), &rows.to_le_bytes()]);
            }
            ToGuest::Signal(number) => frame(to, SIGNAL, &[&[number]]),
            ToGuest::Credit(stream, bytes) => frame(to, CREDIT, &[&[stream as u8], &bytes.to_le_bytes()]),
            ToGuest::Close(stream) => frame(to, CLOSE, &[&[stream as u8]]),
        }
    }

    pub fn read(kind: u8, payload: &[u8]) -> Result<ToGuest<'_>, Malformed> {
        let mut rest = Fields(payload);
        let frame = match kind {
            JOB => ToGuest::Job(rest.all()),
            JOB_END => ToGuest::JobEnd,
            STDIN => ToGuest::Stdin(rest.all()),
            STDIN_END => ToGuest::StdinEnd,
            RESIZE => {
                ToGuest::Resize { columns: u16::from_le_bytes(rest.bytes()?), rows: u16::from_le_bytes(rest.bytes()?) }
            }
            SIGNAL => ToGuest::Signal(signal(rest.byte()?)?),
            CREDIT => ToGuest::Credit(Stream::of(rest.byte()?)?, u32::from_le_bytes(rest.bytes()?)),
            CLOSE => ToGuest::Close(Stream::of(rest.byte()?)?),
            _ => return Err(Malformed("a frame of a kind that does not exist")),
        };
        rest.end().map(|()| frame)
    }
}

impl ToHost<'_> {
    /// Appends the frame.
    pub fn put(&self, to: &mut Vec<u8>) {
        match *self {
            ToHost::Hello { version, uptime_ns, release, vmcoreinfo } => {
                let (release, vmcoreinfo) = (text(release), text(vmcoreinfo));
                let length = (release.len() as u16).to_le_bytes();
                let numbers = [&version.to_le_bytes()[..], &uptime_ns.to_le_bytes(), &length];
                frame(to, HELLO, &[numbers[0], numbers[1], numbers[2], release, vmcoreinfo]);
            }
            ToHost::Started { uptime_ns } => frame(to, STARTED, &[&uptime_ns.to_le_bytes()]),
            ToHost::Data(stream, data) => frame(to, data_kind(stream), &[data]),
            ToHost::End(Stream::Out) => frame(to, OUT_END, &[]),
            ToHost::End(Stream::Err) => frame(to, ERR_END, &[]),
            ToHost::StdinClosed => frame(to, STDIN_CLOSED, &[]),
            ToHost::Credit(bytes) => frame(to, STDIN_CREDIT, &[&bytes.to_le_bytes()]),
            ToHost::Exit(exit) => frame(to, EXIT, &[&exit.sealed_part(), &exit.seal.to_le_bytes()]),
            ToHost::NotFound(why) => frame(to, NOT_FOUND, &[text(why)]),
            ToHost::NotRunnable(why) => frame(to, NOT_RUNNABLE, &[text(why)]),
            ToHost::Failed(why) => frame(to, FAILED, &[text(why)]),
        }
    }

    pub fn read(kind: u8, payload: &[u8]) -> Result<ToHost<'_>, Malformed> {
        let mut rest = Fields(payload);
        let frame = match kind {
            HELLO => {
                let version = u32::from_le_bytes(rest.bytes()?);
                let uptime_ns = u64::from_le_bytes(rest.bytes()?);
                let length = u16::from_le_bytes(rest.bytes()?);
                let release = rest.take(usize::from(length))?;
                ToHost::Hello { version, uptime_ns, release: text(release), vmcoreinfo: text(rest.all()) }
            }
            STARTED => ToHost::Started { uptime_ns: u64::from_le_bytes(rest.bytes()?) },
            OUT => ToHost::Data(Stream::Out, rest.all()),
            ERR => ToHost::Data(Stream::Err, rest.all()),
            OUT_END => ToHost::End(Stream::Out),
            ERR_END => ToHost::End(Stream::Err),
            STDIN_CLOSED => ToHost::StdinClosed,
            STDIN_CREDIT => ToHost::Credit(u32::from_le_bytes(rest.bytes()?)),
            EXIT => ToHost::Exit(rest.exit()?),
            NOT_FOUND => ToHost::NotFound(text(rest.all())),
            NOT_RUNNABLE => ToHost::NotRunnable(text(rest.all())),
            FAILED => ToHost::Failed(text(rest.all())),
            _ => return Err(Malformed("a frame of a kind that does not exist")),
        };
        rest.end().map(|()| frame)
    }
}

fn signal(number: u8) -> Result<u8, Malformed> {
    if (1..=64).contains(&number) { Ok(number) } else { Err(Malformed("a signal that does not exist")) }
}

/// What is left of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(Malformed("a frame that is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("a frame that is too short"))
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.bytes().map(|[byte]| byte)
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn exit(&mut self) -> Result<Exit, Malformed> {
        let (kind, value) = (self.byte()?, self.byte()?);
        let ending = match kind {
            0 => Ending::Code(value),
            1 => Ending::Signal(signal(value)?),
            _ => return Err(Malformed("an end that does not exist")),
        };
        let mut number = || self.bytes().map(u64::from_le_bytes);
        Ok(Exit { ending, uptime_ns: number()?, totals: [number()?, number()?], seal: number()? })
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("a frame that is too long")) }
    }
}

#[cfg(test)]
mod tests;
