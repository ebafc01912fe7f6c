//! Model-specific registers: the few that firmware would set before it starts a kernel, and the power-on values of
//! all that a guest can change. Names and numbers are those of SDM 4 and APM 2, appendix A.

use super::cpuid;
use crate::kvm::Vcpu;
use anyhow::{Context, Result};
use kvm_bindings::{CpuId, Msrs, kvm_msr_entry};

const MTRR_DEF_TYPE: u32 = 0x2ff;
/// Fixed-range and variable-range MTRRs.
const MTRR_FIXED: [u32; 11] = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];
const MTRR_VARIABLE: std::ops::Range<u32> = 0x200..0x210;
/// MTRRs are off.
pub const MEMORY_TYPES_POWER_ON: [(u32, u64); 1] = [(MTRR_DEF_TYPE, 0)];
const MISC_ENABLE: u32 = 0x1a0;
const PAT: u32 = 0x277;
/// Write-back, write-through, uncached minus, uncached; twice (SDM 3A, 12.12.4).
const PAT_POWER_ON: u64 = 0x0007_0406_0007_0406;

/// What `set` writes: one ioctl, unless KVM refuses one. Such a register does not exist in this guest
/// (CPUID and KVM's version decide), so it is passed over.
pub fn set(vcpu: &Vcpu, registers: &[(u32, u64)]) -> Result<()> {
    let mut rest = registers;
    while !rest.is_empty() {
        let entries: Vec<_> = rest
            .iter()
            .map(|(index, data)| kvm_msr_entry { index: *index, data: *data, ..Default::default() })
            .collect();
        let list = Msrs::from_entries(&entries).ok().context("too many MSRs at once")?;
        let done = vcpu.fd().set_msrs(&list).context("set MSRs")?;
        if let Some((index, data)) = rest.get(done) {
            log::debug!("KVM refuses {data:#x} in MSR {index:#x}");
        }
        rest = rest.get(done + 1..).unwrap_or_default();
    }
    Ok(())
}

/// What firmware leaves for a kernel. Memory is write-back by default (Linux turns PAT off where MTRRs are);
/// fast string operations are on (Linux on Intel gives up REP MOVSB where they are not).
pub fn boot(cpuid: &CpuId) -> Vec<(u32, u64)> {
    const MTRRS_ENABLED: u64 = 1 << 11;
    const WRITE_BACK: u64 = 6;
    const FAST_STRINGS: u64 = 1;
    const PERFORMANCE_MONITORING: u64 = 1 << 7;
    const NO_BRANCH_TRACE: u64 = 1 << 11;
    const NO_PEBS: u64 = 1 << 12;
    let monitoring = has(cpuid, 0xa, 0, |leaf| leaf[0] & 0xff != 0);
    let debug_store = has(cpuid, 1, 0, |leaf| leaf[3] & 1 << 21 != 0);
    // KVM has this register on AMD too, with another value in each version.
    let misc = FAST_STRINGS
        | NO_BRANCH_TRACE
        | if monitoring { PERFORMANCE_MONITORING } else { 0 }
        | if debug_store { 0 } else { NO_PEBS };
    vec![(MTRR_DEF_TYPE, MTRRS_ENABLED | WRITE_BACK), (MISC_ENABLE, misc)]
}

/// Every register that keeps what a guest wrote, with its value at power-on. EFER, FS and GS base and the APIC base
/// are not here: they are part of kvm_sregs.
pub fn power_on(cpuid: &CpuId) -> Vec<(u32, u64)> {
    // First of all KVM's own: they name guest memory that KVM would go on writing to.
    let mut list = paravirtual(cpuid);
    list.extend([
        (0x174, 0), // SYSENTER_CS, ESP, EIP
        (0x175, 0),
        (0x176, 0),
        (0xc000_0081, 0), // STAR, LSTAR, CSTAR, FMASK
        (0xc000_0082, 0),
        (0xc000_0083, 0),
        (0xc000_0084, 0),
        (0xc000_0102, 0), // KERNEL_GS_BASE
        (0x10, 0),        // TSC: zero makes KVM bring it into step with the other vCPUs
        (PAT, PAT_POWER_ON),
        (0x17a, 0), // MCG_STATUS
        (0x48, 0),  // SPEC_CTRL: half a dozen bits of CPUID announce it
        (0x1d9, 0), // DEBUGCTL
        (0x140, 0), // MISC_FEATURES_ENABLES: CPUID faulting
    ]);
    list.extend(MTRR_VARIABLE.map(|index| (index, 0)));
    list.extend(MTRR_FIXED.map(|index| (index, 0)));
    list.push((MTRR_DEF_TYPE, 0));
    list.extend(features(cpuid));
    list.extend(if cpuid::is_amd(cpuid) { amd(cpuid) } else { intel(cpuid) });
    list
}

/// Documentation/virt/kvm/x86/msr.rst and cpuid.rst.
fn paravirtual(cpuid: &CpuId) -> Vec<(u32, u64)> {
    let of_feature = [
        (5, 0x4b56_4d03, 0), // steal time
        (3, 0x4b56_4d01, 0), // kvmclock: system time, wall clock
        (3, 0x4b56_4d00, 0),
        (4, 0x4b56_4d02, 0), // asynchronous page faults, their vector
        (14, 0x4b56_4d06, 0),
        (6, 0x4b56_4d04, 0),  // PV EOI
        (12, 0x4b56_4d05, 1), // host polling at HLT
    ];
    let offered = of_feature.iter().filter(|(bit, ..)| has(cpuid, 0x4000_0001, 0, |leaf| leaf[0] & 1 << bit != 0));
    offered.map(|(_, index, value)| (*index, *value)).collect()
}

/// Registers that come with a feature of either vendor.
fn features(cpuid: &CpuId) -> Vec<(u32, u64)> {
    const EAX: usize = 0;
    const EBX: usize = 1;
    const ECX: usize = 2;
    const EDX: usize = 3;
    let of_feature: [(u32, u32, usize, u32, &[u32]); 11] = [
        (1, 0, ECX, 24, &[0x6e0]),                                          // TSC_DEADLINE
        (7, 0, EBX, 1, &[0x3b]),                                            // TSC_ADJUST
        (7, 0, EBX, 11, &[0x122]),                                          // TSX_CTRL
        (7, 0, EBX, 14, &[0xd90]),                                          // BNDCFGS
        (7, 0, ECX, 5, &[0xe1]),                                            // UMWAIT_CONTROL
        (7, 0, ECX, 7, &[0x6a0, 0x6a2, 0x6a4, 0x6a5, 0x6a6, 0x6a7, 0x6a8]), // U_CET, S_CET, shadow stack pointers
        (0x8000_0008, 0, EBX, 25, &[0xc001_011f]),                          // VIRT_SPEC_CTRL
        (0x8000_0001, 0, EDX, 27, &[0xc000_0103]),                          // TSC_AUX
        (0xd, 1, EAX, 3, &[0xda0]),                                         // XSS
        (0xd, 1, EAX, 4, &[0x1c4, 0x1c5]),                                  // XFD, XFD_ERR
        (1, 0, EDX, 21, &[0x600, 0x3f1]),                                   // DS_AREA, PEBS_ENABLE
    ];
    let present = of_feature.iter().filter(|(function, index, register, bit, _)| {
        has(cpuid, *function, *index, |leaf| leaf[*register] & 1 << bit != 0)
    });
    present.flat_map(|(.., registers)| registers.iter().map(|index| (*index, 0))).collect()
}

fn intel(cpuid: &CpuId) -> Vec<(u32, u64)> {
    let mut list = vec![
        (0x3a, 0),  // FEATURE_CONTROL: unlocked, as KVM starts it
        (0x1fc, 0), // POWER_CTL
    ];
    // SDM 3B, 20.2: the counters that leaf 0xa counts.
    let Some(leaf) = cpuid::find(cpuid, 0xa, 0).filter(|leaf| leaf.eax & 0xff != 0) else { return list };
    let (general, fixed) = (leaf.eax >> 8 & 0xff, leaf.edx & 0x1f);
    list.push((0x38d, 0)); // FIXED_CTR_CTRL
    list.push((0x38f, (1 << general.min(32)) - 1)); // PERF_GLOBAL_CTRL: the general counters are on (table 11-1)
    for n in 0..general.min(8) {
        list.extend([(0x186 + n, 0), (0xc1 + n, 0)]);
    }
    list.extend((0..fixed.min(16)).map(|n| (0x309 + n, 0)));
    list
}

fn amd(cpuid: &CpuId) -> Vec<(u32, u64)> {
    let mut list = vec![
        (0xc001_0015, 0), // HWCR
        (0xc001_0117, 0), // VM_HSAVE_PA
    ];
    // APM 2, 13.2.1: four counters, or six where the core extensions are.
    if has(cpuid, 0x8000_0001, 0, |leaf| leaf[2] & 1 << 23 != 0) {
        list.extend((0..6).flat_map(|n| [(0xc001_0200 + 2 * n, 0), (0xc001_0201 + 2 * n, 0)]));
    } else {
        list.extend((0..4).flat_map(|n| [(0xc001_0000 + n, 0), (0xc001_0004 + n, 0)]));
    }
    if let Some(leaf) = cpuid::find(cpuid, 0x8000_0022, 0).filter(|leaf| leaf.eax & 1 != 0) {
        list.push((0xc000_0301, (1 << (leaf.ebx & 0xf)) - 1)); // PerfCntrGlobalCtl
    }
    list
}

fn has(cpuid: &CpuId, function: u32, index: u32, test: impl FnOnce([u32; 4]) -> bool) -> bool {
    cpuid::find(cpuid, function, index).is_some_and(|leaf| test([leaf.eax, leaf.ebx, leaf.ecx, leaf.edx]))
}
