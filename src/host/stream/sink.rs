//! Writing without waiting to a descriptor whose O_NONBLOCK flag is not ours to set: the shell, or the next program in a
//! pipeline, has the same open file. A terminal or pipe is opened a second time; a socket has a flag for each write.

use super::output::Sink;
use crate::sys::{Lock, fd};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Descriptor {
    file: File,
    way: Way,
    /// The reader went away and will not come back.
    gone: AtomicBool,
    complained: Lock<bool>,
}

enum Way {
    /// The file does not wait, or never for a reader.
    Direct,
    Socket,
    /// Ask first, then write so little that it fits.
    Polled,
}

/// A pipe that poll calls writable takes this much (POSIX: PIPE_BUF).
const FITS: usize = 4096;
/// The multiplexer of pseudo terminals: opening it again makes a new one.
const PTMX: u64 = 0x502;

impl Descriptor {
    /// For a descriptor that others may share.
    pub fn shared(fd: OwnedFd) -> io::Result<Descriptor> {
        let file = File::from(fd);
        let about = file.metadata()?;
        let kind = about.file_type();
        if !fd::is_for_output(file.as_fd()) {
            // Opened again it would be: the pipe that our input comes from would get our output.
            let nowhere = Descriptor::new(file, Way::Direct);
            nowhere.gone.store(true, Ordering::Relaxed);
            return Ok(nowhere);
        }
        let reopen = kind.is_fifo() || file.is_terminal() && about.rdev() != PTMX;
        if kind.is_socket() {
            return Ok(Descriptor::new(file, Way::Socket));
        }
        if !reopen {
            return Ok(Descriptor::new(file, Way::Direct));
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        Ok(match File::options().write(true).custom_flags(flags).open(path) {
            Ok(own) => Descriptor::new(own, Way::Direct),
            // Without /proc, or with a terminal of another user.
            Err(_) => Descriptor::new(file, Way::Polled),
        })
    }

    /// For a file that only we have, opened with O_NONBLOCK if it can wait at all.
    pub fn own(file: File) -> Descriptor {
        Descriptor::new(file, Way::Direct)
    }

    fn new(file: File, way: Way) -> Descriptor {
        Descriptor { file, way, gone: AtomicBool::new(false), complained: Lock::new(false) }
    }
}

impl Sink for Descriptor {
    fn write_now(&self, data: &[u8]) -> io::Result<usize> {
        if self.gone.load(Ordering::Relaxed) {
            return Ok(data.len());
        }
        let result = match self.way {
            Way::Direct => (&self.file).write(data),
            Way::Socket => fd::send_now(self.file.as_fd(), data),
            Way::Polled if !fd::writable_now(self.file.as_fd()) => Err(io::ErrorKind::WouldBlock.into()),
            Way::Polled => (&self.file).write(data.get(..FITS).unwrap_or(data)),
        };
        let error = match result {
            Ok(0) if !data.is_empty() => io::ErrorKind::WriteZero.into(),
            Ok(n) => return Ok(n),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Err(e),
            Err(e) => e,
        };
        match error.raw_os_error() {
            // EIO: the terminal hung up.
            Some(libc::EPIPE | libc::EIO | libc::ECONNRESET) => self.gone.store(true, Ordering::Relaxed),
            _ if !std::mem::replace(&mut *self.complained.lock(), true) => log::warn!("write guest output: {error}"),
            _ => {}
        }
        Err(error)
    }

    fn wait(&self) -> io::Result<()> {
        fd::wait_writable(self.file.as_fd())
    }
}
