use super::code::{Code, LOOP};
use super::rig::{DATA, End, Rig, Ring, Watch};
use super::*;
use crate::kvm::backend::Engine;

/// The whole examination on this machine's own KVM, judged by what its back end is known to do (docs/hosts.md).
#[test]
fn this_host_is_examined() {
    let report = examine().unwrap();
    let find = |key: &str| report.0.iter().find(|c| c.key == key).unwrap_or_else(|| panic!("no check {key}"));
    if find("device").mark == Mark::Fail {
        assert!(!report.runs_guests());
        return eprintln!("skipped: {}", report.verdict());
    }
    for key in ["capabilities", "ring3_speed", "ioeventfd", "irqfd"] {
        assert_eq!(find(key).mark, Mark::Ok, "{}: {}", key, find(key).detail);
    }
    assert!(report.runs_guests());
    match backend::engine() {
        Engine::Pvm => {
            assert_eq!((find("syscall").mark, &find("syscall").value), (Mark::Fail, &json!(3)));
            assert_eq!(find("ring0_speed").mark, Mark::Warn);
            for name in ["cmpxchg16b", "xsave", "int3", "popcnt"] {
                assert_eq!(find("instructions").value[name], json!(false), "{name}");
            }
            assert!(!report.runs_linux());
        }
        _ => assert!(report.runs_linux(), "{}", report.verdict()),
    }
}

/// A guest that never ends is ended, and one that faults is told apart from one that works.
#[test]
fn no_guest_holds_doctor_up() {
    let Ok(kvm) = kvm::open() else { return eprintln!("skipped: no KVM") };
    accept_calls().unwrap();
    let watch = Arc::new(Watch::default());
    let shared = watch.clone();
    let thread = std::thread::spawn(move || {
        let cpuid = kvm.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES).unwrap();
        let mut rig = Rig::new(&kvm, &cpuid, shared).unwrap();
        let mut run = |bytes, ring| rig.run(&Code { bytes, text: "" }, ring, 0, DATA).unwrap().end;
        // out 0x81, al
        assert_eq!(run(&[0xe6, 0x81], Ring::Kernel), End::Other("stored to port 0x81".into()));
        // xor eax, eax; div eax
        assert_eq!(run(&[0x31, 0xc0, 0xf7, 0xf0], Ring::User), End::Trap(0));
        // hlt in ring 3
        assert_eq!(run(&[0xf4], Ring::User), End::Trap(13));
        assert_eq!(rig.run(&LOOP, Ring::User, 5, DATA).unwrap().end, End::Done);
        // jmp to itself
        rig.limit = Duration::from_millis(50);
        assert_eq!(rig.run(&Code { bytes: &[0xeb, 0xfe], text: "" }, Ring::User, 0, DATA).unwrap().end, End::Hung);
        assert!(rig.spent);
    });
    while !thread.is_finished() {
        if watch.overdue() {
            call_out(&thread);
        }
        std::thread::yield_now();
    }
    thread.join().unwrap();
}
