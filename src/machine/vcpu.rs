//! The vCPU thread: enter the guest, route what it does to the buses, wait at the gate when called.

use super::gate::Gate;
use crate::bus::Bus;
use crate::event::{Notify, Request};
use crate::kvm::{Exit, ImmediateExit, Vcpu, fault};
use crate::mem::Memory;
use crate::platform::vga::Vga;
use crate::sys::{Lock, call_out};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What all vCPU threads share.
pub struct Board {
    pub ports: Arc<Bus>,
    pub mmio: Arc<Bus>,
    pub gate: Gate,
    pub notify: Notify,
    pub memory: Memory,
    /// Its memory may be protected.
    pub vga: Option<Arc<Vga>>,
}

/// The supervisor's hold on a vCPU and its thread.
pub struct Runner {
    vcpu: Arc<Lock<Vcpu>>,
    immediate_exit: ImmediateExit,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    pub fn new(mut vcpu: Vcpu) -> Runner {
        let immediate_exit = vcpu.immediate_exit();
        Runner { vcpu: Arc::new(Lock::new(vcpu)), immediate_exit, thread: None }
    }

    /// Starts the thread, which goes to the gate. Once.
    pub fn start(&mut self, index: usize, board: Arc<Board>) -> Result<()> {
        let (vcpu, called) = (self.vcpu.clone(), self.immediate_exit);
        let thread = std::thread::Builder::new()
            .name(format!("vcpu{index}"))
            .stack_size(256 << 10)
            .spawn(move || live(index, &vcpu, called, &board))
            .with_context(|| format!("start the thread of vCPU {index}"))?;
        self.thread = Some(thread);
        Ok(())
    }

    /// Gets the thread out of the guest, if it is there, and to the gate.
    pub fn call(&self) {
        self.immediate_exit.set(true);
        if let Some(thread) = &self.thread {
            call_out(thread);
        }
    }

    /// The vCPU, for whoever has closed the gate: its thread holds the lock while it runs the guest.
    pub fn vcpu(&self) -> &Arc<Lock<Vcpu>> {
        &self.vcpu
    }

    pub fn join(self) {
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

/// The thread's life: from gate to gate, until it is dismissed.
fn live(index: usize, vcpu: &Lock<Vcpu>, called: ImmediateExit, board: &Board) {
    let mut more = board.gate.enter(index, || called.set(false));
    while more {
        // The lock is released here: whoever closes the gate may look at the vCPU.
        let request = run(&mut vcpu.lock(), board);
        more = match request {
            None => board.gate.enter(index, || called.set(false)),
            Some(request) => {
                (board.notify)(request);
                board.gate.give_up(index, || called.set(false))
            }
        };
    }
}

/// Runs the guest until the vCPU is called (`None`) or cannot go on.
fn run(vcpu: &mut Vcpu, board: &Board) -> Option<Request> {
    let mut wakes = 0;
    loop {
        let detail: Vec<u64>;
        let why = match vcpu.run() {
            Err(e) => return Some(Request::Failed(format!("{e:#}"))),
            Ok(Exit::Interrupted) => return None,
            Ok(Exit::PortIn { port, size, data }) => {
                data.chunks_mut(size.max(1)).for_each(|d| board.ports.read(u64::from(port), d));
                continue;
            }
            Ok(Exit::PortOut { port, size, data }) => {
                data.chunks(size.max(1)).for_each(|d| board.ports.write(u64::from(port), d));
                continue;
            }
            Ok(Exit::Read { address, data }) => {
                board.mmio.read(address, data);
                continue;
            }
            Ok(Exit::Write { address, data }) => {
                board.mmio.write(address, data);
                continue;
            }
            // With the interrupt controllers in the kernel a halted vCPU waits there.
            Ok(Exit::Hlt) => continue,
            Ok(Exit::Fault { address }) if board.vga.as_ref().is_some_and(|v| v.woken(address, &mut wakes)) => continue,
            Ok(Exit::Fault { address }) => {
                let place = address.map_or(String::new(), |at| format!(" at {at:#x}"));
                return Some(Request::Failed(format!("run vCPU: the host has no memory for the guest{place}")));
            }
            Ok(Exit::Shutdown) => fault::Why::TripleFault,
            Ok(Exit::InternalError { suberror, data }) => {
                detail = data;
                fault::Why::InternalError { suberror, data: &detail }
            }
            Ok(Exit::FailEntry { reason }) => fault::Why::FailEntry { reason },
            Ok(Exit::Debug) => return Some(Request::Trapped),
            Ok(Exit::Other(reason)) => return Some(Request::Failed(format!("KVM exit {reason} is not known to kiln"))),
        };
        let request =
            if matches!(why, fault::Why::TripleFault) { Request::TripleFault } else { Request::InternalError };
        return Some(request(fault::describe(vcpu, &board.memory, why)));
    }
}
