//! Streams that are one file descriptor: a file that grows, or a descriptor that kiln was started with.

use super::Stream;
use super::ends::Ends;
use super::input::read_file;
use super::output::{Output, Sink};
use super::sink::Descriptor;
use crate::sys::{fd, socket};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

/// Appends to the file at `path`, which is made when there is none. No input.
pub fn append(path: &Path) -> Result<Arc<dyn Stream>> {
    // O_NONBLOCK matters when it is a named pipe or a terminal.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().append(true).create(true).custom_flags(flags).open(path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    Ok(Arc::new(Ends::new(Output::new(Descriptor::own(file)), None)))
}

/// Descriptor `number`, both ways.
pub fn inherited(number: i32) -> Result<Arc<dyn Stream>> {
    ensure!(number > 2, "fd={number}: the standard descriptors are `stdio`");
    let name = || format!("take over fd={number}");
    let output = socket::inherited(number).with_context(name)?;
    let input = File::from(fd::duplicate(&output).with_context(name)?);
    let output = Output::new(Descriptor::shared(output).with_context(name)?);
    Ok(Arc::new(Ends::new(output, Some(Box::new(|inbox| read_file(input, inbox))))))
}

/// As [`inherited`], a socket that is shut down when the guest closes its end: whoever reads it sees the end of a file.
pub fn session(number: i32) -> Result<Arc<dyn Stream>> {
    let name = || format!("take over session={number}");
    let socket = UnixStream::from(socket::inherited(number).with_context(name)?);
    let input = File::from(fd::duplicate(&socket).with_context(name)?);
    let output = Output::new(Session(socket));
    Ok(Arc::new(Ends::new(output, Some(Box::new(|inbox| read_file(input, inbox))))))
}

struct Session(UnixStream);

impl Sink for Session {
    fn write_now(&self, data: &[u8]) -> io::Result<usize> {
        fd::send_now(self.0.as_fd(), data)
    }

    fn wait(&self) -> io::Result<()> {
        fd::wait_writable(self.0.as_fd())
    }

    fn end(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
