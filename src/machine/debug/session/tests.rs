use super::*;
use crate::kvm::{self, Reserved, Vm};
use crate::mem::Memory;
use proptest::prelude::*;

/// A guest of one vCPU that never runs: real mode, paging off. Without KVM it has none.
fn guest() -> (Guest, Option<Vm>) {
    let memory = Memory::new(&[(0, 0x10_0000)], None).unwrap();
    memory.write(0x1000, b"here").unwrap();
    let vm = kvm::open()
        .ok()
        .map(|kvm| Vm::new(&kvm, &memory, &Reserved { identity_map: 0xfffb_c000, tss: 0xfffb_d000 }).unwrap());
    let vcpus = vm.iter().map(|vm| Arc::new(Lock::new(vm.vcpu(0).unwrap()))).collect();
    let mut guest = Guest::new(vcpus, memory, Arc::default());
    guest.running = false;
    (guest, vm)
}

fn packet(body: &str) -> String {
    format!("${body}#{:02x}", body.bytes().fold(0u8, u8::wrapping_add))
}

/// What is answered to `body`, without frame and run lengths.
fn ask(session: &mut Session, guest: &mut Guest, body: &str) -> String {
    for byte in packet(body).bytes() {
        assert!(!matches!(session.byte(guest, byte), Said::Wrong(_)), "{body}");
    }
    let out = String::from_utf8(session.output()).unwrap();
    let mut plain = String::new();
    let mut bytes = out.trim_start_matches(['+', '$']).split('#').next().unwrap_or_default().chars();
    while let Some(c) = bytes.next() {
        match c {
            '*' => {
                let last = plain.chars().last().unwrap();
                let n = bytes.next().unwrap() as usize - 29;
                plain.extend(std::iter::repeat_n(last, n));
            }
            c => plain.push(c),
        }
    }
    plain
}

#[test]
fn memory_registers_and_breakpoints_are_reached() {
    let (mut guest, vm) = guest();
    if vm.is_none() {
        return eprintln!("skipped: no KVM");
    }
    let mut s = Session::new(&mut guest);
    let mut ask = |body: &str| ask(&mut s, &mut guest, body);
    assert!(ask("qSupported:multiprocess+;swbreak+").contains("PacketSize=4000"));
    assert_eq!(ask("m1000,4"), "68657265");
    assert_eq!(ask("m0,4001".replace("4001", "10").as_str()).len(), 32);
    assert_eq!((ask("Z0,1001,1").as_str(), ask("m1000,4").as_str()), ("OK", "68657265"));
    assert_eq!((ask("M1000,2:4141").as_str(), ask("m1000,4").as_str()), ("OK", "41417265"));
    // Partly outside memory, and altogether.
    assert_eq!(ask("mffffe,4"), "0000");
    assert_eq!(ask("m200000,4").chars().next(), Some('E'));
    assert_eq!(ask("g").len(), 2 * super::super::registers::LEN);
    let mut registers = ask("g");
    registers.replace_range(..16, "1122334455667788");
    assert_eq!(ask(&format!("G{registers}")), "OK");
    assert_eq!(&ask("g")[..16], "1122334455667788");
    // A selector has a descriptor that gdb does not know.
    registers.replace_range(280..288, "10000000");
    assert_eq!(ask(&format!("G{registers}")).chars().next(), Some('E'));
    assert_eq!(ask("z0,1001,1"), "OK");
    assert_eq!((ask("Z1,5,1").as_str(), ask("Z2,8,18").as_str()), ("OK", "OK"));
    assert_eq!(ask("Z4,5,1").chars().next(), Some('E'));
    // Threads that are not there.
    ask("Hgp1.7");
    assert_eq!(ask("g").chars().next(), Some('E'));
}

#[test]
fn nothing_is_looked_at_while_the_guest_runs() {
    let (mut guest, _vm) = guest();
    let mut s = Session::new(&mut guest);
    assert_eq!(packet("c").bytes().map(|b| s.byte(&mut guest, b)).last(), Some(Said::Resume));
    guest.running = true;
    s.output();
    for body in ["g", "m1000,4", "M1000,1:41", "Z0,1000,1", "Z1,1000,1"] {
        assert_eq!(ask(&mut s, &mut guest, body).chars().next(), Some('E'), "{body}");
    }
    assert_eq!(packet("c").bytes().map(|b| s.byte(&mut guest, b)).last(), Some(Said::Nothing));
    assert_eq!(s.byte(&mut guest, 3), Said::Interrupt);
}

/// The meaning of vCont (gdb manual, "Packets"): who is not named stands still, unless the last action is for all.
#[test]
fn each_processor_does_what_vcont_says() {
    use super::super::guest::Action::{Continue, Hold, Step};
    let (mut guest, vm) = guest();
    let Some(vm) = vm else { return eprintln!("skipped: no KVM") };
    guest.vcpus.push(Arc::new(Lock::new(vm.vcpu(1).unwrap())));
    let mut guest = Guest::new(guest.vcpus, guest.memory, Arc::default());
    for (said, plan) in [
        ("vCont;c", [Continue, Continue]),
        ("vCont;c:p1.-1", [Continue, Continue]),
        ("vCont;s:p1.1;c", [Step, Continue]),
        ("vCont;s:p1.2;c:p1.-1", [Continue, Step]),
        ("vCont;s:p1.2", [Hold, Step]),
        ("vCont;c:p1.1", [Continue, Hold]),
        ("vCont;C06:p1.1;c", [Continue, Continue]),
        ("vCont;s:p1.9", [Hold, Hold]),
    ] {
        guest.running = false;
        let mut s = Session::new(&mut guest);
        assert_eq!(packet(said).bytes().map(|b| s.byte(&mut guest, b)).last(), Some(Said::Resume), "{said}");
        assert_eq!(guest.plan(), plan, "{said}");
    }
}

fn said() -> impl Strategy<Value = Vec<u8>> {
    let letters = "[qQvmMXgGHTzZcsDkpPR?!bi][A-Za-z]{0,6}[:,;]?[0-9a-fp.,:;#*}-]{0,24}";
    let known = prop::sample::select(vec![
        "vCont;s:p1.1;c",
        "vCont?",
        "qXfer:features:read:target.xml:",
        "qRcmd,",
        "Z0,1000,",
        "z2,",
        "X1000,",
        "vFile:open:",
        "qThreadExtraInfo,p1.",
        "qSupported:",
        "QStartNoAckMode",
        "qfThreadInfo",
        "qsThreadInfo",
        "Hg",
        "Hc",
        "m",
        "M",
        "?",
        "vAttach;",
        "vRun;",
        "QPassSignals:",
        "qSearch:memory:",
        "vKill;",
        "T",
        "qMemoryRegionInfo:",
        "jThreadsInfo",
        "x",
    ]);
    let body = prop_oneof![
        letters.prop_map(String::from),
        (known, "[0-9a-fp.,:;-]{0,20}").prop_map(|(a, b)| format!("{a}{b}")),
    ];
    prop_oneof![
        8 => body.prop_map(|b| packet(&b).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![3]),
        1 => Just(b"+".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]
    /// Whatever a client sends, it is answered in bounded space or hung up on.
    #[test]
    fn no_client_does_harm(said in prop::collection::vec(said(), 1..30)) {
        let (mut guest, _vm) = guest();
        let mut s = Session::new(&mut guest);
        'all: for bytes in said {
            for byte in bytes {
                let said = s.byte(&mut guest, byte);
                prop_assert!(s.output().len() <= 1 << 20);
                match said {
                    Said::Wrong(_) | Said::Kill | Said::Detach => break 'all,
                    Said::Interrupt => drop(s.interrupted(&mut guest, Reason::DoneStep)),
                    Said::Resume => guest.running = true,
                    Said::Nothing => {}
                }
            }
        }
    }
}
