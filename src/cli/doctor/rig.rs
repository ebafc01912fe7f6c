//! The machine that a probe runs in: one vCPU in 64-bit mode, 2 MiB of memory, a gate for each vector, and a
//! deadline for each run, so that no host can make doctor wait for ever.
//!
//! ```text
//! guest linear = physical
//!     0x1000  page tables (three pages)
//!     0x4000  GDT      0x5000  IDT      0x6000  TSS      0x7000  stubs, 8 bytes for each vector
//!     0x8000  the probe's code          0x9000  where SYSCALL goes
//!     0xb000  iretq                     0xc000  data, zeroes
//!     0xefd8  frame for iretq           0xf000  end of ring 0's stack   0x1f000  end of ring 3's stack
//!   0x200000  no memory: a doorbell
//! ```

use super::code::{self, Code};
use crate::kvm::{Exit, ImmediateExit, Reserved, Vcpu, Vm};
use crate::mem::Memory;
use crate::sys::Lock;
use anyhow::{Context, Result};
use kvm_bindings::{CpuId, Msrs, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::Kvm;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PAGE_TABLES: u64 = 0x1000;
const GDT: u64 = 0x4000;
const IDT: u64 = 0x5000;
const TSS: u64 = 0x6000;
/// The TSS proper, a permission bitmap for ports 0 to 0xff, and the byte of ones that ends it.
const TSS_LIMIT: u32 = 104 + 32;
const STUBS: u64 = 0x7000;
const CODE: u64 = 0x8000;
const SYSCALL_ENTRY: u64 = 0x9000;
const ENTER_RING_3: u64 = 0xb000;
pub const DATA: u64 = 0xc000;
const STACK_0: u64 = 0xf000;
const FRAME: u64 = STACK_0 - 40;
const STACK_3: u64 = 0x1_f000;
const MEMORY: u64 = 0x20_0000;
pub const DOORBELL: u64 = 0x20_0000;

/// Selectors. SYSCALL takes CODE_0 and the next; SYSRET takes the two after USER_BASE, in ring 3.
const CODE_0: u16 = 0x08;
const DATA_0: u16 = 0x10;
const USER_BASE: u16 = 0x18;
const DATA_3: u16 = 0x20 | 3;
const CODE_3: u16 = 0x28 | 3;
const TASK: u16 = 0x30;

/// IOPL 3 and the bit that is always set. Ring 3 may use ports for two reasons: PVM forgets the IOPL on the way there
/// and looks at the bitmap in the TSS; an emulated SVM takes the TSS for a wrong one, as it is busy, and looks at the IOPL.
const RFLAGS: u64 = 3 << 12 | 1 << 1;
const CR0: u64 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1 << 0;
const CR4_PAE_OSFXSR_OSXMMEXCPT: u64 = 1 << 5 | 1 << 9 | 1 << 10;
const CR4_OSXSAVE: u64 = 1 << 18;
/// SCE, LME, LMA.
const EFER: u64 = 1 << 0 | 1 << 8 | 1 << 10;

const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_FMASK: u32 = 0xc000_0084;

/// No probe takes a tenth of it on the slowest host seen.
const LIMIT: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The code came to its end.
    Done,
    Trap(u8),
    /// KVM could not interpret an instruction.
    NotInterpreted,
    TripleFault,
    /// The deadline passed.
    Hung,
    Other(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Done => f.write_str("came to its end"),
            End::Trap(vector) => write!(f, "took exception {vector}"),
            End::NotInterpreted => f.write_str("met an instruction that KVM cannot interpret"),
            End::TripleFault => f.write_str("triple fault"),
            End::Hung => f.write_str("did not end"),
            End::Other(what) => f.write_str(what),
        }
    }
}

/// What a run told.
#[derive(Debug)]
pub struct Outcome {
    pub values: Vec<u32>,
    pub end: End,
    pub time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    Kernel,
    User,
}

/// The vCPU that runs at the moment and how long it may; the watching thread ends it after that.
#[derive(Default)]
pub struct Watch(Lock<Option<(Instant, ImmediateExit)>>);

impl Watch {
    /// True when a run is over its time, which it has been told by its flag.
    pub fn overdue(&self) -> bool {
        match &*self.0.lock() {
            Some((deadline, flag)) if Instant::now() >= *deadline => {
                flag.set(true);
                true
            }
            _ => false,
        }
    }
}

pub struct Rig {
    // In this order: the vCPU goes before its VM, the VM before its memory.
    vcpu: Vcpu,
    pub vm: Vm,
    memory: Memory,
    watch: Arc<Watch>,
    /// How long one run may take.
    pub limit: Duration,
    /// After anything but a clean end the processor's state is not trusted any more.
    pub spent: bool,
}

impl Rig {
    pub fn new(kvm: &Kvm, cpuid: &CpuId, watch: Arc<Watch>) -> Result<Rig> {
        let memory = Memory::new(&[(0, MEMORY)], None)?;
        fill(&memory)?;
        let vm = Vm::new(kvm, &memory, &Reserved { identity_map: 0xfffb_c000, tss: 0xfffb_d000 })?;
        let vcpu = vm.vcpu(0)?;
        vcpu.fd().set_cpuid2(cpuid).context("set CPUID")?;
        let star = u64::from(USER_BASE | 3) << 48 | u64::from(CODE_0) << 32;
        let rig = Rig { vcpu, vm, memory, watch, limit: LIMIT, spent: false };
        rig.set_msrs(&[(MSR_STAR, star), (MSR_LSTAR, SYSCALL_ENTRY), (MSR_FMASK, 0)])?;
        Ok(rig)
    }

    pub fn set_msrs(&self, values: &[(u32, u64)]) -> Result<()> {
        let entries: Vec<_> =
            values.iter().map(|&(index, data)| kvm_msr_entry { index, data, ..Default::default() }).collect();
        let msrs = Msrs::from_entries(&entries).map_err(|e| anyhow::anyhow!("{e:?}"))?;
        let set = self.vcpu.fd().set_msrs(&msrs).context("set MSRs")?;
        match values.get(set) {
            Some((index, _)) => anyhow::bail!("MSR {index:#x} is refused"),
            None => Ok(()),
        }
    }

    /// Lets the local APIC take messages (SDM 3A, 12.4.7.2: the spurious-interrupt vector register's bit 8).
    pub fn enable_apic(&self) -> Result<()> {
        let mut apic = self.vcpu.fd().get_lapic().context("read the local APIC")?;
        if let Some(byte) = apic.regs.get_mut(0xf1) {
            *byte |= 1;
        }
        self.vcpu.fd().set_lapic(&apic).context("write the local APIC")
    }

    /// Runs `code` with `count` in rcx (other registers: see [`code::INSTRUCTIONS`]) and `pointer` in rsi.
    pub fn run(&mut self, code: &Code, ring: Ring, count: u64, pointer: u64) -> Result<Outcome> {
        self.memory.write(CODE, code.bytes)?;
        self.memory.slice(DATA, 0x1000)?.fill(0);
        // Anew each time: an exception in ring 3 puts its own frame at the same place.
        let frame = [CODE, u64::from(CODE_3), RFLAGS, STACK_3, u64::from(DATA_3)];
        (FRAME..).step_by(8).zip(frame).try_for_each(|(at, value)| self.memory.write(at, &value.to_le_bytes()))?;
        let rip = match ring {
            Ring::Kernel => CODE,
            Ring::User => ENTER_RING_3,
        };
        let rsp = if ring == Ring::User { FRAME } else { STACK_0 };
        self.finish_last()?;
        self.vcpu.fd().set_sregs(&self.sregs()?).context("set system registers")?;
        let regs = kvm_regs {
            rip,
            rsp,
            rflags: RFLAGS,
            rax: 1,
            rbx: 1,
            rcx: count,
            rdx: 1,
            rsi: pointer,
            ..Default::default()
        };
        self.vcpu.fd().set_regs(&regs).context("set registers")?;
        let start = Instant::now();
        let mut values = Vec::new();
        let end = self.until_end(&mut values)?;
        let time = start.elapsed();
        log::debug!("{ring:?}: `{}` {end} after {time:?}, told {values:x?}", code.text);
        self.spent |= !matches!(end, End::Done | End::Trap(_));
        Ok(Outcome { values, end, time })
    }

    /// KVM completes the last port access when it is entered again; the new state must come after that.
    fn finish_last(&mut self) -> Result<()> {
        let flag = self.vcpu.immediate_exit();
        flag.set(true);
        let result = self.vcpu.run().map(drop);
        flag.set(false);
        result
    }

    fn until_end(&mut self, values: &mut Vec<u32>) -> Result<End> {
        let flag = self.vcpu.immediate_exit();
        let deadline = Instant::now() + self.limit;
        *self.watch.0.lock() = Some((deadline, flag));
        let end = loop {
            match self.vcpu.run() {
                Ok(Exit::PortOut { port, data, .. }) => {
                    let first = data.first().copied().unwrap_or(0);
                    match u8::try_from(port) {
                        Ok(code::DONE) => break Ok(End::Done),
                        Ok(code::TRAP) => break Ok(End::Trap(first)),
                        Ok(code::VALUE) if values.len() < 16 => {
                            values.push(data.try_into().map_or(u32::from(first), u32::from_le_bytes));
                        }
                        _ => break Ok(End::Other(format!("stored to port {port:#x}"))),
                    }
                }
                Ok(Exit::Interrupted) if Instant::now() >= deadline => break Ok(End::Hung),
                Ok(Exit::Interrupted) => {}
                Ok(Exit::Shutdown) => break Ok(End::TripleFault),
                Ok(Exit::InternalError { suberror: 1, .. }) => break Ok(End::NotInterpreted),
                Ok(Exit::Write { address, .. }) => break Ok(End::Other(format!("stored to {address:#x}"))),
                Ok(other) => break Ok(End::Other(format!("stopped with {other:?}"))),
                Err(e) => break Err(e),
            }
        };
        // From here on the watching thread does not touch the flag, which dies with the vCPU.
        *self.watch.0.lock() = None;
        flag.set(false);
        end
    }

    fn sregs(&self) -> Result<kvm_sregs> {
        let mut s = self.vcpu.fd().get_sregs().context("read system registers")?;
        let code = kvm_segment {
            limit: 0xffff_ffff,
            selector: CODE_0,
            type_: 11,
            present: 1,
            s: 1,
            l: 1,
            g: 1,
            ..Default::default()
        };
        let data = kvm_segment { selector: DATA_0, type_: 3, l: 0, db: 1, ..code };
        s.cs = code;
        (s.ss, s.ds, s.es, s.fs, s.gs) = (data, data, data, data, data);
        s.tr = kvm_segment { base: TSS, limit: TSS_LIMIT, selector: TASK, type_: 11, present: 1, ..Default::default() };
        s.gdt = kvm_dtable { base: GDT, limit: 0x3f, ..Default::default() };
        s.idt = kvm_dtable { base: IDT, limit: 0xfff, ..Default::default() };
        (s.cr0, s.cr3, s.efer) = (CR0, PAGE_TABLES, EFER);
        let xsave = self.has_xsave()?;
        s.cr4 = CR4_PAE_OSFXSR_OSXMMEXCPT | if xsave { CR4_OSXSAVE } else { 0 };
        Ok(s)
    }

    fn has_xsave(&self) -> Result<bool> {
        let cpuid = self.vcpu.fd().get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES).context("read CPUID")?;
        Ok(cpuid.as_slice().iter().any(|e| e.function == 1 && e.ecx >> 26 & 1 == 1))
    }
}

/// Tables, stubs and stacks.
fn fill(memory: &Memory) -> Result<()> {
    let put = |at: u64, value: u64| memory.write(at, &value.to_le_bytes());
    // Present, writable, user; the last level maps 2 MiB a piece.
    put(PAGE_TABLES, (PAGE_TABLES + 0x1000) | 7)?;
    put(PAGE_TABLES + 0x1000, (PAGE_TABLES + 0x2000) | 7)?;
    put(PAGE_TABLES + 0x2000, 0x87)?;
    put(PAGE_TABLES + 0x2008, DOORBELL | 0x87)?;
    // SDM 3A, 3.4.5: null, code and data of ring 0, an unused one, data and code of ring 3, TSS (16 bytes).
    let tss = 0x0000_8b00_0000_0000 | TSS << 16 | u64::from(TSS_LIMIT);
    for (at, descriptor) in (GDT..).step_by(8).zip([
        0,
        0x00af_9b00_0000_ffff,
        0x00cf_9300_0000_ffff,
        0,
        0x00cf_f300_0000_ffff,
        0x00af_fb00_0000_ffff,
        tss,
        0,
    ]) {
        put(at, descriptor)?;
    }
    for vector in 0..=u8::MAX {
        let stub = STUBS + 8 * u64::from(vector);
        memory.write(stub, &code::stub(vector))?;
        // SDM 3A, 7.14.1: interrupt gate that ring 3 may use.
        let gate = stub & 0xffff | u64::from(CODE_0) << 16 | 0xee << 40;
        put(IDT + 16 * u64::from(vector), gate)?;
    }
    // SDM 3A, 9.7 and SDM 1, 20.5.2: RSP0, and where the bitmap is; its zeroes permit.
    put(TSS + 4, STACK_0)?;
    memory.write(TSS + 102, &104u16.to_le_bytes())?;
    memory.write(TSS + u64::from(TSS_LIMIT), &[0xff])?;
    memory.write(SYSCALL_ENTRY, code::SYSCALL_ENTRY.bytes)?;
    memory.write(ENTER_RING_3, code::ENTER_RING_3.bytes)?;
    Ok(())
}
