//! The guest's end of the channel.

use super::job::{self, Job};
use super::protocol::{Incoming, Key, Outgoing, ToGuest, ToHost};
use crate::sys::readiness::{self, Watch};
use crate::sys::socket;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Why a session does not go on.
#[derive(Debug)]
pub enum Trouble {
    /// The host is not there any more: nobody to tell.
    Gone(String),
    /// What the host is to be told.
    Failed(String),
}

pub struct Channel {
    file: File,
    incoming: Incoming,
    pub outgoing: Outgoing,
}

/// The driver copies what is written, up to 32 KiB at once, and a guest may be out of memory for the moment.
struct Port<'a>(&'a File);

impl Write for Port<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let no_memory = |e: &io::Error| e.raw_os_error() == Some(libc::ENOMEM);
        match self.0.write(data) {
            Err(e) if no_memory(&e) => {
                std::thread::sleep(Duration::from_millis(10));
                let result = self.0.write(data.get(..1024).unwrap_or(data));
                result.map_err(|e| if no_memory(&e) { io::ErrorKind::WouldBlock.into() } else { e })
            }
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gone(what: &str, e: &io::Error) -> Trouble {
    Trouble::Gone(format!("{what} the host: {e}"))
}

impl Channel {
    pub fn new(fd: OwnedFd) -> io::Result<Channel> {
        socket::set_nonblocking(fd.as_fd())?;
        Ok(Channel { file: fd.into(), incoming: Incoming::new(), outgoing: Outgoing::new() })
    }

    /// To wait for input, and for room if something is to go out.
    pub fn watch(&self) -> Watch<'_> {
        Watch::new(self.file.as_fd(), true, !self.outgoing.is_empty())
    }

    /// Sends a frame that is not data, when the channel takes it.
    pub fn say(&mut self, frame: &ToHost<'_>) {
        self.outgoing.put(|to| frame.put(to));
    }

    /// Sends what the channel takes now.
    pub fn flush(&mut self) -> Result<(), Trouble> {
        self.outgoing.flush(Port(&self.file)).map_err(|e| gone("write to", &e))
    }

    /// Waits until all is sent; `false` if it is not after `patience`.
    pub fn settle(&mut self, patience: Duration) -> Result<bool, Trouble> {
        let until = Instant::now() + patience;
        loop {
            self.flush()?;
            let left = until.saturating_duration_since(Instant::now());
            if self.outgoing.is_empty() || left.is_zero() {
                return Ok(self.outgoing.is_empty());
            }
            let mut watches = [Watch::new(self.file.as_fd(), false, true)];
            readiness::wait(&mut watches, Some(left)).map_err(|e| gone("wait for", &e))?;
            let [watch] = watches;
            if watch.gone() && !watch.writable() {
                return Err(Trouble::Gone("the host closed the channel".into()));
            }
        }
    }

    /// Takes what has come. To be called when [`Channel::watch`] is ready, and [`Channel::next`] until it says `None`.
    pub fn hear(&mut self) -> Result<(), Trouble> {
        match self.incoming.fill(&self.file) {
            Ok(0) => Err(Trouble::Gone("the host closed the channel".into())),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(()),
            result => result.map(drop).map_err(|e| gone("read from", &e)),
        }
    }

    /// The host's next frame, for `take`.
    pub fn next<T>(&mut self, take: impl FnOnce(ToGuest<'_>) -> T) -> Result<Option<T>, Trouble> {
        let malformed = |e| Trouble::Failed(format!("the host sent {e}"));
        let Some((kind, payload)) = self.incoming.next().map_err(malformed)? else { return Ok(None) };
        ToGuest::read(kind, payload).map(take).map(Some).map_err(malformed)
    }

    /// Waits for the whole job.
    pub fn job(&mut self) -> Result<(Job, Key), Trouble> {
        let mut bytes = Vec::new();
        let mut whole = false;
        loop {
            self.flush()?;
            let piece = self.next(|frame| match frame {
                ToGuest::Job(piece) if bytes.len() + piece.len() <= job::MAX => {
                    bytes.extend_from_slice(piece);
                    Ok(())
                }
                ToGuest::JobEnd => {
                    whole = true;
                    Ok(())
                }
                ToGuest::Job(_) => Err("the host sent a job that is too long"),
                _ => Err("the host sent something else than a job"),
            })?;
            match piece {
                Some(Err(why)) => return Err(Trouble::Failed(why.into())),
                Some(Ok(())) if whole => break,
                Some(Ok(())) => {}
                None => {
                    readiness::wait(&mut [self.watch()], None).map_err(|e| gone("wait for", &e))?;
                    self.hear()?;
                }
            }
        }
        let (job, key) = Job::decode(&bytes).map_err(|e| Trouble::Failed(format!("the host sent {e}")))?;
        Ok((job, key))
    }
}
