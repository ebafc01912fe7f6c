use super::*;
use crate::config::Topology;
use crate::kvm::{self, Reserved, Vm};
use crate::mem::Memory;
use kvm_bindings::{Msrs, kvm_msi, kvm_msr_entry};
use kvm_ioctls::Kvm;

const TOPOLOGY: Topology = Topology { sockets: 1, cores: 2, threads: 1 };

struct Rig {
    kvm: Kvm,
    vcpus: Vec<(u32, CpuId, Vcpu)>,
    vm: Vm,
    _memory: Memory,
}

/// A machine of two processors that are set up, or a line that says why not.
fn rig() -> Option<Rig> {
    let kvm = match kvm::open() {
        Ok(kvm) => kvm,
        Err(e) => {
            eprintln!("skip: {e:#}");
            return None;
        }
    };
    let memory = Memory::new(&layout::ram(16 << 20), None).unwrap();
    let vm = Vm::new(&kvm, &memory, &Reserved { identity_map: layout::IDENTITY_MAP, tss: layout::TSS }).unwrap();
    let supported = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES).unwrap();
    let vcpu = |index: u32| {
        let cpuid = cpuid::guest(&supported, &TOPOLOGY, index).unwrap();
        let id = cpuid::apic_id(&TOPOLOGY, index);
        let vcpu = vm.vcpu(id as u8).unwrap();
        setup(&vcpu, &cpuid).unwrap();
        (id, cpuid, vcpu)
    };
    Some(Rig { vcpus: vec![vcpu(0), vcpu(1)], kvm, vm, _memory: memory })
}

/// What a guest could read back, as (name, value); time stamps are left out.
fn state(kvm: &Kvm, vcpu: &Vcpu) -> Vec<(String, String)> {
    let fd = vcpu.fd();
    let show = |name: &str, value: &dyn std::fmt::Debug| (name.to_string(), format!("{value:x?}"));
    // Words that are not zero, but MXCSR_MASK (a constant) and XSTATE_BV (initial state need not be named there).
    let xsave = fd.get_xsave().unwrap();
    let words = xsave.region.iter().enumerate().filter(|(n, word)| **word != 0 && !matches!(n, 7 | 128 | 129));
    let xsave: Vec<_> = words.collect();
    // KVM puts a signature into RDX before it knows which processor this is.
    let regs = kvm_regs { rdx: 0, ..fd.get_regs().unwrap() };
    // Nor are all versions of one mind on what has been accessed, and on the width of the task state that there is not.
    let mut sregs = fd.get_sregs().unwrap();
    for segment in [&mut sregs.cs, &mut sregs.ss] {
        segment.type_ |= 1;
    }
    sregs.tr.type_ |= 8;
    let mut all = vec![
        show("regs", &regs),
        show("sregs", &sregs),
        show("fpu", &fd.get_fpu().unwrap()),
        show("xsave", &xsave),
        show("debug", &fd.get_debug_regs().unwrap()),
        show("events", &fd.get_vcpu_events().unwrap()),
        show("mp_state", &fd.get_mp_state().unwrap()),
    ];
    if let Ok(xcrs) = fd.get_xcrs() {
        all.push(show("xcrs", &xcrs));
    }
    let lapic = fd.get_lapic().unwrap();
    for (n, word) in lapic.regs.chunks_exact(4).enumerate() {
        all.push(show(&format!("lapic {:#x}", n * 4), &word));
    }
    let mut indices = kvm.get_msr_index_list().unwrap().as_slice().to_vec();
    indices.extend((0x200..0x210).chain([0x250, 0x258, 0x259, 0x268, 0x26f, 0x2ff]));
    // The TSC, and Hyper-V's registers, which KVM shows only to who says in CPUID that it is Hyper-V.
    indices.retain(|index| *index != 0x10 && !(0x4000_0000..0x4000_1000).contains(index));
    for index in indices {
        if let Some(value) = read_msr(vcpu, index) {
            all.push((format!("msr {index:#x}"), format!("{value:#x}")));
        }
    }
    all
}

fn read_msr(vcpu: &Vcpu, index: u32) -> Option<u64> {
    let mut msrs = Msrs::from_entries(&[kvm_msr_entry { index, ..Default::default() }]).unwrap();
    (vcpu.fd().get_msrs(&mut msrs).unwrap() == 1).then(|| msrs.as_slice()[0].data)
}

/// Leaves nothing as it was, as far as KVM lets us. Says which MSRs took another value.
fn disturb(vcpu: &Vcpu, cpuid: &CpuId) -> Vec<u32> {
    let fd = vcpu.fd();
    let mut regs = fd.get_regs().unwrap();
    (regs.rax, regs.rip, regs.rsp, regs.r15, regs.rflags) = (1, 0x10_0000, 0x9000, 15, 0x202);
    fd.set_regs(&regs).unwrap();
    let mut sregs = fd.get_sregs().unwrap();
    sregs.cs = kvm_segment { selector: 8, base: 0, limit: 0xffff_ffff, g: 1, l: 1, db: 0, ..sregs.cs };
    (sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.cr8, sregs.efer) = (0x8000_0031, 7, 0x9000, 0x20, 3, 0x500);
    sregs.gdt = kvm_dtable { base: 0xf000, limit: 0x1f, ..Default::default() };
    sregs.fs.base = 0x1234;
    sregs.apic_base |= 1 << 10;
    fd.set_sregs(&sregs).unwrap();
    let mut fpu = fd.get_fpu().unwrap();
    fpu.fcw = 0x27f;
    fpu.xmm[3] = [9; 16];
    fd.set_fpu(&fpu).unwrap();
    fd.set_debug_regs(&kvm_debugregs { db: [1, 2, 3, 4], dr6: 0xffff_0ff1, dr7: 0x401, ..Default::default() }).unwrap();
    let mut events = fd.get_vcpu_events().unwrap();
    events.nmi.pending = 1;
    events.nmi.masked = 1;
    events.interrupt.shadow = 1;
    fd.set_vcpu_events(&events).unwrap();
    let mut lapic = fd.get_lapic().unwrap();
    for (at, value) in [(0x80, 0x20), (0xf0, 0x1ff), (0x320, 0x400ec), (0x350, 0x1_0000), (0x370, 0xfe), (0x3e0, 0xb)] {
        for (n, byte) in u32::to_le_bytes(value).into_iter().enumerate() {
            lapic.regs[at + n] = byte as _;
        }
    }
    lapic.regs[0x210] = 0x22; // a request is pending
    fd.set_lapic(&lapic).unwrap();
    if cpuid::find(cpuid, 1, 0).unwrap().ecx & 1 << 26 != 0 {
        let mut xcrs = fd.get_xcrs().unwrap();
        xcrs.xcrs[0].value = 3;
        fd.set_xcrs(&xcrs).unwrap();
    }
    fd.set_mp_state(kvm_mp_state { mp_state: kvm_bindings::KVM_MP_STATE_HALTED }).unwrap();
    let disturbed = |(index, value): &(u32, u64)| {
        let before = read_msr(vcpu, *index)?;
        msr::set(vcpu, &[(*index, *value)]).unwrap();
        (read_msr(vcpu, *index)? != before).then_some(*index)
    };
    [
        (0x174, 0x10),
        (0x175, 0x8000),
        (0x176, 0xffff_8000_0000_1000),
        (0xc000_0081, 0x23_0010_0000_0000),
        (0xc000_0082, 0xffff_8000_0000_1000),
        (0xc000_0083, 0xffff_8000_0000_2000),
        (0xc000_0084, 0x4_7700),
        (0xc000_0102, 0xffff_8000_0000_3000),
        (0x277, 0x0606_0606_0606_0606),
        (0x200, 0xe000_0000),
        (0x201, 0xf_e000_0800),
        (0x258, 0x0606_0606_0606_0606),
        (0x2ff, 0xc00),
        (0x1a0, 0x1800),
        (0x3b, 0x1234),
        (0x140, 1),
        (0x17a, 4),
        (0x1d9, 1),
        (0x3a, 5),
        (0x48, 1),
        (0xc000_0103, 3),
        (0x4b56_4d00, 0x5000),
        (0x4b56_4d01, 0x6001),
        (0x4b56_4d02, 0x7001),
        (0x4b56_4d03, 0x8001),
        (0x4b56_4d04, 0x8101),
        (0x4b56_4d05, 0),
        (0x4b56_4d06, 0xf3),
        (0x6e0, u64::MAX),
        (0xc001_0117, 0x9000),
        (0xc001_0200, 0x43_0076),
    ]
    .iter()
    .filter_map(disturbed)
    .collect()
}

#[test]
fn a_reset_leaves_nothing_of_the_guest() {
    let Some(Rig { kvm, vcpus, .. }) = rig() else { return };
    for (id, cpuid, vcpu) in &vcpus {
        let before = state(&kvm, vcpu);
        let changed = disturb(vcpu, cpuid);
        // What no KVM lacks, so that the comparison below means something.
        for index in [0x174, 0xc000_0082, 0x277, 0x2ff, 0x4b56_4d01] {
            assert!(changed.contains(&index), "MSR {index:#x} could not be disturbed, only {changed:x?}");
        }
        let disturbed = state(&kvm, vcpu);
        for name in ["regs", "sregs", "fpu", "debug", "events", "mp_state"] {
            let of = |all: &[(String, String)]| all.iter().find(|(n, _)| n == name).unwrap().1.clone();
            assert_ne!(of(&before), of(&disturbed), "{name} of vCPU {id} was not disturbed");
        }
        reset(vcpu, cpuid, *id).unwrap();
        for (before, after) in before.iter().zip(state(&kvm, vcpu)) {
            assert_eq!(*before, after, "vCPU {id}");
        }
    }
}

#[test]
fn a_start_up_interrupt_sent_before_a_reset_is_forgotten() {
    let Some(Rig { vm, vcpus, .. }) = rig() else { return };
    let (id, cpuid, vcpu) = &vcpus[1];
    // INIT, then start at 0x9a000, to all: what a boot processor sends, and what the other takes at its next run.
    for data in [0x500, 0x69a] {
        let address_lo = layout::LAPIC as u32 | 0xff << 12;
        assert_eq!(vm.fd().signal_msi(kvm_msi { address_lo, data, ..Default::default() }).unwrap(), 2);
    }
    reset(vcpu, cpuid, *id).unwrap();
    assert_eq!(vcpu.fd().get_mp_state().unwrap().mp_state, KVM_MP_STATE_UNINITIALIZED);
    assert_eq!(vcpu.fd().get_regs().unwrap().rip, 0xfff0);
    assert_eq!(vcpu.fd().get_sregs().unwrap().cs.selector, 0xf000);
}

#[test]
fn kvm_shows_the_guest_our_leaves() {
    let Some(Rig { vcpus, .. }) = rig() else { return };
    for (id, _, vcpu) in &vcpus {
        let seen = vcpu.fd().get_cpuid2(kvm_bindings::KVM_MAX_CPUID_ENTRIES).unwrap();
        assert_eq!(cpuid::find(&seen, 1, 0).unwrap().ebx >> 24, *id);
        assert_eq!(cpuid::find(&seen, 0xb, 1).unwrap().ebx, 2);
        assert_eq!(cpuid::find(&seen, 0xb, 0).unwrap().edx, *id);
    }
}

#[test]
fn registers_after_one_that_kvm_lacks_are_set_too() {
    let Some(Rig { vcpus, .. }) = rig() else { return };
    let (_, _, vcpu) = &vcpus[0];
    const NOBODYS: u32 = 0x1234_5678;
    msr::set(vcpu, &[(0x174, 0x18), (NOBODYS, 1), (0x175, 0x7000), (NOBODYS, 2), (NOBODYS, 3)]).unwrap();
    assert_eq!((read_msr(vcpu, 0x174), read_msr(vcpu, 0x175)), (Some(0x18), Some(0x7000)));
}
