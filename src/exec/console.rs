//! The kernel's log on its way from the serial port: watched for reports, kept in memory, and written where the user
//! wants it.

use super::told::Told;
use crate::klog::Kept;
use crate::sys::term::Stderr;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{self, LineWriter, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Where the log goes.
pub enum Target {
    /// Into memory: it is shown when the run fails.
    Kept,
    Stderr(LineWriter<Stderr>),
    File(LineWriter<File>),
}

/// A log that is being listened to.
pub struct Console {
    /// The serial port's end.
    guest: UnixStream,
    listener: JoinHandle<Heard>,
}

/// What there was to hear.
pub struct Heard {
    pub kept: Kept,
    pub told: Told,
    /// When the kernel said its first word.
    pub first: Option<Instant>,
}

impl Console {
    pub fn listen(target: Target) -> Result<Console> {
        let (guest, host) = UnixStream::pair().context("create the kernel log's socket")?;
        let listener = thread::Builder::new()
            .name("klog".into())
            .stack_size(256 << 10)
            .spawn(move || hear(host, target))
            .context("start the kernel log's thread")?;
        Ok(Console { guest, listener })
    }

    /// The stream for the serial port, as `--serial` takes it; good while the console lives.
    pub fn stream(&self) -> String {
        format!("fd={}", self.guest.as_raw_fd())
    }

    /// Everything that was said. The machine has ended.
    pub fn finish(self) -> Result<Heard> {
        // The machine may still have the socket open; what was sent before is read first.
        let _ = self.guest.shutdown(Shutdown::Write);
        self.listener.join().ok().context("the kernel log's thread died")
    }
}

fn hear(mut host: UnixStream, mut target: Target) -> Heard {
    let mut heard = Heard { kept: Kept::new(), told: Told::default(), first: None };
    let mut piece = vec![0; 16 << 10];
    loop {
        let said = match host.read(&mut piece) {
            Ok(0) => return heard,
            Ok(n) => piece.get(..n).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                log::error!("read the kernel log: {e}");
                return heard;
            }
        };
        heard.first.get_or_insert_with(Instant::now);
        heard.told.feed(said);
        heard.kept.feed(said);
        if let Err(e) = target.write(said) {
            log::error!("--klog: write the kernel log: {e}");
            target = Target::Kept;
        }
    }
}

impl Target {
    pub fn stderr() -> Target {
        Target::Stderr(LineWriter::new(Stderr))
    }

    /// Lines are written when they have ended: the guest says them letter by letter.
    pub fn file(file: File) -> Target {
        Target::File(LineWriter::new(file))
    }

    fn write(&mut self, said: &[u8]) -> io::Result<()> {
        match self {
            Target::Kept => Ok(()),
            Target::Stderr(stderr) => stderr.write_all(said),
            Target::File(file) => file.write_all(said),
        }
    }
}
