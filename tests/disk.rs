//! A guest that drives its disk for real (that of tests/bench/disk), on the host's own /dev/kvm: what happens when the host's disk is full.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use support::*;

/// A file system of a few pages, gone at the end. `None`, with a word about it, where it cannot be mounted.
struct Small(tempfile::TempDir);

impl Small {
    fn new(test: &str, size: &str) -> Option<Small> {
        let dir = scratch();
        let options = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "kiln-test"]).arg(dir.path()).output();
        if done.is_ok_and(|o| o.status.success()) {
            return Some(Small(dir));
        }
        println!("SKIPPED {test}: mounting a small file system takes root");
        None
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The guest, built once as tests/bench/disk does.
fn bench_guest() -> Option<&'static Path> {
    static GUEST: OnceLock<Option<PathBuf>> = OnceLock::new();
    GUEST.get_or_init(build_guest).as_deref()
}

fn build_guest() -> Option<PathBuf> {
    let guest = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk-guest.elf");
    let script = format!("-Clink-arg=-Wl,-T,{}/src/selftest/guest/linker.ld", env!("CARGO_MANIFEST_DIR"));
    let mut rustc = Command::new(option_env!("RUSTC").unwrap_or("rustc"));
    rustc.current_dir(env!("CARGO_MANIFEST_DIR")).args(["tests/bench/disk-guest.rs", "-o"]).arg(&guest).args([
        "--edition=2024",
        "--crate-type=bin",
        "--crate-name=guest",
        "--target=x86_64-unknown-linux-gnu",
        "-Cpanic=abort",
        "-Copt-level=s",
        "-Clto=fat",
        "-Ccodegen-units=1",
        "-Crelocation-model=static",
        "-Clink-arg=-nostartfiles",
        "-Clink-arg=-nostdlib",
        "-Clink-arg=-static",
        "-Clink-arg=-no-pie",
        "-Clink-arg=-Wl,--build-id=none",
        "-Clink-arg=-Wl,-z,norelro",
        "-Clink-arg=-Wl,-z,noexecstack",
        &script,
    ]);
    match rustc.output() {
        Err(e) => {
            println!("SKIPPED: run rustc: {e}");
            None
        }
        Ok(o) => {
            assert!(o.status.success(), "{}", stderr(&o));
            Some(guest)
        }
    }
}

/// Writes all of a disk of 4 MiB, in order, to a host that has room for three of them until a file of 2 MiB goes.
fn write_to_a_full_host(
    test: &str,
    options: &str,
    make_room: impl Fn(&str) -> bool,
) -> Option<(Option<i32>, String, String)> {
    if !have_kvm(test) {
        return None;
    }
    let (small, guest) = (Small::new(test, "5m")?, bench_guest()?);
    let (disk, ballast) = (small.path("disk.img"), small.path("ballast"));
    std::fs::File::create(&disk).unwrap().set_len(4 << 20).unwrap();
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    let mut child = kiln()
        .arg("run")
        .arg(guest)
        .args(["--memory", "128M", "--debug-exit", "0xf4", "--timeout", "120s", "--disk"])
        .arg(format!("{}{options}", disk.display()))
        .args(["--append", "bench=all:W:65536:8:irq:300"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if make_room(&line) {
            std::fs::remove_file(&ballast).unwrap();
        }
        said += &(line + "\n");
    }
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    Some((child.wait().unwrap().code(), out, said))
}

#[test]
fn a_full_host_stops_the_guest_until_there_is_room() {
    for io in ["auto", "uring", "sync"] {
        let options = format!(",on-enospc=stop,io={io}");
        let full = |line: &str| line.contains("the guest stands still until there is room");
        let Some((status, out, said)) = write_to_a_full_host("a full host", &options, full) else { return };
        // The guest ends with 0 at the debug-exit port when each of its requests was answered well.
        assert_eq!(status, Some(1), "{said}{out}");
        assert!(out.starts_with("all "), "{out}");
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.len() == 2 && full(lines[0]) && lines[1].ends_with("goes on"), "{said}");
    }
}

#[test]
fn a_full_host_is_an_error_to_the_guest_by_default() {
    let Some((status, out, said)) = write_to_a_full_host("an error", "", |_| false) else { return };
    assert_eq!(status, Some(3), "{said}{out}");
    assert!(out.contains("a request has status 1"), "{out}");
    assert!(said.contains("write the disk image: No space left") && said.contains("on-enospc=stop"), "{said}");
}
