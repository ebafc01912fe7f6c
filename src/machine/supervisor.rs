//! The one thread that owns the machine: it starts it, waits for what guest and user ask, and says how it ended.

use super::Machine;
use super::debug::Debugger;
use crate::config::{Config, Reboot};
use crate::event::{Notify, Request};
use crate::host::stream;
use crate::mem::Memory;
use crate::sys::forget_startup_code;
use crate::sys::term::Stderr;
use anyhow::Result;
use std::io::Write;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It powered off, or reset itself where that is the end.
    Shutdown,
    /// It reset itself, and the machine is not to restart.
    Reset,
    Panicked,
    /// Triple fault or KVM internal error, with the state of the vCPU.
    Fault(String),
    DebugExit(u32),
    TimedOut,
    UserQuit,
    /// Whoever started it needs it no more.
    Dismissed,
    Failed(String),
}

/// A guest that has run, and when it began to.
pub struct Ran {
    pub outcome: Outcome,
    /// Just before the first vCPU entered the guest.
    pub began: Instant,
}

/// How long the guest has run when kiln gives back what only its start needed; before, it would fetch some of it again.
const SETTLED: Duration = Duration::from_millis(100);
/// After the first line of a panic, how long the guest may take to print the rest.
const PANIC_GRACE: Duration = Duration::from_secs(3);

/// What happens when its time has come, unless something else happened before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    /// Start-up is over.
    Settled,
    /// A panicking guest has had the time to say why.
    Panic,
    /// `--timeout`.
    Deadline,
}

/// Builds the machine and runs its guest to its end. Errors come from before the guest ran.
pub fn run(config: Config) -> Result<Outcome> {
    Machine::build(config)?.run().map(|ran| ran.outcome)
}

impl Machine {
    /// Runs the guest to its end. The time of `--timeout` counts from [`Machine::build`].
    pub fn run(mut self) -> Result<Ran> {
        let began = Instant::now();
        self.power_on()?;
        let mut debugger = self.debugger.take();
        let outcome = self.supervise(began, debugger.as_mut());
        self.dump_after(&outcome);
        debugger.into_iter().for_each(|d| d.finish(&outcome));
        self.end();
        stream::drain();
        Ok(Ran { outcome, began })
    }

    /// To ask something of the machine from another thread.
    pub fn notify(&self) -> Notify {
        self.board.notify.clone()
    }

    /// The guest's memory, which may be looked at when the guest has ended.
    pub fn memory(&self) -> Memory {
        self.memory.clone()
    }

    fn supervise(&self, began: Instant, mut debugger: Option<&mut Debugger>) -> Outcome {
        let mut alarms = vec![(began + SETTLED, Alarm::Settled)];
        alarms.extend(self.deadline.map(|at| (at, Alarm::Deadline)));
        let panicking = |alarms: &[(Instant, Alarm)]| alarms.iter().any(|(_, what)| *what == Alarm::Panic);
        // Images whose disks wait for room on the host.
        let mut full: Vec<String> = Vec::new();
        loop {
            if let Some(debugger) = &mut debugger {
                let (pause, anew) = (debugger.take_pause(), debugger.take_reset());
                alarms.iter_mut().for_each(|(at, _)| *at += pause);
                alarms.retain(|(_, what)| !anew || *what != Alarm::Panic);
            }
            let stopped = debugger.as_ref().is_some_and(|d| d.stopped());
            let next = alarms.iter().filter(|_| !stopped).min_by_key(|(at, _)| *at).copied();
            let request = self.request(next.map(|(at, _)| at));
            let request = match (request, &mut debugger) {
                (Ok(request), Some(debugger)) => match debugger.see(self, request) {
                    Ok(request) => Ok(request),
                    Err(None) => continue,
                    Err(Some(outcome)) => return outcome,
                },
                (request, _) => request,
            };
            let outcome = match request {
                // A debugger decides itself when its guest runs; then only the disk waits.
                Ok(Request::DiskFull { image, why }) => {
                    let waits = if debugger.is_none() { "the guest stands still" } else { "it waits" };
                    let _ = writeln!(Stderr, "kiln: {image}: {why}; {waits} until there is room");
                    full.push(image);
                    if debugger.is_none() {
                        self.stop();
                    }
                    None
                }
                Ok(Request::DiskHasRoom { image }) => {
                    let before = full.len();
                    full.retain(|other| *other != image);
                    if full.len() < before {
                        let _ = writeln!(Stderr, "kiln: {image}: goes on");
                    }
                    if full.is_empty() && debugger.is_none() {
                        self.start();
                    }
                    None
                }
                Ok(Request::Panicking) => {
                    if !panicking(&alarms) {
                        alarms.push((Instant::now() + PANIC_GRACE, Alarm::Panic));
                    }
                    None
                }
                Ok(request) => {
                    // After a restart no disk waits: what it was to write belongs to the old life.
                    if matches!(request, Request::Reset | Request::TripleFault(_)) {
                        full.clear();
                    }
                    self.end_of(request, panicking(&alarms))
                }
                Err(RecvTimeoutError::Timeout) => {
                    alarms.retain(|alarm| Some(*alarm) != next);
                    next.and_then(|(_, what)| went_off(what, panicking(&alarms)))
                }
                Err(RecvTimeoutError::Disconnected) => Some(Outcome::Failed("the machine is gone".into())),
            };
            let held = |outcome| match &mut debugger {
                Some(debugger) => debugger.hold(self, outcome),
                None => Some(outcome),
            };
            if let Some(outcome) = outcome.and_then(held) {
                return outcome;
            }
        }
    }

    /// The next request, waited for until then.
    fn request(&self, until: Option<Instant>) -> Result<Request, RecvTimeoutError> {
        match until {
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
        }
    }

    /// What a request means: an end, or a restart that has been done.
    fn end_of(&self, request: Request, panicking: bool) -> Option<Outcome> {
        match request {
            Request::PowerButton => {
                self.power.press_button();
                None
            }
            Request::UserQuit => Some(Outcome::UserQuit),
            Request::Failed(why) => Some(Outcome::Failed(why)),
            Request::InternalError(text) => Some(Outcome::Fault(text)),
            Request::DebugExit(value) => Some(Outcome::DebugExit(value)),
            Request::Panicked => Some(Outcome::Panicked),
            // Whatever ends a panicking guest, it panicked: kernels reset, halt or power off after it.
            _ if panicking => Some(Outcome::Panicked),
            Request::Dismiss => Some(Outcome::Dismissed),
            Request::Shutdown => Some(Outcome::Shutdown),
            Request::TripleFault(text) if self.config.reboot != Some(Reboot::Restart) => Some(Outcome::Fault(text)),
            Request::Reset if self.config.reboot == Some(Reboot::Exit) => Some(Outcome::Reset),
            Request::TripleFault(_) | Request::Reset => {
                self.restart().unwrap_or_else(|e| Some(Outcome::Failed(format!("{e:#}"))))
            }
            Request::Panicking | Request::Trapped | Request::Debugger => None,
            Request::DiskFull { .. } | Request::DiskHasRoom { .. } => None,
        }
    }

    fn restart(&self) -> Result<Option<Outcome>> {
        self.stop();
        // What the guest asked for before it stopped (a second write to the reset port) belongs to the life it has lost.
        if self.inbox.try_iter().any(|r| r == Request::UserQuit) {
            return Ok(Some(Outcome::UserQuit));
        }
        self.reset()?;
        self.start();
        Ok(None)
    }
}

fn went_off(alarm: Alarm, panicking: bool) -> Option<Outcome> {
    match alarm {
        Alarm::Settled => {
            forget_startup_code();
            None
        }
        Alarm::Deadline if !panicking => Some(Outcome::TimedOut),
        Alarm::Panic | Alarm::Deadline => Some(Outcome::Panicked),
    }
}
