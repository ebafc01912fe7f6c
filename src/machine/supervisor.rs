//! The one thread that owns the machine: it starts it, waits for what guest and user ask, and says how it ended.

use super::Machine;
use crate::config::{Config, Reboot};
use crate::event::Request;
use crate::host::stream;
use crate::sys::forget_startup_code;
use anyhow::Result;
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
    Failed(String),
}

/// How long the guest has run when kiln gives back what only its start needed; before, it would fetch some of it again.
const SETTLED: Duration = Duration::from_millis(100);
/// After the first line of a panic, how long the guest may take to print the rest.
const PANIC_GRACE: Duration = Duration::from_secs(3);

/// Builds the machine and runs its guest to its end. Errors come from before the guest ran.
pub fn run(config: Config) -> Result<Outcome> {
    let deadline = config.timeout.map(|t| Instant::now() + t);
    let mut machine = Machine::build(config)?;
    machine.power_on()?;
    let outcome = machine.supervise(deadline);
    machine.end();
    stream::drain();
    Ok(outcome)
}

impl Machine {
    fn supervise(&self, deadline: Option<Instant>) -> Outcome {
        let mut panicking: Option<Instant> = None;
        let mut settled = Some(Instant::now() + SETTLED);
        loop {
            if settled.take_if(|at| Instant::now() >= *at).is_some() {
                forget_startup_code();
            }
            let until = panicking.into_iter().chain(deadline).chain(settled).min();
            let request = match until {
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let outcome = match request {
                Err(RecvTimeoutError::Timeout) if settled.is_some_and(|at| Instant::now() >= at) => None,
                Err(RecvTimeoutError::Timeout) if panicking.is_some() => Some(Outcome::Panicked),
                Err(RecvTimeoutError::Timeout) => Some(Outcome::TimedOut),
                Err(RecvTimeoutError::Disconnected) => Some(Outcome::Failed("the machine is gone".into())),
                Ok(Request::Panicking) => {
                    panicking.get_or_insert(Instant::now() + PANIC_GRACE);
                    None
                }
                Ok(request) => self.end_of(request, panicking.is_some()),
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
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
            Request::Shutdown => Some(Outcome::Shutdown),
            Request::TripleFault(text) if self.config.reboot != Some(Reboot::Restart) => Some(Outcome::Fault(text)),
            Request::Reset if self.config.reboot == Some(Reboot::Exit) => Some(Outcome::Reset),
            Request::TripleFault(_) | Request::Reset => {
                self.restart().unwrap_or_else(|e| Some(Outcome::Failed(format!("{e:#}"))))
            }
            Request::Panicking => None,
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
