//! A pseudo terminal, whose path is told on standard error. Output while nobody has it open is dropped.

use super::ends::Ends;
use super::input::{Inbox, spawn};
use super::output::{Output, Sink};
use crate::sys::{fd, term};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

pub fn open(owner: &str) -> Result<Arc<Ends>> {
    let (master, path) = term::open_pty().context("open a pseudo terminal")?;
    let _ = writeln!(term::Stderr, "{owner} is at {}", path.display());
    Ok(over(master))
}

pub(super) fn over(master: File) -> Arc<Ends> {
    let master = Arc::new(master);
    let output = Output::new(Master(master.clone()));
    let reader = move |inbox: Arc<Inbox>| {
        spawn("pty", move || {
            if let Err(e) = collect(&master, &inbox) {
                log::error!("read pseudo terminal: {e}");
            }
        });
    };
    Arc::new(Ends::new(output, Some(Box::new(reader))))
}

/// While nobody has the other end open, reads fail with EIO and poll says "hung up" at once, always:
/// only edge-triggered epoll waits for the next one to come.
fn collect(master: &File, inbox: &Inbox) -> io::Result<()> {
    let epoll = Epoll::new()?;
    let edge = EpollEvent::new(EventSet::IN | EventSet::EDGE_TRIGGERED, 0);
    epoll.ctl(ControlOperation::Add, master.as_raw_fd(), edge)?;
    let mut buf = [0; 1024];
    loop {
        match (&*master).read(&mut buf) {
            Ok(n) if n > 0 => inbox.put(buf.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => {
                let _ = epoll.wait(-1, &mut [EpollEvent::default()]);
            }
        }
    }
}

/// Our end as a sink. Without anybody there, a pseudo terminal takes output until its buffer is full, and then no more.
struct Master(Arc<File>);

impl Sink for Master {
    fn write_now(&self, data: &[u8]) -> io::Result<usize> {
        if fd::hung_up(self.0.as_fd()) {
            return Ok(data.len());
        }
        (&*self.0).write(data)
    }

    fn wait(&self) -> io::Result<()> {
        fd::wait_writable(self.0.as_fd())
    }
}
