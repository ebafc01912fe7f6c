//! Through a whole attempt: what counts is how a child's end becomes a verdict.

use super::Verdict::{self, Error, Failed, Passed};
use crate::ci::tests::{Rig, one};

#[test]
fn ends_and_expectations() {
    let crash = r#"echo "Kernel panic - not syncing: boom" >$klog; say 255 panic"#;
    let oops = r#"say 0 exited "" '{"kind":"oops","title":"BUG: unable to handle page fault"}'"#;
    let cases: &[(&str, &str, Verdict, &str)] = &[
        ("say 0 exited", "", Passed, ""),
        ("say 3 exited", "", Failed, "status 3"),
        ("say 3 exited", "expect.status=3", Passed, ""),
        ("say 0 exited", "expect.status=3", Failed, "status 0, not status 3"),
        (crash, "", Failed, "Kernel panic - not syncing: boom"),
        (crash, "expect.ends='panic'", Passed, ""),
        (crash, "expect={status=255,report='panic'}", Passed, ""),
        ("say 0 exited", "expect.ends='panic'", Failed, "status 0, not panic"),
        ("say 255 exited", "expect.ends='panic'", Failed, "status 255, not panic"),
        ("say 124 timeout", "timeout='90s'", Failed, "timed out after 90 s"),
        ("say 124 timeout", "expect.ends='timeout'", Passed, ""),
        ("say 254 fault", "", Failed, "triple fault or KVM error"),
        ("say 137 signalled", "", Failed, "killed by a signal (status 137)"),
        ("say 127 not-found foo", "", Failed, "command not found: foo"),
        ("say 1 lost", "", Failed, "the channel to the guest was lost"),
        ("say 1 lost", "expect.status=1", Failed, "the channel to the guest was lost, not status 1"),
        ("say 0 lost", "", Failed, "the channel to the guest was lost"),
        ("say 125 failed 'open /dev/kvm: no'", "", Error, "open /dev/kvm: no"),
        (oops, "", Failed, "oops: BUG: unable to handle page fault"),
        (&oops.replace("say 0", "say 255"), "", Failed, "oops: BUG: unable to handle page fault"),
        (oops, "expect.report='oops'", Passed, ""),
        (oops, "fail-on='panic'", Passed, ""),
        ("say 0 exited", "expect.report='kasan'", Failed, "the kernel log has no report of kind kasan"),
        ("echo hello; say 0 exited", "expect.output='^hel+o$'", Passed, ""),
        ("echo hello >&2; say 0 exited", "expect.output='hello'", Passed, ""),
        ("echo hello >$klog; say 0 exited", "expect.output='hello'", Failed, "`hello` is not in the output"),
        ("echo hello >$klog; say 0 exited", "expect.log='hello'", Passed, ""),
        ("echo hello; say 0 exited", "expect.log='hello'", Failed, "`hello` is not in the kernel log"),
    ];
    for (line, keys, verdict, reasons) in cases {
        assert_eq!(one(line, keys), (*verdict, reasons.to_string()), "{line} {keys}");
    }
}

#[test]
fn a_child_that_tells_nothing_or_nonsense_never_passes() {
    let cases = [
        ("exit 0", "kiln ended with status 0 and left no result"),
        (
            "echo kiln: open /x: gone >&2; exit 125",
            "kiln ended with status 125 and left no result: kiln: open /x: gone",
        ),
        ("kill -9 $$", "kiln was killed by signal 9 and left no result"),
        ("echo nonsense >$result; exit 0", "kiln ended with status 0, and left a result that is wrong: "),
        ("echo '{\"status\":0}' >$result; exit 0", "kiln ended with status 0, and left a result that is wrong: "),
        ("(say 0 exited); exit 1", "kiln ended with status 1, but told of status 0"),
        ("say 0 sleeping", "kiln ended with status 0, and left a result that is wrong: unknown variant"),
        (
            "head -c 20000000 /dev/zero >$result; exit 0",
            "kiln ended with status 0, and left a result that is wrong: larger",
        ),
    ];
    for (line, want) in cases {
        let (verdict, reasons) = one(line, "expect.status = 0");
        assert_eq!(verdict, Error, "{line}");
        assert!(reasons.starts_with(want), "{line}: {reasons}");
    }
}

#[test]
fn an_awaited_prompt_ends_the_guest_at_once() {
    let boot = |console: &str, keys: &str| {
        Rig::new(&format!("[tests.t]\nawait='login: $'\nargs=['--console','''{console}''']\n{keys}")).one()
    };
    assert_eq!(boot("printf 'x\\nhost login: '; sleep 1000", ""), (Passed, String::new()));
    assert_eq!(boot("trap '' TERM; printf 'host login: '; while :; do sleep 1; done", ""), (Passed, String::new()));
    let late = "`login: $` did not appear: timed out after 300 s".to_string();
    assert_eq!(boot("echo host; say 124 timeout", ""), (Failed, late));
    let oops = "echo '[    1.000000] BUG: kernel NULL pointer dereference, address: 0000000000000000'
        echo '[    1.000000] Oops: 0000 [#1] PREEMPT SMP'; echo '[    1.000000] ---[ end trace 0000000000000000 ]---'; echo 'login: '; sleep 1000";
    let (verdict, reasons) = boot(oops, "");
    assert!(verdict == Failed && reasons.starts_with("oops: BUG: kernel NULL pointer"), "{reasons}");
}

#[test]
fn a_boot_without_a_command_ends_by_itself() {
    let boot = |keys: &str| Rig::new(&format!("[tests.t]\nargs=['--console','echo hi; say 0 shutdown']\n{keys}")).one();
    assert_eq!(boot(""), (Passed, String::new()));
    assert_eq!(boot("expect={output='hi',log='hi'}"), (Passed, String::new()));
    assert_eq!(boot("expect.ends='reset'"), (Failed, "shutdown, not reset".to_string()));
}

#[test]
fn ktap_decides_too() {
    let log = |lines: &str| one(&format!("printf '{lines}' >$klog; say 0 exited"), "ktap='log'");
    let output = |lines: &str| one(&format!("printf '{lines}'; say 0 exited"), "ktap='output'");
    let good = r"KTAP version 1\n1..2\nok 1 a\nok 2 b\n";
    let bad = r"KTAP version 1\n1..2\nok 1 a\nnot ok 2 b\n";
    assert_eq!(one(&format!("printf '{bad}'; say 0 exited"), ""), (Passed, String::new()), "nobody asked");
    assert_eq!(output(good), (Passed, String::new()));
    assert_eq!(log(&good.replace(r"\n", r"\n[    0.100000] ")), (Passed, String::new()));
    assert_eq!(output(bad), (Failed, "1 of 2 KTAP tests failed: b".to_string()));
    let (verdict, reasons) = output(r"KTAP version 1\n1..2\nok 1 a\n");
    assert!(verdict == Failed && reasons.contains("KTAP: "), "{reasons}");
    assert_eq!(log(""), output(""));
    assert_eq!(output("").0, Failed);
}
