//! The memory of a guest that died, as a file for crash and drgn: an ELF core as QEMU's dump-guest-memory writes it.

mod elf;
mod file;
mod notes;

pub use file::check;

use super::{Machine, Outcome};
use crate::event::Request;
use crate::kvm::Vcpu;
use crate::printk::vmcoreinfo;
use crate::sys::term::Stderr;
use anyhow::{Context, Result};
use notes::Registers;
use std::io::Write;
use std::path::Path;

/// Where the PC's low memory ends. Two segments are better than one (see [`elf::Core::new`]), and this is where others
/// have the border.
const LOW: u64 = 0xa_0000;

impl Machine {
    /// What `--dump-on-panic` asks for, after an end that is one. The guest is stopped for it and cannot go on.
    /// What goes wrong is said, and changes nothing about how the guest ended.
    pub(super) fn dump_after(&self, outcome: &Outcome) {
        let Some(path) = self.config.dump.as_deref() else { return };
        if matches!(outcome, Outcome::Panicked | Outcome::Fault(_))
            && let Err(e) = self.dump(path)
        {
            log::error!("--dump-on-panic {}: {e:#}", path.display());
        }
    }

    /// Writes the guest's memory and registers to `path`, whatever the guest is doing; it is stopped afterwards.
    fn dump(&self, path: &Path) -> Result<()> {
        self.stop();
        let cpus: Vec<_> = self.cpus.iter().map(|cpu| registers(&cpu.runner.vcpu().lock())).collect();
        let vmcoreinfo = vmcoreinfo::find(&self.memory).context("look through guest memory")?;
        if vmcoreinfo.is_none() {
            log::warn!(
                "--dump-on-panic: no VMCOREINFO in the guest's memory; crash and drgn need a kernel with \
                 CONFIG_VMCORE_INFO (before Linux 6.9: CONFIG_CRASH_CORE, by CONFIG_KEXEC)"
            );
        }
        let notes = notes::encode(&cpus, vmcoreinfo.as_deref());
        let ranges: Vec<_> = self.memory.regions().iter().flat_map(|r| split(r.base, r.base + r.len)).collect();
        let core = elf::Core::new(&ranges, &notes).context("memory too large")?;
        // Ctrl-A x: who waits for a large dump may change their mind.
        let quit = || self.inbox.try_iter().any(|r| matches!(r, Request::UserQuit | Request::Dismiss));
        let written = file::write(path, &core, &self.memory, &quit)?;
        let mib = written.div_ceil(1 << 20);
        let _ = writeln!(Stderr, "kiln: guest memory dumped to {} ({mib} MiB)", path.display());
        Ok(())
    }
}

fn split(start: u64, end: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    let border = LOW.clamp(start, end);
    [start..border, border..end].into_iter().filter(|r| !r.is_empty())
}

/// Zeroes stand for what KVM does not tell: the memory is worth having without.
fn registers(vcpu: &Vcpu) -> Registers {
    Registers {
        regs: vcpu.fd().get_regs().unwrap_or_default(),
        sregs: vcpu.fd().get_sregs().unwrap_or_default(),
        kernel_gs_base: vcpu.kernel_gs_base().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
