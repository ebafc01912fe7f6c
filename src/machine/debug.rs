//! `--gdb`: a debugger stops the whole machine, looks at it, and lets all or some of it go on.
//!
//! Everything happens on the supervisor's thread; another one (line.rs) only carries bytes. A vCPU that meets a breakpoint
//! says so and gives up, as one that faults does; the machine is stopped at its gate, and what each vCPU met is looked at.

mod breakpoints;
mod framing;
mod guest;
mod line;
mod monitor;
mod registers;
mod session;

pub use breakpoints::Breakpoints;

use super::{Machine, Outcome};
use crate::config::Gdb;
use crate::event::{Notify, Request};
use crate::kvm::Vcpu;
use crate::sys::Lock;
use crate::sys::term::Stderr;
use anyhow::{Context, Result};
use breakpoints::{Hit, Kind};
use gdbstub::common::{Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::breakpoints::WatchKind;
use guest::{Action, Guest, Wish, tid};
use kvm_bindings::KVM_MP_STATE_RUNNABLE;
use line::{Event, Line, Number};
use session::{Said, Session};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Reason = MultiThreadStopReason<u64>;

pub struct Debugger {
    line: Line,
    guest: Guest,
    /// The client that is there, and has said something.
    session: Option<(Number, Session)>,
    /// Since when the guest does not run.
    stopped: Option<Instant>,
    /// How long it did not, until somebody asks.
    paused: Duration,
    /// The guest has not run yet: nobody but a debugger starts it.
    waits: bool,
    plan: Vec<Action>,
    /// Stops that could not be told yet: only one is told at a time.
    pending: VecDeque<Reason>,
    /// How the guest ends as soon as it goes on.
    held: Option<Outcome>,
    /// A monitor command reset the machine.
    reset: bool,
}

impl Machine {
    /// What `--gdb` asks for. The guest has not run yet.
    pub(super) fn let_debugger_in(&mut self) -> Result<()> {
        let Some(gdb) = &self.config.gdb else { return Ok(()) };
        let vcpus = self.cpus.iter().map(|cpu| cpu.runner.vcpu().clone()).collect();
        let guest = Guest::new(vcpus, self.memory.clone(), self.breakpoints.clone());
        self.debugger = Some(Debugger::open(gdb, guest, self.notify())?);
        Ok(())
    }
}

impl Debugger {
    /// Listens where `gdb` says and tells the user how to get there.
    fn open(gdb: &Gdb, mut guest: Guest, notify: Notify) -> Result<Debugger> {
        let line = Line::open(&gdb.at, notify)?;
        let what = if gdb.wait { "waiting for gdb" } else { "gdb may attach" };
        let _ = writeln!(Stderr, "kiln: {what}: {}", line.command);
        guest.running = !gdb.wait;
        Ok(Debugger {
            line,
            guest,
            session: None,
            stopped: gdb.wait.then(Instant::now),
            paused: Duration::ZERO,
            waits: gdb.wait,
            plan: Vec::new(),
            pending: VecDeque::new(),
            held: None,
            reset: false,
        })
    }

    /// The guest stands still: no time passes for it.
    pub fn stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// How long the guest stood still since this was asked last.
    pub fn take_pause(&mut self) -> Duration {
        std::mem::take(&mut self.paused)
    }

    /// Whether the debugger reset the machine since this was asked last.
    pub fn take_reset(&mut self) -> bool {
        std::mem::take(&mut self.reset)
    }

    /// Sees every request before the supervisor does. `Ok`: it is not for the debugger. `Err`: it was, and this is how
    /// the guest ends, if it does.
    pub fn see(&mut self, machine: &Machine, request: Request) -> Result<Request, Option<Outcome>> {
        match request {
            Request::Debugger => Err(self.hear(machine)),
            Request::Trapped => {
                self.trapped(machine, &request);
                Err(None)
            }
            // Where KVM interprets the guest (PVM) it knows no INT3: ours are no error.
            Request::InternalError(_) if self.trapped(machine, &request) => Err(None),
            other => Ok(other),
        }
    }

    /// An end that a debugger wants to look at first does not come before the guest goes on.
    pub fn hold(&mut self, machine: &Machine, outcome: Outcome) -> Option<Outcome> {
        let signal = match outcome {
            Outcome::Panicked => Signal::SIGABRT,
            Outcome::Fault(_) => Signal::SIGSEGV,
            _ => return Some(outcome),
        };
        if self.session.is_none() {
            return Some(outcome);
        }
        self.stop(machine);
        self.pending.clear();
        let text = match &outcome {
            Outcome::Fault(text) => text.as_str(),
            _ => "the guest panicked",
        };
        let text = format!("kiln: {text}\nkiln: that is the end of the guest when it goes on\n");
        self.held = Some(outcome);
        let reason = Reason::SignalWithThread { tid: self.awake(), signal };
        self.with_session(|session, guest| session.print(&text) && session.report(guest, reason));
        None
    }

    /// The guest has ended.
    pub fn finish(mut self, outcome: &Outcome) {
        let reason = match outcome {
            Outcome::Shutdown | Outcome::Reset => Reason::Exited(0),
            Outcome::Panicked => Reason::Terminated(Signal::SIGABRT),
            Outcome::Fault(_) => Reason::Terminated(Signal::SIGSEGV),
            _ => Reason::Terminated(Signal::SIGKILL),
        };
        self.with_session(|session, guest| session.report(guest, reason));
    }

    /// What the client did, if it did anything.
    fn hear(&mut self, machine: &Machine) -> Option<Outcome> {
        while let Some(event) = self.line.event() {
            let outcome = match event {
                Event::Said(number, bytes) => {
                    let outcome = self.said(machine, number, &bytes);
                    self.line.done(number);
                    outcome
                }
                Event::Left(number) if self.session.as_ref().is_some_and(|(n, _)| *n == number) => {
                    self.leave(machine, self.waits)
                }
                Event::Left(_) => None,
            };
            if outcome.is_some() {
                return outcome;
            }
        }
        None
    }

    fn said(&mut self, machine: &Machine, number: Number, bytes: &[u8]) -> Option<Outcome> {
        for &byte in bytes {
            if self.session.as_ref().is_none_or(|(n, _)| *n != number) {
                // What stops the guest is the first byte of a debugger, not the knock of a port scanner.
                if !matches!(byte, b'+' | b'$' | 0x03) {
                    self.line.hang_up(number);
                    return None;
                }
                self.stop(machine);
                self.pending.clear();
                self.session = Some((number, Session::new(&mut self.guest)));
            }
            let (_, session) = self.session.as_mut()?;
            let said = session.byte(&mut self.guest, byte);
            self.flush();
            let outcome = match said {
                Said::Nothing => None,
                Said::Interrupt => {
                    self.stop(machine);
                    let reason = Reason::SignalWithThread { tid: self.awake(), signal: Signal::SIGINT };
                    self.with_session(|session, guest| session.interrupted(guest, reason));
                    None
                }
                Said::Resume => self.resume(machine),
                Said::Detach => self.leave(machine, false),
                Said::Kill => Some(Outcome::UserQuit),
                Said::Wrong(why) => {
                    log::warn!("--gdb: hung up on the debugger: {why}");
                    self.leave(machine, self.waits)
                }
            };
            let outcome = outcome.or_else(|| self.fulfil(machine));
            if outcome.is_some() || self.session.is_none() {
                return outcome;
            }
        }
        None
    }

    /// What a monitor command asked for.
    fn fulfil(&mut self, machine: &Machine) -> Option<Outcome> {
        match self.guest.wish.take()? {
            Wish::Quit => Some(Outcome::UserQuit),
            Wish::Reset => {
                self.held = None;
                self.reset = true;
                self.pending.clear();
                machine.reset().context("reset").err().map(|e| Outcome::Failed(format!("{e:#}")))
            }
        }
    }

    /// The guest stands still afterwards, and what its vCPUs met is in `pending`.
    fn stop(&mut self, machine: &Machine) {
        if self.stopped.is_none() {
            machine.stop();
            self.stopped = Some(Instant::now());
            self.guest.running = false;
            self.collect();
        }
    }

    fn collect(&mut self) {
        for (index, vcpu) in self.guest.vcpus.iter().enumerate() {
            let mut vcpu = vcpu.lock();
            let Some(trap) = vcpu.take_trap() else { continue };
            let hit = self.guest.breakpoints.lock().hit(&trap);
            let stepped = !trap.is_breakpoint() && self.plan.get(index) == Some(&Action::Step);
            match hit {
                Some(hit) => self.pending.push_back(reason(tid(index), hit)),
                None if stepped => {
                    self.pending.push_back(Reason::SignalWithThread { tid: tid(index), signal: Signal::SIGTRAP });
                }
                // The guest has breakpoints of its own: Linux changes its code with INT3.
                None => drop(vcpu.inject(&trap).inspect_err(|e| log::warn!("--gdb: {e:#}"))),
            }
        }
    }

    /// A vCPU met something. `false`: not anything of the debugger's.
    fn trapped(&mut self, machine: &Machine, request: &Request) -> bool {
        if self.session.is_none() || self.stopped() {
            return false;
        }
        self.stop(machine);
        if matches!(request, Request::InternalError(_)) {
            let Some(index) = self.at_int3() else { return false };
            self.pending.push_back(Reason::SwBreak(tid(index)));
        }
        match self.pending.pop_front() {
            // Only what was the guest's own.
            None => self.run(machine),
            Some(reason) => {
                // Who waits at a breakpoint meets it again.
                self.pending.retain(|r| matches!(r, Reason::Watch { .. }));
                self.with_session(|session, guest| session.report(guest, reason));
            }
        }
        true
    }

    fn at_int3(&self) -> Option<usize> {
        let breakpoints = self.guest.breakpoints.lock();
        let at = |vcpu: &Arc<Lock<Vcpu>>| vcpu.lock().fd().get_regs().is_ok_and(|r| breakpoints.is_patched(r.rip));
        self.guest.vcpus.iter().position(at)
    }

    /// The thread that is most likely of interest: not one that is halted.
    fn awake(&self) -> Tid {
        let runs = |vcpu: &Arc<Lock<Vcpu>>| {
            vcpu.lock().fd().get_mp_state().is_ok_and(|state| state.mp_state == KVM_MP_STATE_RUNNABLE)
        };
        tid(self.guest.vcpus.iter().position(runs).unwrap_or(0))
    }

    fn resume(&mut self, machine: &Machine) -> Option<Outcome> {
        if let Some(outcome) = self.held.take() {
            return Some(outcome);
        }
        self.plan = self.guest.plan();
        match self.pending.pop_front() {
            Some(reason) => self.with_session(|session, guest| session.report(guest, reason)),
            None => self.run(machine),
        }
        None
    }

    /// The guest goes on as `plan` says.
    fn run(&mut self, machine: &Machine) {
        let mut held = Vec::new();
        for (index, vcpu) in self.guest.vcpus.iter().enumerate() {
            let action = self.plan.get(index).copied().unwrap_or(Action::Continue);
            if action == Action::Hold {
                held.push(index);
                continue;
            }
            let stops = self.guest.breakpoints.lock().stops(action == Action::Step);
            if let Err(e) = vcpu.lock().debug(Some(&stops)) {
                log::warn!("--gdb: {e:#}");
            }
        }
        self.start(machine, held);
    }

    fn start(&mut self, machine: &Machine, held: Vec<usize>) {
        self.guest.running = true;
        self.waits = false;
        self.paused += self.stopped.take().map(|since| since.elapsed()).unwrap_or_default();
        machine.start_except(held);
    }

    /// The client is gone: the guest is as if it never had been there, and runs unless it is to wait for another.
    fn leave(&mut self, machine: &Machine, wait: bool) -> Option<Outcome> {
        if let Some((number, _)) = self.session.take() {
            self.line.hang_up(number);
        }
        self.stop(machine);
        self.pending.clear();
        self.guest.breakpoints.lock().clear(&self.guest.memory);
        for vcpu in &self.guest.vcpus {
            if let Err(e) = vcpu.lock().debug(None) {
                log::warn!("--gdb: {e:#}");
            }
        }
        if self.held.is_some() {
            return self.held.take();
        }
        if !wait {
            self.start(machine, Vec::new());
        }
        None
    }

    fn with_session(&mut self, act: impl FnOnce(&mut Session, &mut Guest) -> bool) {
        if let Some((_, session)) = &mut self.session
            && !act(session, &mut self.guest)
        {
            log::info!("--gdb: the debugger could not be told");
        }
        self.flush();
    }

    fn flush(&mut self) {
        if let Some((number, session)) = &mut self.session {
            let output = session.output();
            if !output.is_empty() {
                self.line.send(*number, output);
            }
        }
    }
}

fn reason(tid: Tid, hit: Hit) -> Reason {
    match hit {
        Hit::Software => Reason::SwBreak(tid),
        Hit::Hardware => Reason::HwBreak(tid),
        Hit::Watch(request) => {
            let kind = match request.kind {
                Kind::Read => WatchKind::Read,
                Kind::ReadWrite => WatchKind::ReadWrite,
                _ => WatchKind::Write,
            };
            Reason::Watch { tid, kind, addr: request.at }
        }
    }
}
