mod samples;

use super::*;
use crate::klog::Lines;
use proptest::prelude::*;
use samples::{SAMPLES, Sample};

/// A watcher, and what makes lines for it.
#[derive(Default)]
struct Fed {
    lines: Lines,
    watcher: Watcher,
}

impl Fed {
    fn feed(&mut self, bytes: &[u8]) {
        self.lines.feed(bytes, |line| self.watcher.line(&Line::parse(line)));
    }

    fn finish(mut self) -> Vec<Report> {
        self.lines.finish(|line| self.watcher.line(&Line::parse(line)));
        self.watcher.finish()
    }
}

fn watch(bytes: &[u8]) -> Vec<Report> {
    let mut watcher = Fed::default();
    watcher.feed(bytes);
    watcher.finish()
}

/// With printk's prefix, a second of the kernel's clock for each line.
fn stamped(text: &str, from: u32, caller: &str) -> String {
    text.lines().map(|line| format!("[{from:5}.000000]{caller} {line}\r\n")).collect()
}

/// An ordinary kernel's log around it.
fn in_log(sample: &Sample, caller: &str) -> String {
    let before = stamped("Linux version 6.12.0\nRun /init as init process", 1, caller);
    let after = stamped("e1000: link is up\nusb 1-1: new device", 5, caller);
    format!("{before}{}{after}", stamped(sample.text, 4, caller))
}

fn check(sample: &Sample, reports: &[Report]) {
    let [report] = reports else { panic!("{}: {reports:#?}", sample.title) };
    assert_eq!((report.kind, report.title.as_str()), (sample.kind, sample.title));
    assert_eq!(report.text, sample.text);
    assert_eq!(report.count, 1);
}

#[test]
fn every_kind_has_a_sample() {
    for kind in Kind::ALL {
        assert!(SAMPLES.iter().any(|s| s.kind == *kind), "{kind}");
    }
}

#[test]
fn samples_are_found_from_their_first_line_to_their_last() {
    for sample in SAMPLES {
        for caller in ["", "[    T1]"] {
            let reports = watch(in_log(sample, caller).as_bytes());
            // Only a call trace's end is seen by what follows it; a panic's by its end mark.
            check(sample, &reports);
            assert_eq!(reports[0].at, Some(Duration::from_secs(4)));
        }
        check(sample, &watch(sample.text.as_bytes()));
        let more = format!("{}\nnext line\nand one more\n", sample.text);
        check(sample, &watch(more.as_bytes()));
    }
}

#[test]
fn all_in_a_row_and_interleaved() {
    let row: String = SAMPLES.iter().map(|s| stamped(s.text, 4, "")).collect();
    let found: Vec<String> = watch(row.as_bytes()).into_iter().map(|r| r.title).collect();
    assert_eq!(found, SAMPLES.iter().map(|s| s.title).collect::<Vec<_>>());
    for pair in SAMPLES.windows(2) {
        let [a, b] = pair else { unreachable!() };
        let left: Vec<String> = stamped(a.text, 4, "[    T7]").lines().map(String::from).collect();
        let right: Vec<String> = stamped(b.text, 4, "[    C1]").lines().map(String::from).collect();
        let mut mixed = String::new();
        for i in 0..left.len().max(right.len()) {
            for line in [left.get(i), right.get(i)].into_iter().flatten() {
                mixed.push_str(&format!("{line}\n"));
            }
        }
        let reports = watch(mixed.as_bytes());
        assert_eq!(reports.len(), 2, "{reports:#?}");
        check(a, &reports[..1]);
        check(b, &reports[1..]);
    }
}

fn find(title: &str) -> &'static Sample {
    SAMPLES.iter().find(|s| s.title.starts_with(title)).unwrap()
}

#[test]
fn an_oops_and_its_panic_are_two() {
    let oops = find("BUG: kernel NULL");
    let panic = "Kernel panic - not syncing: Fatal exception\nKernel Offset: disabled\n\
                 ---[ end Kernel panic - not syncing: Fatal exception ]---";
    let reports = watch(format!("{}{}", stamped(oops.text, 4, ""), stamped(panic, 4, "")).as_bytes());
    assert_eq!(reports.len(), 2);
    check(oops, &reports[..1]);
    assert_eq!((reports[1].kind, reports[1].text.as_str()), (Kind::Panic, panic));
    // In the middle of the oops as well.
    let reports = watch(format!("{}\n{panic}", &oops.text[..300]).as_bytes());
    assert_eq!(reports.iter().map(|r| r.kind).collect::<Vec<_>>(), [Kind::Oops, Kind::Panic]);
    let out_of_memory = watch(b"Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled\n");
    assert_eq!(out_of_memory[0].kind, Kind::Panic);
}

#[test]
fn what_is_none() {
    for line in [
        "traps: prog[77] general protection fault ip:401136 sp:7ffd error:0 in prog[401000+1000]",
        "prog[77]: segfault at 0 ip 0000000000401136 sp 00007ffd error 6 in prog",
        "traps: prog[77] trap invalid opcode ip:401136 sp:7ffd error:0",
        "WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!",
        "INFO: lockdep is turned off.",
        "KASAN: null-ptr-deref in range [0x0000000000000000-0x0000000000000007]",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 15679)",
        "ODEBUG: Out of memory. ODEBUG disabled",
        "Memory cgroup out of memory: Killed process 77 (hog) total-vm:1000kB",
        "rcu: Hierarchical RCU implementation.",
        "---[ end Kernel panic - not syncing: x ]---",
        "------------[ cut here ]------------",
        "==================================================================",
        "systemd[1]: Listening on Process Core Dump Socket.",
        "DEBUG: x",
        "oops",
    ] {
        assert_eq!(watch(stamped(line, 1, "").as_bytes()), [], "{line}");
        assert_eq!(watch(line.as_bytes()), [], "{line}");
    }
    let group =
        "hog invoked oom-killer: gfp_mask=0xcc0\nMem-Info:\nMemory cgroup out of memory: Killed process 77 (hog)";
    assert_eq!(watch(stamped(group, 1, "").as_bytes()), []);
}

#[test]
fn programs_do_not_get_into_reports() {
    let sample = find("BUG: KASAN");
    let mixed: String =
        stamped(sample.text, 4, "").lines().map(|line| format!("{line}\nkernel BUG at home\n")).collect();
    check(sample, &watch(mixed.as_bytes()));
    // A prompt before it does not hide it.
    let panic = find("Kernel panic");
    check(panic, &watch(format!("~ # {}", stamped(panic.text, 4, "")).as_bytes()));
    check(panic, &watch(format!("~ # {}", panic.text).as_bytes()));
}

#[test]
fn answers_of_other_processors_belong_to_a_stall() {
    let own = stamped(
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\nrcu: \t1-...!: (1 ticks)\nSending NMI from CPU 0 to CPUs 1:",
        4,
        "[    C0]",
    );
    let other = stamped("NMI backtrace for cpu 1\nCPU: 1 PID: 7 Comm: x\nCall Trace:\n loop+0x1/0x2", 12, "[    T7]");
    let later = stamped("eth0: link is up\nBUG: something new", 12, "[    T7]");
    let reports = watch(format!("{own}{other}{later}").as_bytes());
    assert_eq!(reports.iter().map(|r| r.kind).collect::<Vec<_>>(), [Kind::RcuStall, Kind::Bug]);
    assert!(reports[0].text.ends_with(" loop+0x1/0x2"), "{}", reports[0].text);
}

#[test]
fn the_same_again_is_counted() {
    let sample = find("watchdog: BUG: soft");
    let mut log = String::new();
    for i in 0..1000 {
        let text = sample.text.replace("22s", &format!("{}s", 22 + i)).replace("CPU#0", &format!("CPU#{}", i % 4));
        log.push_str(&stamped(&text, 100 + i * 24, ""));
    }
    let reports = watch(log.as_bytes());
    assert_eq!((reports.len(), reports[0].count), (1, 1000));
    assert_eq!(reports[0].text, sample.text);
    // dmesg shows the same again.
    let once = stamped(sample.text, 9, "");
    check(sample, &watch(format!("{once}{once}").as_bytes()));
}

#[test]
fn a_warning_that_panics() {
    let log = "------------[ cut here ]------------\nstate != WANTED\nWARNING: fs/foo.c:295 at foo_free+0x34a/0x410, \
               CPU#1: sh/58\nRIP: 0010:foo_free+0x34a/0x410\nCall Trace:\n <TASK>\n evict+0x624/0xb50\n </TASK>\n\
               Kernel panic - not syncing: kernel: panic_on_warn set ...";
    let reports = watch(stamped(log, 1, "[ T58]").as_bytes());
    assert_eq!(reports.iter().map(|r| r.kind).collect::<Vec<_>>(), [Kind::Warning, Kind::Panic]);
    assert!(reports[0].text.starts_with("------------[ cut here ]------------\nstate != WANTED\n"));
    assert!(reports[0].text.ends_with(" </TASK>"));
}

#[test]
fn a_flood_does_not_hide_a_panic() {
    let mut watcher = Fed::default();
    for i in 0..5000 {
        watcher.feed(format!("BUG: number x{i}y\n {}\n", "z".repeat(3000)).as_bytes());
        watcher.feed(
            format!("[    1.000000][{:>6}] INFO: task t{i}x:1 blocked for more than 1 seconds.\n", format!("T{i}"))
                .as_bytes(),
        );
    }
    watcher.feed(b"[    2.000000] Kernel panic - not syncing: x\n");
    for _ in 0..50_000 {
        watcher.feed(b"[    2.000000]  more of it, and more of it, and more of it\n");
    }
    assert!(watcher.watcher.left_out() > 0 && watcher.watcher.open.len() <= OPEN_MAX);
    let reports = watcher.finish();
    let panic = reports.iter().find(|r| r.kind == Kind::Panic).unwrap();
    assert!(panic.text.len() < 33 << 10 && reports.len() <= KEPT_MAX * Kind::ALL.len());
}

#[test]
fn another_boot_ends_what_is_open() {
    let panic = stamped("Kernel panic - not syncing: x\nCPU: 0", 4, "");
    let boot = stamped("Linux version 6.12.0\nBUG: kernel NULL pointer dereference, address: 0", 0, "");
    let reports = watch(format!("{panic}{boot}").as_bytes());
    assert_eq!(reports.len(), 2);
    assert!(!reports[0].text.contains("Linux version"));
}

#[test]
fn nothing_comes_after_a_long_time() {
    let bug = stamped("BUG: sleeping function called from invalid context at a.c:1\nin_atomic(): 1", 4, "");
    let later = stamped("the weather is fine", 40, "");
    let reports = watch(format!("{bug}{later}").as_bytes());
    assert!(reports[0].text.ends_with("in_atomic(): 1"), "{}", reports[0].text);
}

/// Pieces of logs, in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<&'static str> = SAMPLES.iter().flat_map(|s| s.text.lines()).collect();
    let prefix = prop_oneof![
        Just(""),
        Just("[    1.000000] "),
        Just("[    1.000000][    T1] "),
        Just("[   99.000000][    C0] ")
    ];
    let line = (prefix, proptest::sample::select(lines), prop_oneof![Just("\n"), Just("\r\n"), Just("")]);
    let line = line.prop_map(|(a, b, c)| format!("{a}{b}{c}").into_bytes());
    proptest::collection::vec(prop_oneof![4 => line, 1 => proptest::collection::vec(any::<u8>(), 0..40)], 0..60)
        .prop_map(|v| v.concat())
}

proptest! {
    #[test]
    fn chunks_do_not_matter(log in soup(), size in 1usize..50) {
        let mut watcher = Fed::default();
        log.chunks(size).for_each(|chunk| watcher.feed(chunk));
        let reports = watcher.finish();
        prop_assert_eq!(&reports, &watch(&log));
        prop_assert!(reports.iter().all(|r| !r.title.is_empty() && !r.title.contains('\n') && r.title.len() <= 256));
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        watch(&bytes);
    }
}
