//! What the guest, or the user at the terminal, may ask of the machine. Devices hold a [`Notify`] and do not know who listens.

use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// The guest powered off (ACPI S5).
    Shutdown,
    /// The guest asked for a reset (port 0xcf9, keyboard controller, ACPI reset register).
    Reset,
    /// A triple fault: the processor itself shut down. `String` describes the state it was in.
    TripleFault(String),
    /// KVM could not go on; the text has registers and instruction.
    InternalError(String),
    /// A vCPU came to a stop that the debugger asked for.
    Trapped,
    /// The debugger said something.
    Debugger,
    /// The first line of a kernel panic was seen: whatever ends the guest from here on, it panicked.
    Panicking,
    /// The guest panicked and will do nothing more (pvpanic, or the last line of a kernel panic).
    Panicked,
    /// The guest wrote this value to the debug-exit port.
    DebugExit(u32),
    /// The user pressed the power button from the terminal (Ctrl-A p).
    PowerButton,
    /// The user ended the guest from the terminal (Ctrl-A x).
    UserQuit,
    /// The host has no room for what the guest wrote to this disk, and `why`: the guest is to stand still.
    DiskFull { image: String, why: String },
    /// Now it has, or the guest does not want it any more.
    DiskHasRoom { image: String },
    /// Whoever started the machine needs it no more.
    Dismiss,
    /// Part of kiln itself failed while the guest ran.
    Failed(String),
}

pub type Notify = Arc<dyn Fn(Request) + Send + Sync>;
