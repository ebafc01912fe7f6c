//! Streams that are one file descriptor: a file that grows, or a descriptor that kiln was started with.

use super::Stream;
use super::ends::Ends;
use super::input::read_file;
use super::output::Output;
use super::sink::Descriptor;
use crate::sys::{fd, socket};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
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
