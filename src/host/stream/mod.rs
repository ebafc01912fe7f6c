//! Streams: bytes both ways between a guest's serial port or console and the host.
//!
//! ```text
//! guest ─ write ─▶ PanicWatch ─▶ Output (queue) ─▶ terminal, pipe, file, socket, pty
//! guest ◀─ read ── Inbox (bounded) ◀─ reader thread ◀─ Keys (Ctrl-A, terminal only) ◀─┘
//! ```

mod ends;
mod file;
mod input;
mod keys;
mod output;
mod panic;
mod pty;
mod sink;
mod stdio;
mod unix;

pub use output::drain;
pub use stdio::typed;
pub use unix::bind;

use crate::event::Notify;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::sync::Arc;

/// Tells that there is input, or that the terminal has another size.
pub type Ready = Arc<dyn Fn() + Send + Sync>;

pub trait Stream: Send + Sync {
    /// Sends `data` to the host. Never waits for a reader: what it does not take now is queued, in order.
    /// Once 16 MiB are queued the oldest go; a note in the output says how many bytes.
    fn write(&self, data: &[u8]);

    /// Takes input that has arrived; says how many bytes, 0 when there is none now. Never waits.
    fn read(&self, _buf: &mut [u8]) -> usize {
        0
    }

    /// From now on input is collected, and `ready` is called from another thread, without a lock held, each time some
    /// has arrived; for what is there already, see with [`Stream::read`]. What nobody reads stays in the pipe or socket
    /// that it comes from (typed keys: in memory). Called again, it replaces `ready`.
    fn listen(&self, _ready: Ready) {}

    /// Nobody in the guest has its end open any more: the program that had it closed it, or its driver went away.
    fn hung_up(&self) {}

    /// Columns and rows of the terminal behind it.
    fn size(&self) -> Option<(u16, u16)> {
        None
    }
}

/// What [`open`] understands, for the help.
pub const KINDS: &str = "stdio, none, file=PATH, pty, unix=PATH, fd=N, session=N";

/// Opens what `spec` says (`unix:PATH` is the same as `unix=PATH`). `owner` is the guest's end (`ttyS0`), for messages.
pub fn open(spec: &str, owner: &str, notify: &Notify) -> Result<Arc<dyn Stream>> {
    let (kind, value) = match spec.split_once(['=', ':']) {
        Some((kind, value)) => (kind, Some(value)),
        None => (spec, None),
    };
    match (kind, value) {
        ("stdio", None) => stdio::open(owner, notify),
        ("none" | "null", None) => Ok(nowhere()),
        ("pty", None) => Ok(pty::open(owner)?),
        ("file", Some(path)) if !path.is_empty() => file::append(Path::new(path)),
        ("unix", Some(path)) if !path.is_empty() => Ok(unix::listen(Path::new(path))?),
        ("fd", Some(number)) => file::inherited(number.parse().with_context(|| format!("{spec}: want a number"))?),
        ("session", Some(number)) => file::session(number.parse().with_context(|| format!("{spec}: want a number"))?),
        ("file" | "unix", _) => bail!("{spec}: want {kind}=PATH"),
        _ => bail!("`{spec}` is no stream; there are: {KINDS}"),
    }
}

/// As [`open`], for the guest's kernel console: a panic that Linux reports there is told to `notify`.
pub fn open_console(spec: &str, owner: &str, notify: &Notify) -> Result<Arc<dyn Stream>> {
    Ok(Arc::new(panic::PanicWatch::new(open(spec, owner, notify)?, notify.clone())))
}

/// One that takes everything and gives nothing.
pub fn nowhere() -> Arc<dyn Stream> {
    Arc::new(Nowhere)
}

struct Nowhere;

impl Stream for Nowhere {
    fn write(&self, _data: &[u8]) {}
}

#[cfg(test)]
mod tests;
