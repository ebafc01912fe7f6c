//! What is wrong is said in one line, before a guest starts, with status 125.

mod support;

use support::*;

fn says(args: &[&str]) -> String {
    let o = kiln().arg("run").args(args).output().unwrap();
    let text = stderr(&o);
    assert_eq!(o.status.code(), Some(125), "{args:?}: {text}");
    assert!(o.stdout.is_empty(), "{args:?}: stdout is the guest's");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn files() {
    let dir = scratch();
    let path = |name: &str, bytes: &[u8]| file(&dir, name, bytes).display().to_string();
    let good = path("good.elf", &guest(&HALT));
    let (empty, noise) = (path("empty", b""), path("noise", &[0xa5; 8192]));
    let half = path("half.elf", &guest(&HALT)[..100]);
    let folder = dir.path().display().to_string();
    for (args, parts) in [
        (vec!["/nowhere/vmlinuz"], vec!["/nowhere/vmlinuz", "No such file"]),
        (vec![&empty], vec![empty.as_str(), "empty"]),
        (vec![&noise], vec![noise.as_str(), "not a kernel"]),
        (vec![&half], vec![half.as_str()]),
        (vec![&folder], vec![folder.as_str(), "directory"]),
        (vec![&good, "--initrd", "/nowhere/initrd"], vec!["/nowhere/initrd", "No such file"]),
        (vec![&good, "--disk", "/nowhere/disk"], vec!["--disk", "/nowhere/disk", "No such file"]),
        (vec![&good, "--disk", &folder], vec!["--disk", folder.as_str()]),
        (vec![&good, "--disk", "path=x,colour=red"], vec!["--disk", "colour", "readonly"]),
        (vec![&good, "--net", "tap=a-name-that-is-too-long"], vec!["--net", "a-name-that-is-too-long"]),
        (vec![&good, "--net", "tap=x,mac=12:34"], vec!["--net", "mac=12:34"]),
        (vec![&good, "--serial", "carrier-pigeon"], vec!["--serial", "carrier-pigeon", "stdio"]),
    ] {
        let text = says(&args);
        for part in parts {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
    }
}

#[test]
fn numbers() {
    let dir = scratch();
    let good = file(&dir, "good.elf", &guest(&HALT)).display().to_string();
    for (args, part) in [
        (["--memory", "0"], "--memory"),
        (["--memory", "lots"], "want a size"),
        (["--memory", "99999999999T"], "too large"),
        (["--memory", "3000T"], "--memory"),
        (["--memory", "size=3M,hugepages=2M"], "whole number of pages"),
        (["--memory", "size=4M,hugepages=3M"], "2M and 1G"),
        (["--cpus", "0"], "1 to 255"),
        (["--cpus", "256"], "1 to 255"),
        (["--cpus", "-1"], "--cpus"),
        (["--cpus", "sockets=70000,cores=70000"], "1 to 255"),
        (["--cpus", "threads=two"], "threads=two"),
        (["--timeout", "soon"], "want a time"),
        (["--debug-exit", "0x10000"], "--debug-exit"),
    ] {
        let text = says(&[good.as_str(), args[0], args[1]]);
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

#[test]
fn a_kernel_that_does_not_fit_says_how_much_memory_would_do() {
    let dir = scratch();
    // The note and the header stay; the segment asks for 64 MiB.
    let mut elf = guest(&HALT);
    elf[64 + 40..64 + 48].copy_from_slice(&(64u64 << 20).to_le_bytes());
    let big = file(&dir, "big.elf", &elf).display().to_string();
    let text = says(&[&big, "--memory", "16M"]);
    assert!(text.contains("--memory"), "{text}");
}

#[test]
fn huge_pages_that_are_not_there_are_missed_before_the_guest_is() {
    if !have_kvm("huge pages") {
        return;
    }
    let dir = scratch();
    let good = file(&dir, "good.elf", &guest(&HALT)).display().to_string();
    let text = says(&[&good, "--memory", "size=1T,hugepages=2M"]);
    assert!(text.contains("--memory") && text.contains("nr_hugepages"), "{text}");
}
