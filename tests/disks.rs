//! Disk images under `kiln run`: what a guest wrote is there, what it should not write to stays as it was, and neither being killed nor another
//! program harms an image. QEMU's tools are the judge.

mod support;
#[path = "support/writer.rs"]
mod writer;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::*;
use writer::{SERVED, WRITES, Writer};

/// False, with a line that says so, where a test's needs are not met.
fn ready(test: &str) -> bool {
    let tools = ["qemu-img", "qemu-io"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok());
    if !tools {
        println!("SKIPPED {test}: qemu-img and qemu-io (qemu-utils) are not installed");
    }
    tools && have_kvm(test)
}

fn qemu_img(dir: &tempfile::TempDir, args: &[&str]) -> String {
    let output = Command::new("qemu-img").args(args).current_dir(dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    assert!(output.status.success(), "qemu-img {args:?}: {text}");
    text
}

/// What `qemu-img check` finds wrong, leaks aside: a cluster that was taken and not yet used harms nobody.
fn damage(image: &Path) -> Option<String> {
    let output = Command::new("qemu-img").arg("check").arg(image).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    (!matches!(output.status.code(), Some(0 | 3))).then_some(text)
}

/// `kiln run` of a guest that writes.
fn writing(dir: &tempfile::TempDir, writer: &Writer, disk: &str) -> Command {
    let guest = file(dir, "guest.elf", &writer.guest());
    let mut command = kiln();
    command.current_dir(dir.path()).arg("run").arg(guest);
    command.args(["--memory", "16M", "--transport", "mmio", "--timeout", "120s", "--disk", disk]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, which is a power-off after every batch was served.
fn written(dir: &tempfile::TempDir, writer: &Writer, disk: &str) {
    let output = writing(dir, writer, disk).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(output.stdout, vec![SERVED; writer.batches as usize], "{}", stderr(&output));
}

/// Reads the guest's console until `batches` were served.
fn served(child: &mut Child, batches: usize) {
    let mut seen = vec![0; batches];
    let mut out = BufReader::with_capacity(1, child.stdout.as_mut().unwrap());
    if out.read_exact(&mut seen).is_err() || seen.iter().any(|byte| *byte != SERVED) {
        let mut text = String::new();
        child.kill().unwrap();
        child.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
        panic!("the guest did not go on: {}{text}", String::from_utf8_lossy(&seen));
    }
}

/// The bytes of the image as a guest sees them.
fn content(dir: &tempfile::TempDir, image: &str) -> Vec<u8> {
    qemu_img(dir, &["convert", "-O", "raw", image, "content"]);
    fs::read(dir.path().join("content")).unwrap()
}

const MIB: usize = 1 << 20;

/// An image of 16 MiB in which something stands everywhere.
fn base(dir: &tempfile::TempDir, name: &str) -> Vec<u8> {
    let bytes: Vec<u8> = (0..16 * MIB).map(|at| (at >> 9) as u8).collect();
    file(dir, "raw", &bytes);
    qemu_img(dir, &["convert", "-f", "raw", "-O", "qcow2", "raw", name]);
    bytes
}

const SMALL: Writer = Writer { sectors: 16 * 2048, seed: 1, batches: 20 };

#[test]
fn what_the_guest_wrote_is_in_the_image_and_nothing_else() {
    if !ready("what_the_guest_wrote_is_in_the_image") {
        return;
    }
    let dir = scratch();
    let mut expected = base(&dir, "disk.qcow2");
    SMALL.replay(&mut expected);
    for disk in ["disk.qcow2", "raw,format=raw"] {
        written(&dir, &SMALL, disk);
    }
    assert!(content(&dir, "disk.qcow2") == expected, "qcow2");
    assert!(fs::read(dir.path().join("raw")).unwrap() == expected, "raw");
    assert_eq!(damage(&dir.path().join("disk.qcow2")), None);
}

#[test]
fn a_throwaway_leaves_the_image_as_it_was() {
    if !ready("a_throwaway_leaves_the_image_as_it_was") {
        return;
    }
    let dir = scratch();
    base(&dir, "disk.qcow2");
    for name in ["disk.qcow2", "raw"] {
        let before = fs::read(dir.path().join(name)).unwrap();
        written(&dir, &SMALL, &format!("{name},throwaway"));
        assert!(fs::read(dir.path().join(name)).unwrap() == before, "{name} has changed");
    }
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["disk.qcow2", "guest.elf", "raw"]);
}

#[test]
fn a_kept_overlay_holds_exactly_what_was_written() {
    if !ready("a_kept_overlay_holds_exactly_what_was_written") {
        return;
    }
    let dir = scratch();
    let mut expected = base(&dir, "disk.qcow2");
    let before = fs::read(dir.path().join("disk.qcow2")).unwrap();
    written(&dir, &SMALL, "disk.qcow2,keep-as=kept.qcow2");
    assert!(fs::read(dir.path().join("disk.qcow2")).unwrap() == before, "the base has changed");
    SMALL.replay(&mut expected);
    assert!(content(&dir, "kept.qcow2") == expected, "the overlay holds something else");
    assert_eq!(damage(&dir.path().join("kept.qcow2")), None);
    // Every cluster that the overlay has is one in which the guest wrote.
    let map = qemu_img(&dir, &["map", "--output=json", "kept.qcow2"]);
    let own = map.lines().filter(|line| line.contains("\"depth\": 0")).count();
    assert!((1..=WRITES * SMALL.batches as usize).contains(&own), "{map}");
}

/// Each image goes through ten kills, since a new one has most to allocate.
#[test]
fn no_kill_in_the_middle_of_writes_damages_an_image() {
    if !ready("no_kill_in_the_middle_of_writes_damages_an_image") {
        return;
    }
    let dir = scratch();
    base(&dir, "base.qcow2");
    let before = fs::read(dir.path().join("base.qcow2")).unwrap();
    for kill in 0..200u32 {
        let (sectors, overlay) = if kill / 10 % 2 == 0 { (1 << 25, false) } else { (16 * 2048, true) };
        if kill % 10 == 0 {
            let _ = fs::remove_file(dir.path().join("disk.qcow2"));
            let made: &[&str] =
                if overlay { &["-b", "base.qcow2", "-F", "qcow2", "disk.qcow2"] } else { &["disk.qcow2", "16G"] };
            qemu_img(&dir, &[&["create", "-f", "qcow2"], made].concat());
        }
        let writer = Writer { sectors, seed: kill, batches: 0 };
        let mut child = writing(&dir, &writer, "disk.qcow2").spawn().unwrap();
        served(&mut child, 1 + kill as usize % 7);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(damage(&dir.path().join("disk.qcow2")), None, "after kill {kill}");
    }
    assert!(fs::read(dir.path().join("base.qcow2")).unwrap() == before, "the base has changed");
}

/// `qemu-io` with the image open, until it is dropped.
struct Holder(Child);

impl Holder {
    fn new(dir: &tempfile::TempDir, args: &[&str]) -> Holder {
        let mut command = Command::new("qemu-io");
        let mut child =
            command.args(args).current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Its answer shows that the image is open.
        child.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"MiB\n") && child.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 {
            seen.push(byte[0]);
        }
        assert!(seen.ends_with(b"MiB\n"), "qemu-io {args:?}: {}", String::from_utf8_lossy(&seen));
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_qemu_writes_to_kiln_does_not_open() {
    if !ready("what_qemu_writes_to_kiln_does_not_open") {
        return;
    }
    let dir = scratch();
    base(&dir, "base.qcow2");
    qemu_img(&dir, &["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    for (held, disk) in [
        (&["-f", "raw", "raw"][..], "raw,format=raw"),
        (&["-f", "raw", "raw"], "raw,format=raw,readonly"),
        (&["base.qcow2"], "base.qcow2"),
        (&["base.qcow2"], "base.qcow2,throwaway"),
        (&["base.qcow2"], "top.qcow2"),
        // Readers do not suffer a writer.
        (&["-r", "base.qcow2"], "base.qcow2"),
    ] {
        let _holder = Holder::new(&dir, held);
        let output = writing(&dir, &SMALL, disk).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{disk} beside {held:?}: {text}");
        assert!(text.contains(held.last().unwrap()) && text.lines().count() == 1, "{disk} beside {held:?}: {text}");
    }
    // Readers suffer readers.
    let _holder = Holder::new(&dir, &["-r", "base.qcow2"]);
    written(&dir, &SMALL, "base.qcow2,throwaway");
}

#[test]
fn what_kiln_writes_to_qemu_does_not_open() {
    if !ready("what_kiln_writes_to_qemu_does_not_open") {
        return;
    }
    let dir = scratch();
    base(&dir, "base.qcow2");
    qemu_img(&dir, &["create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "top.qcow2"]);
    let endless = Writer { batches: 0, ..SMALL };
    for (disk, others, opens) in [
        ("raw,format=raw", &["-f", "raw", "raw"][..], false),
        ("base.qcow2", &["base.qcow2"], false),
        ("base.qcow2", &["-r", "base.qcow2"], false),
        ("top.qcow2", &["base.qcow2"], false),
        ("top.qcow2", &["-r", "base.qcow2"], true),
        ("base.qcow2,throwaway", &["base.qcow2"], false),
        ("base.qcow2,throwaway", &["-r", "base.qcow2"], true),
    ] {
        let mut child = writing(&dir, &endless, disk).spawn().unwrap();
        served(&mut child, 1);
        let output =
            Command::new("qemu-io").args(others).args(["-c", "length"]).current_dir(dir.path()).output().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.success(), opens, "{others:?} beside {disk}: {text}");
        assert!(opens || text.contains("lock"), "{others:?} beside {disk}: {text}");
    }
}
