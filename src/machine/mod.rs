//! The machine: parts with one lifecycle, vCPU threads behind one gate, one thread that decides.
//!
//! Threads: the supervisor (the caller of [`run`], sole owner of [`Machine`]), `vcpuN`, and a worker for every virtio
//! device that a driver has started. Lock order: a bus's map (released before a device runs), then a transport's registers.

mod attach;
mod build;
mod debug;
mod dump;
mod firmware;
mod front;
mod gate;
mod screen;
mod supervisor;
mod vcpu;

pub use front::Front;
pub use supervisor::{Outcome, run};

use crate::arch::{self, boot};
use crate::config::Config;
use crate::event::Request;
use crate::host::display::Display;
use crate::host::screen::Screen;
use crate::host::seat::Seat;
use crate::kvm::Vm;
use crate::mem::Memory;
use crate::part::Part;
use crate::platform::power::Power;
use crate::sys::Lock;
use anyhow::{Context, Result};
use kvm_bindings::CpuId;
use std::sync::{Arc, mpsc};
use std::time::Instant;
use vcpu::{Board, Runner};

pub struct Machine {
    config: Config,
    start: Start,
    memory: Memory,
    vm: Arc<Vm>,
    acpi: arch::acpi::Board,
    /// Reset in this order.
    parts: Vec<Arc<dyn Part>>,
    power: Arc<Power>,
    board: Arc<Board>,
    cpus: Vec<Cpu>,
    inbox: mpsc::Receiver<Request>,
    /// When `--timeout` runs out.
    deadline: Option<Instant>,
    debugger: Option<debug::Debugger>,
    /// The debugger's; memory that is new wants them again.
    breakpoints: Arc<Lock<debug::Breakpoints>>,
    /// Closed when the guest has ended.
    displays: Vec<Box<dyn Display>>,
    screen: Arc<Screen>,
    seat: Arc<Seat>,
}

/// What the first vCPU starts with.
enum Start {
    Kernel(boot::Kernel),
    Firmware(firmware::Image),
}

/// A vCPU, its thread, and what it was set up with.
struct Cpu {
    runner: Runner,
    cpuid: CpuId,
    apic_id: u32,
}

impl Machine {
    /// The guest runs for the first time, unless it waits for a debugger. The gate is open before there are threads:
    /// none waits at it.
    fn power_on(&mut self) -> Result<()> {
        if !self.debugger.as_ref().is_some_and(debug::Debugger::stopped) {
            self.start();
        }
        for (index, cpu) in self.cpus.iter_mut().enumerate() {
            cpu.runner.start(index, self.board.clone())?;
        }
        Ok(())
    }

    /// Opens the gate: the guest runs.
    fn start(&self) {
        self.board.gate.open();
    }

    /// The same, except for these vCPUs.
    fn start_except(&self, held: Vec<usize>) {
        self.board.gate.open_except(held);
    }

    /// Returns when no vCPU runs any more.
    fn stop(&self) {
        self.board.gate.close(|| self.cpus.iter().for_each(|c| c.runner.call()));
    }

    /// Back to power-on, with the guest's memory as new and the payload loaded again. The gate is closed.
    fn reset(&self) -> Result<()> {
        for part in &self.parts {
            part.reset().with_context(|| format!("reset {}", part.name()))?;
        }
        arch::irqchip::reset(&self.vm)?;
        self.memory.clear()?;
        for cpu in &self.cpus {
            arch::vcpu::reset(&cpu.runner.vcpu().lock(), &cpu.cpuid, cpu.apic_id)?;
        }
        self.load()?;
        self.breakpoints.lock().again(&self.memory);
        Ok(())
    }

    /// Puts what the first vCPU starts with into memory, and the vCPU at its beginning. Says whether that is Linux.
    fn load(&self) -> Result<bool> {
        match &self.start {
            Start::Kernel(kernel) => self.load_kernel(kernel),
            Start::Firmware(image) => {
                image.load(&self.memory)?;
                // A vCPU that was reset is where firmware begins; what a kernel finds set up, it sets up itself.
                self.cpus.iter().try_for_each(|cpu| arch::vcpu::for_firmware(&cpu.runner.vcpu().lock()))?;
                Ok(false)
            }
        }
    }

    fn load_kernel(&self, kernel: &boot::Kernel) -> Result<bool> {
        arch::acpi::write(&self.memory, &self.acpi)?;
        let screen = self.board.vga.as_ref().and_then(|vga| vga.framebuffer());
        let loaded = kernel.load(&self.memory, screen.as_ref())?;
        log::info!("{}", loaded.format);
        let first = self.cpus.first().context("a machine without a vCPU")?.runner.vcpu().lock();
        let sregs = first.fd().get_sregs().context("get system registers")?;
        let (regs, sregs) = boot::registers(&loaded.entry, sregs);
        first.fd().set_sregs(&sregs).context("set system registers")?;
        first.fd().set_regs(&regs).context("set registers")?;
        Ok(matches!(loaded.entry, boot::Entry::Linux64 { .. } | boot::Entry::Linux32 { .. }))
    }

    /// Ends the vCPU threads.
    fn end(self) {
        self.board.gate.dismiss(|| self.cpus.iter().for_each(|c| c.runner.call()));
        self.cpus.into_iter().for_each(|c| c.runner.join());
    }
}
