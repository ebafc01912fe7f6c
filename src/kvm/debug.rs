//! What a debugger needs of a vCPU: breakpoints, watchpoints and single steps (api.rst, 4.87, KVM_SET_GUEST_DEBUG).

use super::Vcpu;
use super::backend::{Processor, TCG};
use anyhow::{Context, Result, ensure};
use kvm_bindings as kb;

/// Debug registers for addresses there are.
pub const SLOTS: usize = 4;

/// What a debug register waits for (SDM 3B, 18.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Execute,
    Write,
    /// Reads and writes: the processor has none for reads alone.
    ReadWrite,
}

/// One debug register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Linear; a multiple of `len`.
    pub at: u64,
    /// Bytes: 1, 2, 4 or 8; 1 for [`Access::Execute`].
    pub len: u64,
    pub access: Access,
}

/// What gets a vCPU out of the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stops {
    /// Every INT3.
    pub software: bool,
    /// The next instruction.
    pub step: bool,
    pub points: [Option<Point>; SLOTS],
}

/// Number of the MSR (SDM 4, table 2-2).
const KERNEL_GS_BASE: u32 = 0xc000_0102;

/// Why it left the guest with [`super::Exit::Debug`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    /// 1 #DB or 3 #BP.
    pub exception: u32,
    /// Linear address of the instruction.
    pub pc: u64,
    pub dr6: u64,
}

impl Trap {
    /// An INT3.
    pub fn is_breakpoint(&self) -> bool {
        self.exception == 3
    }

    /// The debug register that was hit.
    pub fn slot(&self) -> Option<usize> {
        (0..SLOTS).find(|n| self.exception == 1 && self.dr6 >> n & 1 == 1)
    }
}

/// Whether [`Stops::software`] works: QEMU's emulation of AMD-V takes INT3 for INT n, which KVM does not ask to see
/// (target/i386/tcg/excp_helper.c, raise_interrupt2), and gives it to the guest.
pub fn sees_int3() -> bool {
    Processor::detect().hypervisor.as_deref() != Some(TCG)
}

impl Vcpu {
    /// Sets what stops the vCPU, or that nothing does. While anything does, the guest's own debug registers are without
    /// effect.
    pub fn debug(&self, stops: Option<&Stops>) -> Result<()> {
        let mut debug = kb::kvm_guest_debug::default();
        if let Some(stops) = stops {
            debug.control = kb::KVM_GUESTDBG_ENABLE;
            debug.control |= if stops.software { kb::KVM_GUESTDBG_USE_SW_BP } else { 0 };
            debug.control |= if stops.step { kb::KVM_GUESTDBG_SINGLESTEP | kb::KVM_GUESTDBG_BLOCKIRQ } else { 0 };
            if stops.points.iter().any(Option::is_some) {
                debug.control |= kb::KVM_GUESTDBG_USE_HW_BP;
                let (addresses, control) = registers(&stops.points);
                for (register, value) in debug.arch.debugreg.iter_mut().zip(addresses) {
                    *register = value;
                }
                if let Some(dr7) = debug.arch.debugreg.last_mut() {
                    *dr7 = control;
                }
            }
        }
        match self.fd().set_guest_debug(&debug) {
            // Before Linux 5.15 interrupts cannot be kept away: the step may end in a handler.
            Err(e) if e.errno() == libc::EINVAL && debug.control & kb::KVM_GUESTDBG_BLOCKIRQ != 0 => {
                debug.control &= !kb::KVM_GUESTDBG_BLOCKIRQ;
                self.fd().set_guest_debug(&debug).context("set guest debugging")
            }
            other => other.context("set guest debugging"),
        }
    }

    /// Lets the guest have the exception that `trap` is: it was the guest's own. The vCPU stops for nothing until
    /// [`Vcpu::debug`] is called again.
    pub fn inject(&self, trap: &Trap) -> Result<()> {
        let kind = if trap.is_breakpoint() { kb::KVM_GUESTDBG_INJECT_BP } else { kb::KVM_GUESTDBG_INJECT_DB };
        let debug = kb::kvm_guest_debug { control: kb::KVM_GUESTDBG_ENABLE | kind, ..Default::default() };
        self.fd().set_guest_debug(&debug).context("give the guest its exception")
    }

    /// Why it left the guest with [`super::Exit::Debug`] last; once.
    pub fn take_trap(&mut self) -> Option<Trap> {
        self.trap.take()
    }

    /// What SWAPGS puts into the GS base.
    pub fn kernel_gs_base(&self) -> Result<u64> {
        let mut msrs = msr(0)?;
        let n = self.fd().get_msrs(&mut msrs).context("get KERNEL_GS_BASE")?;
        msrs.as_slice().get(..n).and_then(<[_]>::first).map(|m| m.data).context("KVM does not know KERNEL_GS_BASE")
    }

    pub fn set_kernel_gs_base(&self, value: u64) -> Result<()> {
        let n = self.fd().set_msrs(&msr(value)?).context("set KERNEL_GS_BASE")?;
        ensure!(n == 1, "KVM does not take {value:#x} as KERNEL_GS_BASE");
        Ok(())
    }

    /// The guest physical address that `linear` has now in this vCPU's page tables.
    pub fn translate(&self, linear: u64) -> Option<u64> {
        self.fd().translate_gva(linear).ok().filter(|t| t.valid != 0).map(|t| t.physical_address)
    }
}

fn msr(data: u64) -> Result<kb::Msrs> {
    let entry = kb::kvm_msr_entry { index: KERNEL_GS_BASE, data, ..Default::default() };
    kb::Msrs::from_entries(&[entry]).ok().context("allocate MSRs")
}

/// DR0 to DR3, and DR7 (SDM 3B, 18.2.4).
fn registers(points: &[Option<Point>; SLOTS]) -> ([u64; SLOTS], u64) {
    const FIXED: u64 = 1 << 10;
    let (mut addresses, mut dr7) = ([0; SLOTS], FIXED);
    for ((n, point), address) in points.iter().enumerate().zip(&mut addresses) {
        let Some(point) = point else { continue };
        let access = match point.access {
            Access::Execute => 0b00,
            Access::Write => 0b01,
            Access::ReadWrite => 0b11,
        };
        let len = match point.len {
            2 => 0b01,
            4 => 0b11,
            8 => 0b10,
            _ => 0b00,
        };
        *address = point.at;
        // The global enable bit; access and length have two bits each.
        dr7 |= 0b10 << (2 * n) | (access | len << 2) << (16 + 4 * n);
    }
    (addresses, dr7)
}

#[cfg(test)]
mod tests;
