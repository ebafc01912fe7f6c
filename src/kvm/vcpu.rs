//! One vCPU: running it, and the exits that user space must answer.

use super::debug::Trap;
use anyhow::{Context, Result};
use kvm_bindings as kb;
use kvm_ioctls::VcpuFd;
use std::sync::atomic::{AtomicU8, Ordering};

pub struct Vcpu {
    fd: VcpuFd,
    /// Why it left last, until somebody asked.
    pub(super) trap: Option<Trap>,
}

/// Why the guest stopped running (Documentation/virt/kvm/api.rst, 5).
/// `data` is to be filled by a read, and holds the value of a write; a string instruction has several elements of `size`.
#[derive(Debug)]
pub enum Exit<'a> {
    PortIn {
        port: u16,
        size: usize,
        data: &'a mut [u8],
    },
    PortOut {
        port: u16,
        size: usize,
        data: &'a [u8],
    },
    Read {
        address: u64,
        data: &'a mut [u8],
    },
    Write {
        address: u64,
        data: &'a [u8],
    },
    /// The guest cannot be given the memory that it touches: the host has protected it, or has none.
    Fault {
        /// Guest physical; `None`: this KVM does not say.
        address: Option<u64>,
    },
    /// A signal, or `immediate_exit`.
    Interrupted,
    /// Triple fault.
    Shutdown,
    Hlt,
    /// Suberror and up to 16 words of detail.
    InternalError {
        suberror: u32,
        data: Vec<u64>,
    },
    /// The processor refused to enter the guest, with a reason of its own.
    FailEntry {
        reason: u64,
    },
    /// What [`Vcpu::debug`] asked for happened; [`Vcpu::take_trap`] tells what.
    Debug,
    Other(u32),
}

/// While set, `run` finishes a pending access and returns [`Exit::Interrupted`] without entering the guest
/// (api.rst, 5, `immediate_exit`). A run that is under way needs a signal as well. Must not outlive its vCPU.
#[derive(Clone, Copy)]
pub struct ImmediateExit(*mut u8);

// SAFETY: it points into the page shared with KVM, which any thread may access.
unsafe impl Send for ImmediateExit {}
// SAFETY: as above; all accesses are atomic.
unsafe impl Sync for ImmediateExit {}

impl ImmediateExit {
    pub fn set(&self, on: bool) {
        // SAFETY: the byte is mapped while the vCPU lives, and only accessed as an atomic by us.
        unsafe { AtomicU8::from_ptr(self.0) }.store(u8::from(on), Ordering::SeqCst);
    }
}

impl Vcpu {
    pub(super) fn new(fd: VcpuFd) -> Vcpu {
        Vcpu { fd, trap: None }
    }

    pub fn fd(&self) -> &VcpuFd {
        &self.fd
    }

    /// What gets another thread's [`Vcpu::run`] to return.
    pub fn immediate_exit(&mut self) -> ImmediateExit {
        ImmediateExit(&raw mut self.fd.get_kvm_run().immediate_exit)
    }

    /// Runs the guest until it needs something.
    pub fn run(&mut self) -> Result<Exit<'_>> {
        match self.fd.run() {
            Ok(_) => Ok(self.exit()),
            Err(e) if matches!(e.errno(), libc::EINTR | libc::EAGAIN) => Ok(Exit::Interrupted),
            Err(e) if e.errno() == libc::EFAULT => Ok(self.fault()),
            Err(e) => Err(e).context("run vCPU"),
        }
    }

    /// x87, SSE and every extended state component as after power-on.
    pub fn reset_fpu(&self) -> Result<()> {
        // 16 KiB: four times what KVM reads, unless a feature is allowed that is not by default (AMX: 11 KiB).
        const EXTRA_WORDS: usize = 3 * 1024;
        const CONTROL: usize = 0;
        const MXCSR: usize = 6;
        const XSTATE_BV: usize = 128;
        let mut state = kb::Xsave::new(EXTRA_WORDS).ok().context("allocate FPU state")?;
        // SAFETY: the length is not changed.
        let region = unsafe { &mut state.as_mut_fam_struct().xsave.region };
        region[CONTROL] = 0x37f;
        region[MXCSR] = 0x1f80;
        // x87 and SSE are here; what is not named is put into its initial state (SDM 1, 13.6).
        region[XSTATE_BV] = 3;
        // SAFETY: KVM reads what KVM_CAP_XSAVE2 says; see above for why that is less than 16 KiB.
        unsafe { self.fd.set_xsave2(&state) }.context("reset FPU")
    }

    /// KVM_RUN failed with EFAULT; newer kernels say with that where (api.rst, KVM_EXIT_MEMORY_FAULT).
    fn fault(&mut self) -> Exit<'static> {
        let run = self.fd.get_kvm_run();
        let known = run.exit_reason == kb::KVM_EXIT_MEMORY_FAULT;
        // SAFETY: this member of the union is of integers only, so any bytes are a value; whether it means something, the exit
        // reason says.
        let fault = unsafe { run.__bindgen_anon_1.memory_fault };
        Exit::Fault { address: known.then_some(fault.gpa) }
    }

    fn exit(&mut self) -> Exit<'_> {
        let run = self.fd.get_kvm_run();
        let page: *mut u8 = (&raw mut *run).cast();
        let kind = &mut run.__bindgen_anon_1;
        match run.exit_reason {
            kb::KVM_EXIT_IO => {
                // SAFETY: the exit reason says which member of the union KVM filled.
                let io = unsafe { kind.io };
                let size = usize::from(io.size);
                let len = size * io.count as usize;
                // SAFETY: KVM puts the data inside the mapping it shares with us, at this offset; it stays there until the next run.
                let data = unsafe { std::slice::from_raw_parts_mut(page.add(io.data_offset as usize), len) };
                match u32::from(io.direction) {
                    kb::KVM_EXIT_IO_IN => Exit::PortIn { port: io.port, size, data },
                    _ => Exit::PortOut { port: io.port, size, data },
                }
            }
            kb::KVM_EXIT_MMIO => {
                // SAFETY: as above.
                let mmio = unsafe { &mut kind.mmio };
                let len = (mmio.len as usize).min(mmio.data.len());
                let (address, data) = (mmio.phys_addr, &mut mmio.data[..len]);
                if mmio.is_write == 0 { Exit::Read { address, data } } else { Exit::Write { address, data } }
            }
            kb::KVM_EXIT_HLT => Exit::Hlt,
            kb::KVM_EXIT_SHUTDOWN => Exit::Shutdown,
            kb::KVM_EXIT_INTR => Exit::Interrupted,
            kb::KVM_EXIT_INTERNAL_ERROR => {
                // SAFETY: as above.
                let error = unsafe { kind.internal };
                let n = (error.ndata as usize).min(error.data.len());
                Exit::InternalError { suberror: error.suberror, data: error.data[..n].to_vec() }
            }
            kb::KVM_EXIT_FAIL_ENTRY => {
                // SAFETY: as above.
                let failure = unsafe { kind.fail_entry };
                Exit::FailEntry { reason: failure.hardware_entry_failure_reason }
            }
            kb::KVM_EXIT_DEBUG => {
                // SAFETY: as above.
                let debug = unsafe { kind.debug.arch };
                self.trap = Some(Trap { exception: debug.exception, pc: debug.pc, dr6: debug.dr6 });
                Exit::Debug
            }
            other => Exit::Other(other),
        }
    }
}
