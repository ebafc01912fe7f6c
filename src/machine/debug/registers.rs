//! The registers of a vCPU as gdb sees them: target.xml names them, and they travel in its order.

use crate::kvm::Vcpu;
use anyhow::{Context, Result, ensure};
use gdbstub::arch::{Arch, Registers};
use kvm_bindings::{kvm_fpu, kvm_regs, kvm_sregs};

/// x86-64 with its system registers.
pub enum Amd64 {}

impl Arch for Amd64 {
    type Usize = u64;
    type Registers = Wire;
    type BreakpointKind = usize;
    /// Registers are read and written all at once.
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(include_str!("target.xml"))
    }
}

/// All registers in gdb's encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wire(Vec<u8>);

/// Bytes of [`Wire`].
pub const LEN: usize = 16 * 8 + 8 + 4 + 6 * 4 + 8 * 10 + 8 * 4 + 16 * 16 + 4 + 9 * 8;

impl Registers for Wire {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.0.get(128..136).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().for_each(|b| write_byte(Some(*b)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.get(..LEN).ok_or(())?.to_vec();
        Ok(())
    }
}

/// The registers of one vCPU as KVM has them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct State {
    regs: kvm_regs,
    sregs: kvm_sregs,
    fpu: kvm_fpu,
    kernel_gs_base: u64,
}

pub fn read(vcpu: &Vcpu) -> Result<Wire> {
    State::read(vcpu).map(|mut state| state.wire())
}

/// Writes the registers that differ. Selectors cannot be changed: a descriptor belongs to each.
pub fn write(vcpu: &Vcpu, wire: &Wire) -> Result<()> {
    let before = State::read(vcpu)?;
    let mut after = before;
    after.apply(wire);
    ensure!(after.selectors() == before.selectors(), "segment selectors cannot be written");
    if after.sregs != before.sregs {
        vcpu.fd().set_sregs(&after.sregs).context("set system registers")?;
    }
    if after.kernel_gs_base != before.kernel_gs_base {
        vcpu.set_kernel_gs_base(after.kernel_gs_base)?;
    }
    if after.fpu != before.fpu {
        vcpu.fd().set_fpu(&after.fpu).context("set FPU")?;
    }
    if after.regs != before.regs {
        vcpu.fd().set_regs(&after.regs).context("set registers")?;
    }
    Ok(())
}

impl State {
    fn read(vcpu: &Vcpu) -> Result<State> {
        Ok(State {
            regs: vcpu.fd().get_regs().context("get registers")?,
            sregs: vcpu.fd().get_sregs().context("get system registers")?,
            fpu: vcpu.fd().get_fpu().context("get FPU")?,
            kernel_gs_base: vcpu.kernel_gs_base()?,
        })
    }

    fn selectors(&self) -> [u16; 6] {
        let s = &self.sregs;
        [&s.cs, &s.ss, &s.ds, &s.es, &s.fs, &s.gs].map(|s| s.selector)
    }

    fn wire(&mut self) -> Wire {
        let mut out = Vec::with_capacity(LEN);
        self.each(&mut |bytes| out.extend_from_slice(bytes));
        Wire(out)
    }

    fn apply(&mut self, wire: &Wire) {
        let mut rest = wire.0.as_slice();
        self.each(&mut |bytes| {
            if let Some((new, after)) = rest.split_at_checked(bytes.len()) {
                bytes.copy_from_slice(new);
                rest = after;
            }
        });
    }

    /// Shows every register to `f` in the order of target.xml, and takes over what `f` changes.
    fn each(&mut self, f: &mut dyn FnMut(&mut [u8])) {
        let (r, s, x) = (&mut self.regs, &mut self.sregs, &mut self.fpu);
        let general = [
            &mut r.rax, &mut r.rbx, &mut r.rcx, &mut r.rdx, &mut r.rsi, &mut r.rdi, &mut r.rbp, &mut r.rsp, &mut r.r8,
            &mut r.r9, &mut r.r10, &mut r.r11, &mut r.r12, &mut r.r13, &mut r.r14, &mut r.r15, &mut r.rip,
        ];
        general.into_iter().for_each(|v| long(v, f));
        part(&mut r.rflags, 0, 32, f);
        for segment in [&mut s.cs, &mut s.ss, &mut s.ds, &mut s.es, &mut s.fs, &mut s.gs] {
            short(&mut segment.selector, f);
        }
        x.fpr.iter_mut().filter_map(|st| st.get_mut(..10)).for_each(&mut *f);
        short(&mut x.fcw, f);
        short(&mut x.fsw, f);
        tags(&mut x.ftwx, f);
        for pointer in [&mut x.last_ip, &mut x.last_dp] {
            part(pointer, 32, 16, f);
            part(pointer, 0, 32, f);
        }
        short(&mut x.last_opcode, f);
        x.xmm.iter_mut().for_each(|xmm| f(xmm));
        let mut mxcsr = x.mxcsr.to_le_bytes();
        f(&mut mxcsr);
        x.mxcsr = u32::from_le_bytes(mxcsr);
        let system = [
            &mut s.fs.base,
            &mut s.gs.base,
            &mut self.kernel_gs_base,
            &mut s.cr0,
            &mut s.cr2,
            &mut s.cr3,
            &mut s.cr4,
            &mut s.cr8,
            &mut s.efer,
        ];
        system.into_iter().for_each(|v| long(v, f));
    }
}

fn long(value: &mut u64, f: &mut dyn FnMut(&mut [u8])) {
    let mut bytes = value.to_le_bytes();
    f(&mut bytes);
    *value = u64::from_le_bytes(bytes);
}

/// `bits` (up to 32) of `value` from `shift` on, as 32 bits.
fn part(value: &mut u64, shift: u32, bits: u32, f: &mut dyn FnMut(&mut [u8])) {
    let mask = (1u64 << bits) - 1;
    let mut bytes = ((*value >> shift & mask) as u32).to_le_bytes();
    f(&mut bytes);
    *value = *value & !(mask << shift) | (u64::from(u32::from_le_bytes(bytes)) & mask) << shift;
}

/// 16 bits as 32.
fn short(value: &mut u16, f: &mut dyn FnMut(&mut [u8])) {
    let mut wide = u64::from(*value);
    part(&mut wide, 0, 16, f);
    *value = wide as u16;
}

/// The x87 tag word: two bits a register, 3 when it is empty; KVM has the short form, a bit for each that is not
/// (SDM 1, 8.1.7 and 10.5.1).
fn tags(short: &mut u8, f: &mut dyn FnMut(&mut [u8])) {
    let mut word = (0..8).filter(|n| *short >> n & 1 == 0).fold(0u32, |word, n| word | 3 << (2 * n)).to_le_bytes();
    f(&mut word);
    let word = u32::from_le_bytes(word);
    *short = (0..8).filter(|n| word >> (2 * n) & 3 != 3).fold(0, |short, n| short | 1 << n);
}

#[cfg(test)]
mod tests;
