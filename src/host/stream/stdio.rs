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
use std::os::fd::AsFd;
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

fn read_terminal(input: File, resized: &EventFd, inbox: &Inbox, notify: &Notify) {
    let (mut keys, mut typed, mut for_guest) = (Keys::default(), [0; 1024], Vec::new());
    while let Ok([has_input, has_size]) = fd::wait_readable([input.as_fd(), fd::of(resized)]) {
        if has_size {
            let _ = resized.read();
            inbox.ring();
        }
        if !has_input {
            continue;
        }
        let n = match (&input).read(&mut typed) {
            Ok(0) => return,
            Ok(n) => n,
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => continue,
            // EIO: it hung up.
            Err(_) => return,
        };
        // We may have been in the background when it should have become raw.
        term::resume();
        keys.sort(typed.get(..n).unwrap_or_default(), &mut for_guest, |command| match command {
            Command::Quit => notify(Request::UserQuit),
            Command::PowerButton => notify(Request::PowerButton),
            Command::Help => {
                let _ = term::Stderr.write_all(HELP.as_bytes());
            }
        });
        if !for_guest.is_empty() {
            inbox.put_typed(&for_guest);
            for_guest.clear();
        }
    }
}

#[cfg(test)]
mod tests;
