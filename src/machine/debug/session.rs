//! One client's conversation: bytes in, what is to be done and bytes out.

use super::Reason;
use super::framing::{Framing, LONGEST};
use super::guest::Guest;
use crate::sys::Lock;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine as Stub;
use gdbstub::stub::{DisconnectReason, GdbStub};
use std::convert::Infallible;
use std::sync::Arc;

pub struct Session {
    /// Always there, except while it is at work, and after an error.
    stub: Option<Stub<'static, Guest, Output>>,
    framing: Framing,
    output: Output,
}

/// What a byte brought about.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// At most an answer.
    Nothing,
    /// Ctrl-C, to be answered by [`Session::interrupted`].
    Interrupt,
    /// The guest is to go on as [`Guest::plan`] says.
    Resume,
    Detach,
    Kill,
    /// This client is to be hung up on.
    Wrong(String),
}

/// What is to be sent.
#[derive(Clone, Default)]
struct Output(Arc<Lock<Vec<u8>>>);

impl Connection for Output {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.lock().push(byte);
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.lock().extend(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Session {
    /// The guest stands still.
    pub fn new(guest: &mut Guest) -> Session {
        let output = Output::default();
        let stub = GdbStub::builder(output.clone()).packet_buffer_size(LONGEST).build().ok();
        let stub = stub.and_then(|stub| stub.run_state_machine(guest).ok());
        Session { stub, framing: Framing::default(), output }
    }

    /// What is to be sent, once.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.output.0.lock())
    }

    pub fn byte(&mut self, guest: &mut Guest, byte: u8) -> Said {
        if let Err(why) = self.framing.byte(byte) {
            return Said::Wrong(why.into());
        }
        guest.resumed = false;
        let next = match self.stub.take() {
            Some(Stub::Idle(stub)) => stub.incoming_data(guest, byte),
            Some(Stub::Running(stub)) => stub.incoming_data(guest, byte),
            // Not answered yet: that is done before the next byte comes.
            other => {
                self.stub = other;
                return Said::Wrong("it is out of step".into());
            }
        };
        let next = match next {
            Ok(next) => next,
            Err(e) => return Said::Wrong(format!("{e}")),
        };
        let said = match &next {
            Stub::Running(_) if guest.resumed => Said::Resume,
            Stub::Idle(_) | Stub::Running(_) => Said::Nothing,
            Stub::CtrlCInterrupt(_) => Said::Interrupt,
            Stub::Disconnected(stub) => match stub.get_reason() {
                DisconnectReason::Kill => {
                    // `k` has no answer; gdb waits for that to `vKill`, which gdbstub leaves out.
                    if self.framing.packet().starts_with(b"vKill") {
                        self.output.0.lock().extend(b"$OK#9a");
                    }
                    Said::Kill
                }
                _ => Said::Detach,
            },
        };
        self.stub = Some(next);
        said
    }

    /// Tells the debugger that and why the guest stopped, if it waits for that. `false`: it could not be told.
    pub fn report(&mut self, guest: &mut Guest, reason: Reason) -> bool {
        let next = match self.stub.take() {
            Some(Stub::Running(stub)) => stub.report_stop(guest, reason).ok(),
            other => other,
        };
        self.stub = next;
        self.stub.is_some()
    }

    /// The answer to [`Said::Interrupt`].
    pub fn interrupted(&mut self, guest: &mut Guest, reason: Reason) -> bool {
        let next = match self.stub.take() {
            Some(Stub::CtrlCInterrupt(stub)) => stub.interrupt_handled(guest, Some(reason)).ok(),
            other => other,
        };
        self.stub = next;
        self.stub.is_some()
    }

    /// Shows `text` to the user, if the debugger waits for the guest to stop (an `O` packet has no other place).
    pub fn print(&mut self, text: &str) -> bool {
        if matches!(self.stub, Some(Stub::Running(_))) {
            let body: String = std::iter::once("O".into()).chain(text.bytes().map(|b| format!("{b:02x}"))).collect();
            let sum = body.bytes().fold(0u8, u8::wrapping_add);
            self.output.0.lock().extend(format!("${body}#{sum:02x}").bytes());
        }
        true
    }
}

#[cfg(test)]
mod tests;
