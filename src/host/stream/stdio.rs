//! Standard input and output. On a terminal, input is read from the start, whether the guest takes it or not:
//! Ctrl-A x has to end a guest that hangs.

use super::Stream;
use super::ends::{Ends, Reader};
use super::input::{Inbox, read_file, spawn};
use super::keys::{Command, HELP, Keys};
use super::output::Output;
use super::sink::Descriptor;
use crate::event::{Notify, Request};
use crate::sys::{EventFd, Lock, fd, signal, term};
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Whose it is; there is one in a process.
static OWNER: Lock<Option<String>> = Lock::new(None);
/// Device number of /dev/null.
const NULL: u64 = 0x103;

pub fn open(owner: &str, notify: &Notify) -> Result<Arc<dyn Stream>> {
    let mut taken = OWNER.lock();
    if let Some(first) = &*taken {
        bail!("{owner} cannot have stdio: {first} has it; give one of them another stream");
    }
    *taken = Some(owner.to_string());
    let out = fd::duplicate(io::stdout()).and_then(Descriptor::shared).context("open standard output")?;
    let input = File::from(fd::duplicate(io::stdin()).context("open standard input")?);
    let output = Output::new(out);
    if input.is_terminal() {
        let resized = signal::on_resize().context("watch the terminal's size")?;
        let (notify, stdio) = (notify.clone(), Ends::new(output, None).sized(|| term::size(io::stdout().as_fd())));
        let inbox = stdio.inbox.clone();
        spawn("stdin", move || read_terminal(input, &resized, &inbox, &notify));
        return Ok(Arc::new(stdio));
    }
    let null = input.metadata().is_ok_and(|m| m.rdev() == NULL);
    let reader: Reader = Box::new(|inbox| read_file(input, inbox));
    Ok(Arc::new(Ends::new(output, (!null).then_some(reader)).sized(|| term::size(io::stdout().as_fd()))))
}

/// What is typed at the terminal that is standard input, without the Ctrl-A commands.
pub fn typed(notify: &Notify) -> Result<File> {
    let input = File::from(fd::duplicate(io::stdin()).context("open standard input")?);
    let (reader, writer) = io::pipe().context("create a pipe for what is typed")?;
    let notify = notify.clone();
    spawn("stdin", move || {
        let mut keys = Typed::default();
        while let Some(bytes) = keys.next(&input, &notify) {
            if (&writer).write_all(bytes).is_err() {
                return;
            }
        }
    });
    Ok(File::from(OwnedFd::from(reader)))
}

fn read_terminal(input: File, resized: &EventFd, inbox: &Inbox, notify: &Notify) {
    let mut typed = Typed::default();
    while let Ok([has_input, has_size]) = fd::wait_readable([input.as_fd(), fd::of(resized)]) {
        if has_size {
            let _ = resized.read();
            inbox.ring();
        }
        if !has_input {
            continue;
        }
        match typed.next(&input, notify) {
            None => return,
            Some([]) => {}
            Some(bytes) => inbox.put_typed(bytes),
        }
    }
}

/// Reads a terminal and sorts what is for the guest from what is for kiln.
#[derive(Default)]
struct Typed {
    keys: Keys,
    for_guest: Vec<u8>,
}

impl Typed {
    /// What is for the guest of what was typed since, waiting for something to be; `None` at the end.
    fn next(&mut self, mut input: &File, notify: &Notify) -> Option<&[u8]> {
        let mut typed = [0; 1024];
        let n = match input.read(&mut typed) {
            Ok(0) => return None,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                fd::wait_readable([input.as_fd()]).ok()?;
                0
            }
            // EIO: it hung up.
            Err(_) => return None,
        };
        // We may have been in the background when it should have become raw.
        term::resume();
        self.for_guest.clear();
        let typed = typed.get(..n).unwrap_or_default();
        self.keys.sort(typed, &mut self.for_guest, |command| match command {
            Command::Quit => notify(Request::UserQuit),
            Command::PowerButton => notify(Request::PowerButton),
            Command::Help => {
                let _ = term::Stderr.write_all(HELP.as_bytes());
            }
        });
        Some(&self.for_guest)
    }
}

#[cfg(test)]
mod tests;
