//! The guest as gdbstub sees it: each vCPU is a thread, memory is what that vCPU's page tables show.

use super::breakpoints::{Breakpoints, Kind, Request};
use super::monitor;
use super::registers::{self, Amd64, Wire};
use crate::kvm::Vcpu;
use crate::kvm::debug::sees_int3;
use crate::mem::Memory;
use crate::sys::Lock;
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    self, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint, SwBreakpointOps,
    WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use kvm_bindings::{KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE};
use std::convert::Infallible;
use std::sync::Arc;

const PAGE: u64 = 4096;

/// What a vCPU does when the guest goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Continue,
    Step,
    /// It stays where it is.
    Hold,
}

/// What a monitor command asked for that only the supervisor can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Reset,
    Quit,
}

pub struct Guest {
    pub vcpus: Vec<Arc<Lock<Vcpu>>>,
    pub memory: Memory,
    pub breakpoints: Arc<Lock<Breakpoints>>,
    /// While it runs nothing of it can be looked at: the vCPUs' threads hold them.
    pub running: bool,
    /// What gdb set for single vCPUs, and what the others do.
    actions: Vec<Option<Action>>,
    /// An INT3 in memory stops it; else debug registers do that too.
    int3: bool,
    others: Action,
    /// gdb asked it to go on.
    pub resumed: bool,
    pub wish: Option<Wish>,
}

/// The thread that gdb knows vCPU `index` as.
pub fn tid(index: usize) -> Tid {
    Tid::MIN.saturating_add(index)
}

impl Guest {
    pub fn new(vcpus: Vec<Arc<Lock<Vcpu>>>, memory: Memory, breakpoints: Arc<Lock<Breakpoints>>) -> Guest {
        let actions = vec![None; vcpus.len()];
        Guest {
            vcpus,
            memory,
            breakpoints,
            running: true,
            actions,
            int3: sees_int3(),
            others: Action::Continue,
            resumed: false,
            wish: None,
        }
    }

    /// What every vCPU is to do.
    pub fn plan(&self) -> Vec<Action> {
        self.actions.iter().map(|action| action.unwrap_or(self.others)).collect()
    }

    fn vcpu(&self, tid: Tid) -> Result<&Arc<Lock<Vcpu>>, TargetError<Infallible>> {
        let index = tid.get().checked_sub(1);
        let vcpu = index.and_then(|n| self.vcpus.get(n)).filter(|_| !self.running);
        vcpu.ok_or(TargetError::NonFatal)
    }

    fn act(&mut self, tid: Tid, action: Action) {
        if let Some(slot) = tid.get().checked_sub(1).and_then(|n| self.actions.get_mut(n)) {
            *slot = Some(action);
        }
    }

    /// Where the guest has `at`, and how many of `len` bytes are on the same page.
    fn piece(&self, tid: Tid, at: u64, len: usize) -> Option<(u64, usize)> {
        let physical = self.vcpu(tid).ok()?.lock().translate(at)?;
        Some((physical, len.min((PAGE - at % PAGE) as usize)))
    }
}

impl Target for Guest {
    type Arch = Amd64;
    type Error = Infallible;

    fn base_ops(&mut self) -> BaseOps<'_, Amd64, Infallible> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Guest {
    fn read_registers(&mut self, wire: &mut Wire, tid: Tid) -> TargetResult<(), Self> {
        *wire = registers::read(&self.vcpu(tid)?.lock()).map_err(refused)?;
        Ok(())
    }

    fn write_registers(&mut self, wire: &Wire, tid: Tid) -> TargetResult<(), Self> {
        registers::write(&self.vcpu(tid)?.lock(), wire).map_err(refused)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let mut done = 0;
        while let Some(rest) = data.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(at) = start.checked_add(done as u64) else { break };
            let Some((physical, len)) = self.piece(tid, at, rest.len()) else { break };
            let Ok(slice) = self.memory.slice(physical, len) else { break };
            let read = slice.copy_to(rest);
            self.breakpoints.lock().hide(physical, rest.get_mut(..read).unwrap_or_default());
            done += read;
        }
        if done == 0 { Err(TargetError::NonFatal) } else { Ok(done) }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let at = start.checked_add(done as u64).ok_or(TargetError::NonFatal)?;
            let (physical, len) = self.piece(tid, at, rest.len()).ok_or(TargetError::NonFatal)?;
            let slice = self.memory.slice(physical, len).map_err(refused)?;
            let written = slice.copy_from(rest);
            self.breakpoints.lock().written(&self.memory, physical, rest.get(..written).unwrap_or_default());
            done += written;
        }
        Ok(())
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), Infallible> {
        (0..self.vcpus.len()).for_each(|index| active(tid(index)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

fn refused(e: anyhow::Error) -> TargetError<Infallible> {
    log::info!("debugger: {e:#}");
    TargetError::NonFatal
}

impl MultiThreadResume for Guest {
    fn resume(&mut self) -> Result<(), Infallible> {
        self.resumed = !self.running;
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Infallible> {
        self.actions.fill(None);
        self.others = Action::Continue;
        Ok(())
    }

    /// Signals mean nothing to a processor.
    fn set_resume_action_continue(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Infallible> {
        self.act(tid, Action::Continue);
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadSingleStep for Guest {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Infallible> {
        self.act(tid, Action::Step);
        Ok(())
    }
}

impl MultiThreadSchedulerLocking for Guest {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Infallible> {
        self.others = Action::Hold;
        Ok(())
    }
}

impl ThreadExtraInfo for Guest {
    fn thread_extra_info(&self, tid: Tid, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let state = match self.vcpu(tid).ok().and_then(|vcpu| vcpu.lock().fd().get_mp_state().ok()) {
            None => "running",
            Some(state) if state.mp_state == KVM_MP_STATE_RUNNABLE => "stopped",
            Some(state) if state.mp_state == KVM_MP_STATE_HALTED => "halted",
            Some(_) => "not started",
        };
        let text = format!("vcpu{} {state}", tid.get() - 1);
        let n = text.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..n), text.as_bytes().get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

impl breakpoints::Breakpoints for Guest {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Guest {
    fn add_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        // Kernel addresses are in the page tables of all vCPUs or of none, except that those not started have none.
        let physical = (0..self.vcpus.len()).find_map(|index| self.piece(tid(index), at, 1));
        let mut breakpoints = self.breakpoints.lock();
        Ok(match physical {
            _ if self.running => false,
            Some((physical, _)) if self.int3 => breakpoints.patch(&self.memory, at, physical),
            // Before a kernel has set up its own page tables, for example.
            _ => breakpoints.take(Request { at, len: 1, kind: Kind::Software }),
        })
    }

    fn remove_sw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        let mut breakpoints = self.breakpoints.lock();
        let request = Request { at, len: 1, kind: Kind::Software };
        Ok(!self.running && (breakpoints.unpatch(&self.memory, at) || breakpoints.give(request)))
    }
}

impl HwBreakpoint for Guest {
    fn add_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(!self.running && self.breakpoints.lock().take(Request { at, len: 1, kind: Kind::Execute }))
    }

    fn remove_hw_breakpoint(&mut self, at: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(!self.running && self.breakpoints.lock().give(Request { at, len: 1, kind: Kind::Execute }))
    }
}

impl HwWatchpoint for Guest {
    fn add_hw_watchpoint(&mut self, at: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(!self.running && self.breakpoints.lock().take(watch(at, len, kind)))
    }

    fn remove_hw_watchpoint(&mut self, at: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(!self.running && self.breakpoints.lock().give(watch(at, len, kind)))
    }
}

fn watch(at: u64, len: u64, kind: WatchKind) -> Request {
    let kind = match kind {
        WatchKind::Write => Kind::Write,
        WatchKind::Read => Kind::Read,
        WatchKind::ReadWrite => Kind::ReadWrite,
    };
    Request { at, len, kind }
}

impl MonitorCmd for Guest {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Infallible> {
        let text = if self.running {
            "the guest runs\n".to_string()
        } else {
            monitor::carry_out(self, &String::from_utf8_lossy(command))
        };
        out.write_raw(text.as_bytes());
        Ok(())
    }
}
