//! `--gdb`: what a debugger sees of guests of a few instructions, on the host's own /dev/kvm.

mod support;
#[path = "support/gdb.rs"]
mod wire;

use std::io::{Read, Write};
use std::path::PathBuf;
use support::*;
use wire::*;

const RCX: usize = 2;
const S5: u16 = 5 << 10 | 1 << 13;

/// inc ecx; inc edx; mov [0x300000], ecx; jmp to the start.
const LOOP: [u8; 10] = [0x41, 0x42, 0x89, 0x0d, 0, 0, 0x30, 0, 0xeb, 0xf6];

fn made(test: &str, code: &[u8]) -> Option<(tempfile::TempDir, PathBuf)> {
    if !have_kvm(test) {
        return None;
    }
    let dir = scratch();
    let path = file(&dir, "guest.elf", &guest(code));
    Some((dir, path))
}

/// Here KVM interprets ring 0, and does not look at watchpoints there.
fn interpreted() -> bool {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    !info.split_whitespace().any(|flag| matches!(flag, "vmx" | "svm"))
}

#[test]
fn the_guest_waits_for_the_debugger_and_stops_where_it_says() {
    let Some((_dir, guest)) = made("gdb", &LOOP) else { return };
    let d = Debuggee::start(&guest, "tcp:0", &["--cpus", "2", "--serial", "none"]);
    assert!(d.place.starts_with(':'), "only this machine may connect: {}", d.place);
    let mut c = d.attach();
    assert_eq!(c.ask("?"), "T05thread:p01.01;");
    assert_eq!(c.ask("qfThreadInfo"), "mp01.01,p01.02");
    assert_eq!(unhex(&c.ask("qThreadExtraInfo,p1.2")), b"vcpu1 not started");
    assert_eq!((c.rip(1), c.register(1, RCX)), (BASE, 0));
    assert_eq!(c.memory(BASE, LOOP.len()), LOOP);

    // Software, invisible.
    assert_eq!(c.ask(&format!("Z0,{:x},1", BASE + 1)), "OK");
    assert_eq!(c.memory(BASE, LOOP.len()), LOOP);
    assert_eq!(c.ask("vCont;c"), "T05thread:p01.01;swbreak:;");
    assert_eq!((c.rip(1), c.register(1, RCX)), (BASE + 1, 1));
    assert_eq!(c.ask(&format!("z0,{:x},1", BASE + 1)), "OK");

    assert_eq!(c.ask("vCont;s:p1.1"), "T05thread:p01.01;");
    assert_eq!(c.rip(1), BASE + 2);

    // Hardware.
    assert_eq!(c.ask(&format!("Z1,{:x},1", BASE + 8)), "OK");
    assert_eq!(c.ask("vCont;c"), "T05thread:p01.01;hwbreak:;");
    assert_eq!((c.rip(1), c.memory(0x30_0000, 4)), (BASE + 8, vec![1, 0, 0, 0]));
    assert_eq!(c.ask(&format!("z1,{:x},1", BASE + 8)), "OK");

    // Memory and registers are written.
    assert_eq!(c.ask("M300000,4:00000000"), "OK");
    assert_eq!(c.memory(0x30_0000, 4), [0; 4]);

    // Running, until Ctrl-C.
    c.send("vCont;c");
    assert_eq!(c.interrupt(), "T02thread:p01.01;");
    assert!((BASE..BASE + 10).contains(&c.rip(1)));

    assert!(c.monitor("info registers").contains("vcpu1 at f000:fff0, real mode"));
    assert!(c.monitor("phys 0x100000 10").contains("41 42 89 0d 00 00 30 00 eb f6"));

    // A debugger that leaves lets the guest run, and another one may come.
    assert_eq!(c.ask("D;1"), "OK");
    // The guest needs the time of a round of its loop; on a quiet machine we would be back before.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mut c = d.attach();
    assert!(c.register(1, RCX) > 1);
    assert_eq!(c.ask("vKill;1"), "OK");
    let (status, err, _) = d.end();
    assert_eq!((status, err.as_str()), (Some(130), ""));
}

#[test]
fn a_watchpoint_tells_who_writes() {
    let Some((_dir, guest)) = made("watchpoint", &LOOP) else { return };
    if interpreted() {
        return println!("SKIPPED watchpoint: this host's KVM (PVM) interprets ring 0 without looking at them");
    }
    let d = Debuggee::start(&guest, "tcp:0", &["--serial", "none"]);
    let mut c = d.attach();
    assert_eq!(c.ask("Z2,300000,4"), "OK");
    assert_eq!(c.ask("vCont;c"), "T05thread:p01.01;watch:300000;");
    assert_eq!((c.rip(1), c.memory(0x30_0000, 4)), (BASE + 8, vec![1, 0, 0, 0]));
    c.send("k");
    assert_eq!(d.end().0, Some(130));
}

/// Starts the second processor: its code is put at 0x8000, then INIT and start-up interrupts (SDM 3A, 9.4.4.1).
fn two_processors() -> Vec<u8> {
    // inc bx; jmp
    let mut code = vec![0xc7, 0x05, 0x00, 0x80, 0, 0, 0x43, 0xeb, 0xfd, 0x90];
    let mut set = |at: u32, value: u32| {
        code.extend([0xc7, 0x05]);
        code.extend(at.to_le_bytes());
        code.extend(value.to_le_bytes());
    };
    // The spurious-interrupt register first: it switches the local APIC on.
    set(0xfee0_00f0, 0x1ff);
    set(0xfee0_0310, 1 << 24);
    set(0xfee0_0300, 0x4500);
    set(0xfee0_0300, 0x4608);
    set(0xfee0_0300, 0x4608);
    code.extend(LOOP);
    code
}

#[test]
fn one_processor_stops_all_and_one_may_step_alone() {
    const RBX: usize = 1;
    let code = two_processors();
    let Some((_dir, guest)) = made("two processors", &code) else { return };
    let d = Debuggee::start(&guest, "tcp:0,nowait", &["--cpus", "2", "--serial", "none"]);
    let mut c = d.attach();
    // Time to run, before it is called back: a second of it on a slow host is no more than an instruction elsewhere.
    let run = |c: &mut Client, which: &str| {
        c.send(which);
        std::thread::sleep(std::time::Duration::from_millis(50));
        c.interrupt();
    };
    // Until the second one has started.
    while c.register(2, RBX) == 0 {
        run(&mut c, "vCont;c");
    }
    assert_eq!(unhex(&c.ask("qThreadExtraInfo,p1.2")), b"vcpu1 stopped");
    let others = c.register(2, RBX);
    for _ in 0..4 {
        assert_eq!(c.ask("vCont;s:p1.1"), "T05thread:p01.01;");
    }
    assert_eq!(c.register(2, RBX), others, "it ran although only the first was to step");
    // The other way round.
    let mine = c.register(1, RCX);
    assert_eq!(c.ask("vCont;s:p1.2"), "T05thread:p01.02;");
    assert_eq!(c.ask("vCont;s:p1.2"), "T05thread:p01.02;");
    assert_eq!((c.register(1, RCX), c.register(2, RBX) != others), (mine, true));
    // One runs, the other does not.
    let others = c.register(2, RBX);
    while c.register(1, RCX) == mine {
        run(&mut c, "vCont;c:p1.1");
    }
    assert_eq!(c.register(2, RBX), others);
    c.send("k");
    assert_eq!(d.end().0, Some(130));
}

#[test]
fn breakpoints_survive_a_reset() {
    // The guest counts its lives in the CMOS: index 0x40; the third powers off.
    let mut code = out(0x70, 0x40);
    code.extend([0xe4, 0x71, 0xfe, 0xc0, 0xe6, 0x71, 0x3c, 0x03, 0x73]);
    let reset = [out(0xcf9, 6), HALT.to_vec()].concat();
    code.push(reset.len() as u8);
    code.extend(reset);
    code.extend(out16(0x604, S5));
    code.extend(HALT);
    let Some((_dir, guest)) = made("breakpoints after a reset", &code) else { return };
    let d = Debuggee::start(&guest, "tcp:0", &["--reboot", "restart"]);
    let mut c = d.attach();
    assert_eq!(c.ask(&format!("Z0,{:x},1", BASE + 7)), "OK");
    assert_eq!(c.ask(&format!("Z1,{:x},1", BASE + 9)), "OK");
    for _ in 0..3 {
        assert_eq!(c.ask("vCont;c"), "T05thread:p01.01;swbreak:;");
        assert_eq!((c.rip(1), c.memory(BASE, code.len())), (BASE + 7, code.clone()));
        // Over it, as gdb does.
        c.ask(&format!("z0,{:x},1", BASE + 7));
        assert_eq!(c.ask("vCont;s:p1.1"), "T05thread:p01.01;");
        c.ask(&format!("Z0,{:x},1", BASE + 7));
        if c.rip(1) != BASE + 9 {
            assert_eq!(c.ask("vCont;c"), "T05thread:p01.01;hwbreak:;");
        }
        c.ask(&format!("z1,{:x},1", BASE + 9));
        assert_eq!(c.ask("vCont;s:p1.1"), "T05thread:p01.01;");
        c.ask(&format!("Z1,{:x},1", BASE + 9));
    }
    assert_eq!(c.ask("vCont;c"), "W00");
    assert_eq!(d.end().0, Some(0));
}

#[test]
fn a_reset_asked_for_by_the_debugger_starts_anew() {
    let Some((_dir, guest)) = made("monitor reset", &LOOP) else { return };
    let d = Debuggee::start(&guest, "tcp:0", &["--serial", "none"]);
    let mut c = d.attach();
    c.send("vCont;c");
    c.interrupt();
    assert_eq!(c.ask("M300004,4:01020304"), "OK");
    c.monitor("reset");
    assert_eq!((c.rip(1), c.register(1, RCX), c.memory(0x30_0004, 4)), (BASE, 0, vec![0; 4]));
    assert_eq!(c.monitor("quit"), "");
    assert_eq!(d.end().0, Some(130));
}

#[test]
fn a_dying_guest_is_looked_at_first() {
    let triple_fault = vec![0x0f, 0x01, 0x1d, 0x00, 0x00, 0x80, 0x00, 0x0f, 0x0b];
    for (code, stop, says, status) in [
        ([out(0x505, 1), HALT.to_vec()].concat(), "T06", "the guest panicked", 255),
        (triple_fault, "T0b", "triple fault", 254),
    ] {
        let Some((dir, guest)) = made(says, &code) else { return };
        let core = dir.path().join("core");
        let args = ["--serial", "none", "--dump-on-panic", core.to_str().unwrap()];
        let d = Debuggee::start(&guest, "tcp:0", &args);
        let mut c = d.attach();
        let reply = c.ask("vCont;c");
        assert!(reply.starts_with(&format!("{stop}thread:p01.01;")), "{reply}");
        assert!(c.console.contains(says), "{}", c.console);
        assert_eq!((c.memory(BASE, code.len()), core.exists()), (code, false));
        let last = c.ask("vCont;C06:p1.1;c");
        assert!(last.starts_with('X'), "{last}");
        let (code, err, _) = d.end();
        assert_eq!((code, core.exists()), (Some(status), true), "{err}");
    }
}

#[test]
fn without_waiting_the_guest_runs_at_once() {
    let Some((dir, guest)) = made("nowait", &[print("hello"), out16(0x604, S5)].concat()) else { return };
    let place = dir.path().join("gdb");
    let d = Debuggee::start(&guest, &format!("unix:{},nowait", place.display()), &[]);
    assert_eq!(d.place, place.display().to_string());
    let (status, _, out) = d.end();
    assert_eq!((status, out.as_str(), place.exists()), (Some(0), "hello", false));
}

/// A stopped guest's time does not pass.
#[test]
fn a_timeout_counts_only_while_the_guest_runs() {
    let Some((_dir, guest)) = made("timeout", &LOOP) else { return };
    let d = Debuggee::start(&guest, "tcp:0", &["--serial", "none", "--timeout", "200ms"]);
    let mut c = d.attach();
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(c.rip(1), BASE);
    let last = c.ask("vCont;c");
    assert!(last.starts_with("X09"), "{last}");
    let (status, err, _) = d.end();
    assert_eq!((status, err.as_str()), (Some(124), "kiln: --timeout ran out\n"));
}

#[test]
fn strangers_change_nothing() {
    let Some((_dir, guest)) = made("strangers", &LOOP) else { return };
    let d = Debuggee::start(&guest, "tcp:0", &["--serial", "none"]);
    // Said by whom, and whether kiln hangs up on its own.
    let strangers: [(&[u8], bool); 7] = [
        (b"", false),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n+$vCont;c#a8", true),
        (b"+$m0,ffffffffffffffff#00", true),
        (b"+$g#00", true),
        (b"+$g", false),
        (b"+$qSupported#37", false),
        (&[b'$'; 100_000], true),
    ];
    for (said, hangs_up) in strangers {
        let mut socket = d.connect();
        // It may hang up before it has heard all.
        let _ = socket.write_all(said);
        if hangs_up {
            let _ = socket.read_to_end(&mut Vec::new());
        }
    }
    let mut c = d.attach();
    assert_eq!((c.rip(1), c.register(1, RCX)), (BASE, 0), "the guest ran without a debugger");
    // Gone without a word, with a breakpoint set, while the guest runs.
    assert_eq!(c.ask("Z1,300,1"), "OK");
    c.send("vCont;c");
    drop(c);
    let mut c = d.attach();
    // Answers that nobody reads.
    for _ in 0..2000 {
        c.send("m100000,1000");
    }
    drop(c);
    let mut c = d.attach();
    assert!(c.register(1, RCX) > 0);
    c.send("k");
    let (status, ..) = d.end();
    assert_eq!(status, Some(130));
}

/// A stock kernel that has nothing to do, for a nested host: KILN_TEST_KERNEL, and KILN_TEST_INITRD whose init does what
/// `kiln.run=` says.
#[test]
#[ignore = "needs a KVM that runs Linux, a kernel and an initrd"]
fn a_stock_kernel_is_debugged() {
    const RSP: usize = 7;
    let given = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (kernel, initrd) = (PathBuf::from(given("KILN_TEST_KERNEL")), given("KILN_TEST_INITRD"));
    let append = "quiet kiln.run=\"echo up; sleep 3600\"";
    let mut d = Debuggee::start(&kernel, "tcp:0", &["--memory", "256M", "--initrd", &initrd, "--append", append]);
    let mut c = d.attach();
    // Where nothing is mapped yet a debug register stands in.
    assert_eq!(c.ask("Z0,ffffffff81000000,1"), "OK");
    assert_eq!(c.ask("z0,ffffffff81000000,1"), "OK");
    c.send("vCont;c");
    let mut console = std::io::BufReader::new(d.child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("up") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut console, &mut line).unwrap() > 0, "the guest ended");
    }
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(c.interrupt().starts_with("T02"));
    println!("stopped at {:#x}", c.rip(1));
    // Somewhere in what is done each time there is nothing to do.
    for _ in 0..12 {
        assert_eq!(c.ask("vCont;s:p1.1"), "T05thread:p01.01;");
    }
    let at = c.rip(1);
    println!("stepped to {at:#x}");
    assert!(at >= 0xffff_ffff_8000_0000);
    let plain = c.memory(at, 16);
    assert_eq!(plain.len(), 16);
    assert_eq!(c.ask("vCont;s:p1.1"), "T05thread:p01.01;");
    assert_eq!(c.ask(&format!("Z0,{at:x},1")), "OK");
    assert_eq!(c.memory(at, 16), plain);
    assert_eq!(c.ask("vCont;c"), "T05thread:p01.01;swbreak:;");
    assert_eq!((c.rip(1), c.memory(at, 16)), (at, plain.clone()));
    assert_eq!(c.ask(&format!("z0,{at:x},1")), "OK");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        assert_eq!(c.ask("vCont;s:p1.1"), "T05thread:p01.01;");
        seen.insert(c.rip(1));
    }
    println!("50 steps through {} addresses, {:#x} to {:#x}", seen.len(), seen.first().unwrap(), seen.last().unwrap());
    assert!(seen.len() > 5 && *seen.first().unwrap() >= 0xffff_ffff_8000_0000);
    assert_eq!(c.ask(&format!("Z1,{at:x},1")), "OK");
    assert_eq!(c.ask("vCont;c"), "T05thread:p01.01;hwbreak:;");
    assert_eq!(c.rip(1), at);
    assert_eq!(c.ask(&format!("z1,{at:x},1")), "OK");
    let stack = c.register(1, RSP) - 8;
    assert_eq!(c.ask(&format!("Z2,{stack:x},8")), "OK");
    assert_eq!(c.ask("vCont;c"), format!("T05thread:p01.01;watch:{stack:x};"));
    println!("{stack:#x} was written before {:#x}", c.rip(1));
    assert_eq!(c.ask(&format!("z2,{stack:x},8")), "OK");
    assert!(c.monitor("info registers").contains("64-bit mode, ring 0"));
    assert_eq!(c.ask("D;1"), "OK");
    let mut c = d.attach();
    c.send("k");
    assert_eq!(d.child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_place_that_cannot_be_listened_at_is_told() {
    let Some((_dir, guest)) = made("wrong places", &LOOP) else { return };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--gdb=tcp:{}", taken.local_addr().unwrap().port());
    for (flag, why) in [
        (taken.as_str(), "Address already in use"),
        ("--gdb=tcp:x", "`tcp:x`: want tcp:PORT"),
        ("--gdb=unix:/nowhere/gdb", "listen on /nowhere/gdb: "),
    ] {
        let o = run(&guest, &[flag]);
        let text = stderr(&o);
        assert_eq!(o.status.code(), Some(125));
        assert!(text.starts_with("kiln: --gdb: ") && text.contains(why) && text.lines().count() == 1, "{text}");
    }
}
