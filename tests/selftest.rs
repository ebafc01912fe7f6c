//! `kiln selftest`: passes on this host's KVM over both transports, and fails when something is wrong.

mod support;

use std::process::Output;
use support::{have_kvm, kiln, stderr};

fn selftest(args: &[&str]) -> Output {
    kiln().arg("selftest").args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn failed(output: &Output) -> Vec<String> {
    stdout(output).lines().filter(|line| line.starts_with("not ok")).map(str::to_string).collect()
}

#[test]
fn passes_over_both_transports() {
    if !have_kvm("passes_over_both_transports") {
        return;
    }
    let output = selftest(&[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.first(), Some(&"TAP version 13"));
    let tests = lines.len() - 2;
    assert_eq!(lines.last(), Some(&format!("1..{tests}").as_str()));
    for (line, n) in lines[1..=tests].iter().zip(1..) {
        assert!(line.starts_with(&format!("ok {n} - ")), "{line}");
    }
    for (bus, groups) in [("pci", 11), ("mmio", 10)] {
        let prefix = format!("- {bus}: ");
        let names = lines.iter().filter_map(|line| line.split_once(&prefix)?.1.split_once(": "));
        let mut seen: Vec<&str> = names.map(|(group, _)| group).collect();
        seen.dedup();
        assert_eq!(seen.len(), groups, "{bus}: {seen:?}");
    }
}

#[test]
fn passes_with_one_and_with_four_processors() {
    if !have_kvm("passes_with_one_and_with_four_processors") {
        return;
    }
    for cpus in ["1", "4"] {
        let output = selftest(&["--cpus", cpus, "--tests", "timer,acpi,smp,apic", "--transport", "pci"]);
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).contains(&format!("# {cpus} processors")));
    }
}

#[test]
fn finds_what_was_broken_on_purpose() {
    if !have_kvm("finds_what_was_broken_on_purpose") {
        return;
    }
    for (fault, tests, found) in [
        ("given", "blk", "pci: blk: reads what the host wrote # byte 0x3039 of the disk is wrong"),
        ("written", "blk", "pci: the disk holds what the guest wrote # byte 0x30d431 of the disk is wrong"),
        ("answer", "console", "pci: console: input # pong 0"),
    ] {
        let output = selftest(&["--plant", fault, "--tests", tests, "--transport", "pci"]);
        assert_eq!(output.status.code(), Some(1), "{fault}: {}{}", stdout(&output), stderr(&output));
        let failed = failed(&output);
        assert!(failed.iter().any(|line| line.contains(found)), "{fault}: {failed:?}");
    }
}

#[test]
fn gives_up_on_a_guest_that_takes_too_long() {
    if !have_kvm("gives_up_on_a_guest_that_takes_too_long") {
        return;
    }
    let output = selftest(&["--timeout", "1ms", "--transport", "pci", "--tests", "blk"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let ending = failed(&output);
    assert!(ending.iter().any(|line| line.contains("the guest runs to its end")), "{ending:?}");
}

#[test]
fn refuses_what_it_cannot_do_in_one_line() {
    for (args, words) in [
        (["--tests", "bulk"], "there is no group `bulk`"),
        (["--memory", "1M"], "--memory: the guest needs 32M at least"),
        (["--cpus", "0"], "0 is not in 1..=255"),
        (["--transport", "isa"], "isa"),
        (["--timeout", "never"], "want a time"),
    ] {
        let output = selftest(&args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{args:?}: {text}");
        assert!(text.contains(words) && text.lines().count() == 1, "{args:?}: {text}");
    }
}
