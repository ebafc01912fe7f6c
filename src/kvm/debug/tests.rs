use super::*;
use crate::kvm::backend::{self, Engine};
use crate::kvm::{self, Exit, Reserved, Vm};
use crate::mem::Memory;
use kvm_bindings::{kvm_regs, kvm_segment};

const CODE: u64 = 0x1000;

struct Guest {
    vcpu: Vcpu,
    memory: Memory,
    _vm: Vm,
}

/// In flat protected mode: inc eax, four times; mov [0x3000], eax; int3; hlt.
fn guest() -> Option<Guest> {
    let kvm = match kvm::open() {
        Ok(kvm) => kvm,
        Err(e) => {
            eprintln!("skipped: {e:#}");
            return None;
        }
    };
    let memory = Memory::new(&[(0, 0x10_0000)], None).unwrap();
    memory.write(CODE, &[0x40, 0x40, 0x40, 0x40, 0xa3, 0, 0x30, 0, 0, 0xcc, 0xf4]).unwrap();
    let vm = Vm::new(&kvm, &memory, &Reserved { identity_map: 0xfffb_c000, tss: 0xfffb_d000 }).unwrap();
    let vcpu = vm.vcpu(0).unwrap();
    let mut sregs = vcpu.fd().get_sregs().unwrap();
    sregs.cr0 |= 1;
    let flat =
        kvm_segment { limit: 0xffff_ffff, selector: 8, type_: 3, present: 1, db: 1, s: 1, g: 1, ..Default::default() };
    (sregs.ds, sregs.es, sregs.ss) = (flat, flat, flat);
    sregs.cs = kvm_segment { type_: 11, ..flat };
    vcpu.fd().set_sregs(&sregs).unwrap();
    vcpu.fd().set_regs(&kvm_regs { rip: CODE, rflags: 2, rsp: 0x8000, ..Default::default() }).unwrap();
    Some(Guest { vcpu, memory, _vm: vm })
}

impl Guest {
    fn trap(&mut self) -> Trap {
        let exit = self.vcpu.run().unwrap();
        assert!(matches!(exit, Exit::Debug), "{exit:?}");
        let trap = self.vcpu.take_trap().unwrap();
        assert_eq!(self.vcpu.take_trap(), None);
        trap
    }
}

fn points(at: u64, len: u64, access: Access) -> Stops {
    Stops { points: [None, Some(Point { at, len, access }), None, None], ..Default::default() }
}

#[test]
fn each_step_is_one_instruction() {
    let Some(mut guest) = guest() else { return };
    guest.vcpu.debug(Some(&Stops { step: true, ..Default::default() })).unwrap();
    for n in 1..=4 {
        let trap = guest.trap();
        assert_eq!((trap.pc, trap.is_breakpoint(), trap.slot()), (CODE + n, false, None));
        assert_eq!(guest.vcpu.fd().get_regs().unwrap().rax, n);
    }
}

#[test]
fn a_hardware_breakpoint_stops_before_its_instruction() {
    let Some(mut guest) = guest() else { return };
    guest.vcpu.debug(Some(&points(CODE + 2, 1, Access::Execute))).unwrap();
    let trap = guest.trap();
    assert_eq!((trap.pc, trap.slot()), (CODE + 2, Some(1)));
    assert_eq!(guest.vcpu.fd().get_regs().unwrap().rax, 2);
}

#[test]
fn a_watchpoint_stops_after_the_write() {
    let Some(mut guest) = guest() else { return };
    if backend::engine() == Engine::Pvm {
        return eprintln!("SKIPPED watchpoint: this host's KVM (PVM) interprets ring 0 without looking at them");
    }
    guest.vcpu.debug(Some(&points(0x3000, 4, Access::Write))).unwrap();
    let trap = guest.trap();
    assert_eq!((trap.pc, trap.slot()), (CODE + 9, Some(1)));
    assert_eq!(guest.memory.read::<4>(0x3000).unwrap(), [4, 0, 0, 0]);
}

#[test]
fn an_int3_stops_where_it_is() {
    let Some(mut guest) = guest() else { return };
    if backend::engine() == Engine::Pvm {
        return eprintln!("SKIPPED int3: this host's KVM (PVM) cannot interpret it");
    }
    if !sees_int3() {
        return eprintln!("SKIPPED int3: this host's processor is emulated and does not report it");
    }
    guest.vcpu.debug(Some(&Stops { software: true, ..Default::default() })).unwrap();
    let trap = guest.trap();
    assert_eq!((trap.pc, trap.is_breakpoint(), trap.slot()), (CODE + 9, true, None));
    assert_eq!(guest.vcpu.fd().get_regs().unwrap().rip, CODE + 9);
}

#[test]
fn registers_are_encoded_as_the_processor_wants() {
    let point = |at, len, access| Some(Point { at, len, access });
    let all = [
        point(0x11, 1, Access::Execute),
        point(0x12, 2, Access::Write),
        point(0x14, 4, Access::ReadWrite),
        point(0x18, 8, Access::Write),
    ];
    assert_eq!(registers(&all), ([0x11, 0x12, 0x14, 0x18], 0x9f50_04aa));
    assert_eq!(registers(&[None; SLOTS]), ([0; SLOTS], 0x400));
}

#[test]
fn the_base_behind_swapgs_is_read_and_written() {
    let Some(guest) = guest() else { return };
    guest.vcpu.set_kernel_gs_base(0xffff_8880_1234_0000).unwrap();
    assert_eq!(guest.vcpu.kernel_gs_base().unwrap(), 0xffff_8880_1234_0000);
    // Not canonical.
    assert!(guest.vcpu.set_kernel_gs_base(0x8000_0000_0000_0000).is_err());
}
