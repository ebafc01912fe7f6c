use super::*;
use crate::kvm::{self, Exit, Reserved, Vm};

/// Where the code of a test's guest is.
const CODE: u64 = 0x1000;

struct Guest {
    vcpu: Vcpu,
    memory: Memory,
    _vm: Vm,
}

/// A guest in flat protected mode with an empty interrupt table; `None` (said aloud) where there is no KVM.
fn guest(code: &[u8]) -> Option<Guest> {
    let kvm = match kvm::open() {
        Ok(kvm) => kvm,
        Err(e) => {
            eprintln!("skipped: {e:#}");
            return None;
        }
    };
    let memory = Memory::new(&[(0, 0x10_0000)], None).unwrap();
    memory.write(CODE, code).unwrap();
    let vm = Vm::new(&kvm, &memory, &Reserved { identity_map: 0xfffb_c000, tss: 0xfffb_d000 }).unwrap();
    let vcpu = vm.vcpu(0).unwrap();
    let mut sregs = vcpu.fd().get_sregs().unwrap();
    sregs.cr0 |= CR0_PE;
    let flat =
        kvm_segment { limit: 0xffff_ffff, selector: 8, type_: 3, present: 1, db: 1, s: 1, g: 1, ..Default::default() };
    (sregs.ds, sregs.es, sregs.ss) = (flat, flat, flat);
    sregs.cs = kvm_segment { type_: 11, ..flat };
    sregs.idt.limit = 0;
    vcpu.fd().set_sregs(&sregs).unwrap();
    let regs = kvm_regs { rip: CODE, rflags: 2, rdi: 0x1234_5678, rsp: 0x8000, ..Default::default() };
    vcpu.fd().set_regs(&regs).unwrap();
    Some(Guest { vcpu, memory, _vm: vm })
}

impl Guest {
    fn run(&mut self) -> String {
        let (suberror, data) = match self.vcpu.run().unwrap() {
            Exit::Shutdown => return describe(&self.vcpu, &self.memory, Why::TripleFault),
            Exit::InternalError { suberror, data } => (suberror, data),
            other => panic!("{other:?}"),
        };
        describe(&self.vcpu, &self.memory, Why::InternalError { suberror, data: &data })
    }
}

#[test]
fn a_triple_fault_shows_instruction_and_registers() {
    // ud2
    let Some(mut guest) = guest(&[0x0f, 0x0b]) else { return };
    let text = guest.run();
    assert!(text.starts_with("triple fault: "), "{text}");
    if backend::engine() == Engine::Svm {
        assert!(text.contains("state after INIT"), "{text}");
        return;
    }
    for part in [
        "at 0008:1000, 32-bit protected mode, ring 0",
        "0f 0b  ud2",
        "rdi 0000000012345678",
        "rsp 0000000000008000",
        "limit 00000000",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn an_instruction_that_kvm_cannot_interpret_is_named() {
    // popcnt eax, ebx; hlt
    let Some(mut guest) = guest(&[0xf3, 0x0f, 0xb8, 0xc3, 0xf4]) else { return };
    if backend::engine() != Engine::Pvm {
        return eprintln!("skipped: this host's KVM does not interpret ring 0");
    }
    let text = guest.run();
    for part in ["KVM internal error 1", "f3 0f b8 c3  popcnt eax, ebx", "(PVM)", "lacks popcnt", "kiln doctor"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn a_guest_far_outside_memory_is_described_too() {
    let Some(guest) = guest(&[]) else { return };
    let mut sregs = guest.vcpu.fd().get_sregs().unwrap();
    sregs.cs.base = 0xffff_0000;
    guest.vcpu.fd().set_sregs(&sregs).unwrap();
    let text = describe(&guest.vcpu, &guest.memory, Why::FailEntry { reason: 0x8000_0021 });
    assert!(text.contains("reason 0x80000021") && text.contains("the instruction is not in memory"), "{text}");
}

/// An instruction across a page boundary whose second page is not there shows the bytes of the first.
#[test]
fn bytes_stop_where_memory_does() {
    let Some(guest) = guest(&[]) else { return };
    guest.memory.write(0xf_fffd, &[0x90, 0x90, 0x90]).unwrap();
    assert_eq!(instruction_bytes(&guest.vcpu, &guest.memory, 0xf_fffd), Some(vec![0x90; 3]));
    assert_eq!(instruction_bytes(&guest.vcpu, &guest.memory, 0x10_0000), None);
    assert_eq!(instruction_bytes(&guest.vcpu, &guest.memory, 0x2ffa).map(|b| b.len()), Some(LONGEST));
}

#[test]
fn bytes_in_the_error_are_taken_as_they_are() {
    let error = |data| reported_bytes(Why::InternalError { suberror: KVM_INTERNAL_ERROR_EMULATION, data });
    assert_eq!(error(&[1, 0x9090_0f02, 0]), Some(vec![0x0f, 0x90]));
    assert_eq!(error(&[1, 0xff, 0]).map(|b| b.len()), Some(LONGEST));
    for data in [&[][..], &[0, 0x9090_0f02, 0], &[1], &[1, 0, 0], &[1, 0x03]] {
        assert!(error(data).is_none_or(|b| b.len() <= LONGEST), "{data:?}");
    }
    assert_eq!(error(&[0, 0x9090_0f02, 0]), None);
    assert_eq!(reported_bytes(Why::TripleFault), None);
}

#[test]
fn code_is_read_as_its_mode_says() {
    let popcnt = [0xf3, 0x0f, 0xb8, 0xc3];
    assert_eq!(disassemble(&popcnt, 0, 16), Some(("popcnt ax, bx".into(), 4)));
    assert_eq!(disassemble(&popcnt, 0, 64), Some(("popcnt eax, ebx".into(), 4)));
    assert_eq!(disassemble(&[0x0f], 0, 64), None);
    assert_eq!((mnemonic("lock cmpxchg16b [rdi]"), mnemonic("hlt")), (Some("cmpxchg16b"), Some("hlt")));
    assert_eq!(disassemble(&[0x48, 0x0f, 0xc7, 0x0f], 0, 64), Some(("cmpxchg16b [rdi]".into(), 4)));
    let mut sregs = kvm_sregs { cr0: CR0_PE, efer: EFER_LMA, ..Default::default() };
    let regs = kvm_regs::default();
    sregs.cs.l = 1;
    assert_eq!(Mode::of(&regs, &sregs).to_string(), "64-bit mode");
    (sregs.cs.l, sregs.cs.db, sregs.cs.base) = (0, 1, 0xffff_fff0);
    let mode = Mode::of(&regs, &sregs);
    assert_eq!((mode.to_string().as_str(), mode.linear(&sregs, 0x20)), ("32-bit compatibility mode", 0x10));
}
