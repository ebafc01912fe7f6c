//! `on-enospc=stop`: what the guest wrote, and the host has no room for, is kept and tried again; the guest stands still meanwhile.

use super::Disk;
use super::request::Request;
use crate::event::{self, Notify};
use crate::sys::timer::Timer;
use crate::virtio::Io;
use anyhow::{Context, Result};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::time::Duration;

/// The `on-enospc=` option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    Report,
    Stop,
}

impl FromStr for OnFull {
    type Err = String;
    fn from_str(text: &str) -> Result<OnFull, String> {
        match text {
            "report" => Ok(OnFull::Report),
            "stop" => Ok(OnFull::Stop),
            _ => Err("want report or stop".to_string()),
        }
    }
}

/// How long until the host is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// The timer's descriptor, as [`Io::watch`] knows it.
pub(super) const TIMER: u32 = 1;

/// Requests that wait for room on the host.
pub(super) struct Waiting {
    /// What the user knows the disk by.
    image: String,
    notify: Notify,
    requests: Vec<Request>,
    /// The machine knows.
    told: bool,
    timer: Option<Timer>,
}

pub(super) fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl Waiting {
    pub fn new(image: String, notify: Notify) -> Waiting {
        Waiting { image, notify, requests: Vec::new(), told: false, timer: None }
    }

    pub fn add(&mut self, request: Request, why: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            (self.notify)(event::Request::DiskFull { image: self.image.clone(), why: why.to_string() });
        }
        self.requests.push(request);
    }

    /// Sees to it that the timer runs while somebody waits.
    fn arm(&mut self, io: &Io) -> Result<()> {
        match &mut self.timer {
            _ if self.requests.is_empty() => Ok(()),
            Some(timer) => timer.again(PAUSE).context("set a timer"),
            None => {
                let timer = Timer::after(PAUSE).context("create a timer")?;
                io.watch(timer.as_fd(), TIMER)?;
                self.timer = Some(timer);
                Ok(())
            }
        }
    }

    /// Nobody waits any more.
    fn end(&mut self, io: &Io) -> Result<()> {
        if std::mem::take(&mut self.told) {
            (self.notify)(event::Request::DiskHasRoom { image: self.image.clone() });
        }
        match self.timer.take() {
            Some(timer) => io.unwatch(timer.as_fd()),
            None => Ok(()),
        }
    }
}

impl Disk {
    /// Called when the device has been called: starts the timer for those that have begun to wait.
    pub(super) fn see_to_waiting(&mut self, io: &Io) -> Result<()> {
        match &mut self.waiting {
            Some(waiting) if waiting.timer.is_none() => waiting.arm(io),
            _ => Ok(()),
        }
    }

    /// It is time to ask the host again. Those that there still is no room for wait again.
    pub(super) fn try_again(&mut self, io: &mut Io) -> Result<()> {
        let requests = self.waiting.as_mut().map(|w| std::mem::take(&mut w.requests)).unwrap_or_default();
        requests.into_iter().try_for_each(|request| self.at_once(request, &mut io.queues))?;
        self.turn(&mut io.queues)?;
        match &mut self.waiting {
            Some(waiting) if waiting.requests.is_empty() => waiting.end(io),
            Some(waiting) => waiting.arm(io),
            None => Ok(()),
        }
    }

    /// The driver is gone: nobody waits for an answer.
    pub(super) fn give_waiting_up(&mut self, io: &Io) -> Result<()> {
        let Some(waiting) = &mut self.waiting else { return Ok(()) };
        waiting.requests.clear();
        waiting.end(io)
    }
}
