//! A vCPU before its first instruction: at start, where KVM has done nearly all, and again after a reset.
//! Where the boot processor begins is set afterwards (boot.rs); the others wait for their start-up interrupt.

use super::{cpuid, layout, msr};
use crate::kvm::Vcpu;
use anyhow::{Context, Result};
use kvm_bindings::{
    CpuId, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED, KVM_STATE_NESTED_FORMAT_SVM, KVM_STATE_NESTED_FORMAT_VMX,
    KVM_STATE_NESTED_GIF_SET, KVM_VCPUEVENT_VALID_NMI_PENDING, KVM_VCPUEVENT_VALID_SHADOW,
    KVM_VCPUEVENT_VALID_SIPI_VECTOR, KVM_VCPUEVENT_VALID_SMM, kvm_debugregs, kvm_dtable, kvm_lapic_state, kvm_mp_state,
    kvm_regs, kvm_segment, kvm_sregs, kvm_vcpu_events, kvm_xcrs, nested::KvmNestedStateBuffer,
};

/// Makes a new vCPU ready: two ioctls. What KVM reset it to is right for everything else,
/// the local APIC's LINT0 (from the PIC) among it.
pub fn setup(vcpu: &Vcpu, cpuid: &CpuId) -> Result<()> {
    vcpu.fd().set_cpuid2(cpuid).context("set CPUID")?;
    msr::set(vcpu, &msr::boot(cpuid))
}

/// After `setup` or `reset`: as a processor is for firmware, which sets memory types itself.
pub fn for_firmware(vcpu: &Vcpu) -> Result<()> {
    msr::set(vcpu, &msr::MEMORY_TYPES_POWER_ON)
}

/// Puts a vCPU that has run into the state that `setup` left it in. `cpuid` is what it was set up with.
/// No vCPU of the machine may be running.
pub fn reset(vcpu: &Vcpu, cpuid: &CpuId, apic_id: u32) -> Result<()> {
    let fd = vcpu.fd();
    let boot_processor = apic_id == 0;
    leave_nested_guest(vcpu, cpuid)?;
    // With SMM's part goes an INIT that another vCPU sent and that this one has not taken yet; without it,
    // a start-up interrupt means nothing.
    let events = kvm_vcpu_events {
        flags: KVM_VCPUEVENT_VALID_NMI_PENDING
            | KVM_VCPUEVENT_VALID_SIPI_VECTOR
            | KVM_VCPUEVENT_VALID_SHADOW
            | KVM_VCPUEVENT_VALID_SMM,
        ..Default::default()
    };
    fd.set_vcpu_events(&events).context("reset vCPU events")?;
    fd.set_sregs(&sregs(boot_processor)).context("reset system registers")?;
    fd.set_regs(&regs(cpuid)).context("reset registers")?;
    if cpuid::find(cpuid, 1, 0).is_some_and(|leaf| leaf.ecx & 1 << 26 /* XSAVE */ != 0) {
        let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..Default::default() };
        xcrs.xcrs[0].value = 1; // x87 only
        fd.set_xcrs(&xcrs).context("reset XCR0")?;
    }
    vcpu.reset_fpu()?;
    let debug = kvm_debugregs { dr6: 0xffff_0ff0, dr7: 0x400, ..Default::default() };
    fd.set_debug_regs(&debug).context("reset debug registers")?;
    let mut registers = msr::power_on(cpuid);
    registers.extend(msr::boot(cpuid));
    msr::set(vcpu, &registers)?;
    fd.set_lapic(&lapic(apic_id)).context("reset local APIC")?;
    let state = if boot_processor { KVM_MP_STATE_RUNNABLE } else { KVM_MP_STATE_UNINITIALIZED };
    fd.set_mp_state(kvm_mp_state { mp_state: state }).context("reset vCPU state")
}

/// A guest that is itself a hypervisor may have been inside its guest. KVM refuses to change the outer registers then.
fn leave_nested_guest(vcpu: &Vcpu, cpuid: &CpuId) -> Result<()> {
    let feature = |function, bit: u32| cpuid::find(cpuid, function, 0).is_some_and(|leaf| leaf.ecx & 1 << bit != 0);
    let mut state = KvmNestedStateBuffer::empty();
    state.size = HEADER;
    if feature(1, 5 /* VMX */) {
        state.format = KVM_STATE_NESTED_FORMAT_VMX as u16;
        state.hdr.vmx.vmxon_pa = u64::MAX;
        state.hdr.vmx.vmcs12_pa = u64::MAX;
    } else if feature(0x8000_0001, 2 /* SVM */) {
        state.format = KVM_STATE_NESTED_FORMAT_SVM as u16;
        state.flags = KVM_STATE_NESTED_GIF_SET as u16;
    } else {
        return Ok(());
    }
    vcpu.fd().set_nested_state(&state).context("leave nested guest")
}

/// Bytes of kvm_nested_state without a guest's state.
const HEADER: u32 = 128;

/// SDM 3A, table 11-1, "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT".
fn sregs(boot_processor: bool) -> kvm_sregs {
    const CACHES_OFF: u64 = 0x6000_0010;
    const APIC_ENABLED: u64 = 1 << 11;
    const BOOT_PROCESSOR: u64 = 1 << 8;
    let data = kvm_segment { limit: 0xffff, type_: 3, present: 1, s: 1, ..Default::default() };
    let code = kvm_segment { base: 0xffff_0000, selector: 0xf000, type_: 11, ..data };
    let system = kvm_segment { s: 0, ..data };
    let table = kvm_dtable { limit: 0xffff, ..Default::default() };
    kvm_sregs {
        cs: code,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        tr: kvm_segment { type_: 11, ..system },
        ldt: kvm_segment { type_: 2, ..system },
        gdt: table,
        idt: table,
        cr0: CACHES_OFF,
        apic_base: layout::LAPIC | APIC_ENABLED | if boot_processor { BOOT_PROCESSOR } else { 0 },
        ..Default::default()
    }
}

fn regs(cpuid: &CpuId) -> kvm_regs {
    // EDX has the processor's signature (SDM 3A, 11.1.2).
    let signature = cpuid::find(cpuid, 1, 0).map_or(0x600, |leaf| leaf.eax);
    kvm_regs { rip: 0xfff0, rflags: 2, rdx: u64::from(signature), ..Default::default() }
}

/// SDM 3A, 12.4.7.1, and LINT0 of the boot processor open for the PIC as KVM has it.
fn lapic(apic_id: u32) -> kvm_lapic_state {
    const MASKED: u32 = 1 << 16;
    const EXTERNAL: u32 = 7 << 8;
    let mut state = kvm_lapic_state::default();
    let mut set = |register: usize, value: u32| {
        for (byte, new) in state.regs.iter_mut().skip(register).zip(value.to_le_bytes()) {
            *byte = new as _;
        }
    };
    set(0x20, apic_id << 24);
    set(0xe0, u32::MAX); // destination format: flat
    set(0xf0, 0xff); // spurious interrupts: disabled by software
    for vector in [0x320, 0x330, 0x340, 0x350, 0x360, 0x370] {
        set(vector, MASKED);
    }
    if apic_id == 0 {
        set(0x350, EXTERNAL);
    }
    state
}

#[cfg(test)]
mod tests;
