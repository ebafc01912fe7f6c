//! Exit statuses: the same for every subcommand, listed in docs/exit-status.md.

use crate::machine::Outcome;
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
    /// The guest wrote to the debug-exit port.
    DebugExit(u32),
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
            Status::Panicked => 255,
            // As QEMU's isa-debug-exit; a process status has 8 bits.
            Status::DebugExit(value) => (value << 1 | 1) as u8,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status.code())
    }
}

/// Says on stderr what the status alone does not tell.
pub fn report(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Shutdown | Outcome::Reset | Outcome::Dismissed => Status::Success,
        Outcome::UserQuit => Status::UserQuit,
        Outcome::DebugExit(value) => Status::DebugExit(value),
        Outcome::Panicked => say("the guest panicked", Status::Panicked),
        Outcome::TimedOut => say("--timeout ran out", Status::TimedOut),
        Outcome::Fault(text) => say(&text, Status::Fault),
        Outcome::Failed(why) => say(&why, Status::Failed),
    }
}

fn say(what: &str, status: Status) -> Status {
    eprintln!("kiln: {what}");
    status
}
