//! Streams that are one file descriptor: a file that grows, or a descriptor that kiln was started with.

use super::input::{Inbox, read_file};
use super::output::Output;
use super::sink::Descriptor;
use super::{Ready, Stream};
use crate::sys::{Lock, fd, socket};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

struct Plain {
    output: Arc<Output>,
    inbox: Arc<Inbox>,
    /// What input is read from, until someone listens.
    input: Lock<Option<File>>,
}

/// Appends to the file at `path`, which is made when there is none. No input.
pub fn append(path: &Path) -> Result<Arc<dyn Stream>> {
    // O_NONBLOCK matters when it is a named pipe or a terminal.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().append(true).create(true).custom_flags(flags).open(path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    Ok(Arc::new(Plain { output: Output::new(Descriptor::own(file)), inbox: Arc::default(), input: Lock::new(None) }))
}

/// Descriptor `number`, both ways.
pub fn inherited(number: i32) -> Result<Arc<dyn Stream>> {
    ensure!(number > 2, "fd={number}: the standard descriptors are `stdio`");
    let name = || format!("take over fd={number}");
    let output = socket::inherited(number).with_context(name)?;
    let input = File::from(fd::duplicate(&output).with_context(name)?);
    Ok(Arc::new(Plain {
        output: Output::new(Descriptor::shared(output).with_context(name)?),
        inbox: Arc::default(),
        input: Lock::new(Some(input)),
    }))
}

impl Stream for Plain {
    fn write(&self, data: &[u8]) {
        self.output.write(data);
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        self.inbox.read(buf)
    }

    fn listen(&self, ready: Ready) {
        self.inbox.listen(ready);
        if let Some(file) = self.input.lock().take() {
            read_file(file, self.inbox.clone());
        }
    }
}
