//! What the agent is to do, as it crosses the channel: every string is bytes, as in the system calls it ends in.

use super::protocol::{Key, Malformed};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// One command, and the machine around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    /// The command and its arguments; not empty.
    pub argv: Vec<OsString>,
    /// The whole environment. HOME, USER, LOGNAME, SHELL and PATH are added where they are missing, and TERM with a terminal.
    pub env: Vec<(OsString, OsString)>,
    /// Where the command starts; absolute.
    pub cwd: PathBuf,
    /// `NAME`, `NAME:GROUP` or numbers, looked up in the guest; `None` is root.
    pub user: Option<OsString>,
    /// A terminal for the command; without one its streams are three pipes.
    pub terminal: Option<Terminal>,
    /// Directories of the host.
    pub shares: Vec<Share>,
    /// A tmpfs layer on top of the root, so that writes land nowhere. Without it the root is as the host shares it.
    pub overlay: bool,
    /// Bytes that the layer may hold; `None`: half of the guest's memory.
    pub tmpfs: Option<u64>,
    pub hostname: OsString,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terminal {
    pub columns: u16,
    pub rows: u16,
    /// The value of TERM.
    pub term: OsString,
}

/// A directory of the host, seen at the same path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// Of the virtio-fs device.
    pub tag: OsString,
    /// Absolute, in the guest.
    pub path: PathBuf,
    pub writable: bool,
}

/// The most bytes of an encoded job: twice what Linux takes as arguments and environment (a quarter of an 8 MiB stack).
pub const MAX: usize = 4 << 20;

impl Job {
    /// With the key that the agent is to seal its last frame with.
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let mut to = Writer(key.to_vec());
        to.list(&self.argv, |to, a| to.bytes(a));
        to.list(&self.env, |to, (name, value)| {
            to.bytes(name);
            to.bytes(value);
        });
        to.bytes(self.cwd.as_os_str());
        to.option(self.user.as_ref(), |to, user| to.bytes(user));
        to.option(self.terminal.as_ref(), |to, t| {
            to.number(u64::from(t.columns));
            to.number(u64::from(t.rows));
            to.bytes(&t.term);
        });
        to.list(&self.shares, |to, s| {
            to.bytes(&s.tag);
            to.bytes(s.path.as_os_str());
            to.0.push(u8::from(s.writable));
        });
        to.0.push(u8::from(self.overlay));
        to.option(self.tmpfs.as_ref(), |to, size| to.number(*size));
        to.bytes(&self.hostname);
        to.0
    }

    pub fn decode(bytes: &[u8]) -> Result<(Job, Key), Malformed> {
        let mut from = Reader(bytes);
        let key = *from.array::<16>()?;
        let job = Job {
            argv: from.list(Reader::string)?,
            env: from.list(|from| Ok((from.string()?, from.string()?)))?,
            cwd: from.string()?.into(),
            user: from.option(Reader::string)?,
            terminal: from.option(|from| {
                Ok(Terminal { columns: from.number()? as u16, rows: from.number()? as u16, term: from.string()? })
            })?,
            shares: from
                .list(|from| Ok(Share { tag: from.string()?, path: from.string()?.into(), writable: from.flag()? }))?,
            overlay: from.flag()?,
            tmpfs: from.option(Reader::number)?,
            hostname: from.string()?,
        };
        if from.0.is_empty() { Ok((job, key)) } else { Err(Malformed("a job with something behind it")) }
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, n: u64) {
        self.0.extend(n.to_le_bytes());
    }

    fn bytes(&mut self, text: &OsStr) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, all: &[T], each: impl Fn(&mut Writer, &T)) {
        self.number(all.len() as u64);
        all.iter().for_each(|one| each(self, one));
    }

    fn option<T>(&mut self, one: Option<&T>, write: impl Fn(&mut Writer, &T)) {
        self.0.push(u8::from(one.is_some()));
        if let Some(one) = one {
            write(self, one);
        }
    }
}

struct Reader<'a>(&'a [u8]);

type Read<T> = Result<T, Malformed>;

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Read<&[u8; N]> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed("a job that is too short"))?;
        self.0 = rest;
        Ok(array)
    }

    fn number(&mut self) -> Read<u64> {
        self.array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn flag(&mut self) -> Read<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Malformed("a job with a flag that is neither 0 nor 1")),
        }
    }

    fn string(&mut self) -> Read<OsString> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let (text, rest) = self.0.split_at_checked(len).ok_or(Malformed("a job that is too short"))?;
        self.0 = rest;
        Ok(OsString::from_vec(text.to_vec()))
    }

    /// Each element takes bytes of the input, so a forged count allocates no more than the input allows.
    fn list<T>(&mut self, each: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        (0..self.number()?).map(|_| each(self)).collect()
    }

    fn option<T>(&mut self, read: impl Fn(&mut Self) -> Read<T>) -> Read<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests;
