//! The least a VMM can do before the guest's first byte: the ioctls kiln makes, in kiln's order, and nothing else.
//! The guest is five instructions in real mode. `bare idle` leaves it halted, `bare` ends after the byte.

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit};
use std::io::Write;

const MEMORY: usize = 128 << 20;
const CODE_AT: u64 = 0x1000;
/// mov dx, 0x3f8; mov al, '!'; out dx, al; hlt; jmp to the hlt
const CODE: [u8; 9] = [0xba, 0xf8, 0x03, 0xb0, b'!', 0xee, 0xf4, 0xeb, 0xfd];

fn main() {
    let idle = std::env::args().nth(1).is_some();
    let kvm = Kvm::new().expect("open /dev/kvm");
    let vm = kvm.create_vm().expect("create VM");
    let memory = map();
    // SAFETY: the mapping holds the code, and nobody else uses it yet.
    unsafe { std::ptr::copy_nonoverlapping(CODE.as_ptr(), memory.add(CODE_AT as usize), CODE.len()) };
    let region =
        kvm_userspace_memory_region { memory_size: MEMORY as u64, userspace_addr: memory as u64, ..Default::default() };
    // SAFETY: the mapping stays until the process ends.
    unsafe { vm.set_user_memory_region(region) }.expect("set memory");
    vm.set_identity_map_address(0xfffb_c000).expect("set identity map address");
    vm.set_tss_address(0xfffb_d000).expect("set TSS address");
    vm.create_irq_chip().expect("create interrupt controllers");
    vm.create_pit2(kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() }).expect("create timer");
    let mut vcpu = vm.create_vcpu(0).expect("create vCPU");
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).expect("ask for CPUID");
    vcpu.set_cpuid2(&cpuid).expect("set CPUID");
    let mut sregs = vcpu.get_sregs().expect("get segment registers");
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    vcpu.set_sregs(&sregs).expect("set segment registers");
    let mut regs = vcpu.get_regs().expect("get registers");
    (regs.rip, regs.rflags) = (CODE_AT, 2);
    vcpu.set_regs(&regs).expect("set registers");
    loop {
        if let VcpuExit::IoOut(_, data) = vcpu.run().expect("run") {
            std::io::stdout().write_all(data).expect("write the byte");
            std::io::stdout().flush().expect("write the byte");
            if !idle {
                return;
            }
        }
    }
}

fn map() -> *mut u8 {
    // SAFETY: plain system calls; their results are checked.
    unsafe {
        let fd = libc::memfd_create(c"guest-memory".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0 && libc::ftruncate(fd, MEMORY as libc::off_t) == 0, "create guest memory");
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        let at = libc::mmap(std::ptr::null_mut(), MEMORY, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0);
        assert!(at != libc::MAP_FAILED, "map guest memory");
        at.cast()
    }
}
