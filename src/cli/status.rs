//! Exit statuses: the same for every subcommand, listed in docs/exit-status.md.

use crate::agent::End;
use crate::ci::Ends;
use crate::machine::Outcome;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The guest shut down, or what was asked for is done.
    Success,
    /// The answer is no (doctor), or a test failed (selftest).
    No,
    /// `--timeout` ran out.
    TimedOut,
    /// kiln or its configuration failed.
    Failed,
    /// The user ended the guest with Ctrl-A x, as 128 + SIGINT would say.
    UserQuit,
    /// Triple fault or KVM internal error.
    Fault,
    Panicked,
    /// The kernel reported what `--fail-on` names.
    Reported,
    /// The guest wrote to the debug-exit port.
    DebugExit(u32),
    /// That of the command in the guest.
    Command(u8),
}

impl Status {
    pub fn code(self) -> u8 {
        match self {
            Status::Success => 0,
            Status::No => 1,
            Status::TimedOut => 124,
            Status::Failed => 125,
            Status::UserQuit => 130,
            Status::Fault => 254,
            Status::Panicked | Status::Reported => 255,
            // As QEMU's isa-debug-exit; a process status has 8 bits.
            Status::DebugExit(value) => (value << 1 | 1) as u8,
            Status::Command(code) => code,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status.code())
    }
}

/// How a guest ended: for a program, as a status, and for people what the status alone does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub ends: Ends,
    pub status: Status,
    pub message: Option<String>,
}

impl Verdict {
    fn new(ends: Ends, status: Status) -> Verdict {
        Verdict { ends, status, message: None }
    }

    pub fn because(ends: Ends, status: Status, message: impl Into<String>) -> Verdict {
        Verdict { ends, status, message: Some(message.into()) }
    }

    /// The kernel reported something that fails the run, whatever else happened.
    pub fn fail(&mut self, report: &str) {
        if self.ends == Ends::Panic {
            self.message = Some(format!("the guest panicked: {report}"));
        } else if matches!(self.status, Status::Command(_) | Status::Success) {
            *self = Verdict::because(self.ends, Status::Reported, format!("the kernel reported: {report} (--fail-on)"));
        }
    }

    /// Says on stderr what there is to say.
    pub fn say(&self) -> Status {
        if let Some(message) = &self.message {
            let line = format!("kiln: {message}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        self.status
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Shutdown | Outcome::Dismissed => Verdict::new(Ends::Shutdown, Status::Success),
            Outcome::Reset => Verdict::new(Ends::Reset, Status::Success),
            Outcome::UserQuit => Verdict::new(Ends::Quit, Status::UserQuit),
            Outcome::DebugExit(value) => Verdict::new(Ends::DebugExit, Status::DebugExit(value)),
            Outcome::Panicked => Verdict::because(Ends::Panic, Status::Panicked, "the guest panicked"),
            Outcome::TimedOut => Verdict::because(Ends::Timeout, Status::TimedOut, "--timeout ran out"),
            Outcome::Fault(text) => Verdict::because(Ends::Fault, Status::Fault, text),
            Outcome::Failed(why) => Verdict::because(Ends::Failed, Status::Failed, why),
        }
    }
}

/// How a command in a guest ended. A shell would give the same statuses.
impl From<End> for Verdict {
    fn from(end: End) -> Verdict {
        match end {
            End::Exited(code) => Verdict::new(Ends::Exited, Status::Command(code)),
            End::Signalled(status) => Verdict::new(Ends::Signalled, Status::Command(status)),
            End::NotFound(what) => Verdict::because(Ends::NotFound, Status::Command(127), what),
            End::NotRunnable(what) => Verdict::because(Ends::NotRunnable, Status::Command(126), what),
            End::Failed(why) => Verdict::because(Ends::Failed, Status::Failed, why),
            End::Lost(why) => Verdict::because(Ends::Lost, Status::Failed, why),
        }
    }
}
