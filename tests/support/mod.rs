//! What the integration tests share: running the real binary, and guests of a few instructions.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub fn kiln() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.stdin(Stdio::null()).env_remove("KILN_LOG");
    command
}

/// Runs `kiln run GUEST --memory 16M ARGS`.
pub fn run(guest: &Path, args: &[&str]) -> Output {
    kiln().arg("run").arg(guest).args(["--memory", "16M", "--timeout", "60s"]).args(args).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// False, with a line that says so, where there is no /dev/kvm to test on.
pub fn have_kvm(test: &str) -> bool {
    let there = std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if !there {
        println!("SKIPPED {test}: /dev/kvm cannot be opened");
    }
    there
}

/// A folder of the test's own, gone at its end.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub fn file(dir: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

pub const BASE: u64 = 0x10_0000;

/// A PVH guest: 32-bit protected mode, flat segments, paging off, at [`BASE`].
pub fn guest(code: &[u8]) -> Vec<u8> {
    let (note_at, code_at) = (64 + 2 * 56, 64 + 2 * 56 + 24);
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    [BASE, 64, 0].iter().for_each(|v| elf.extend(v.to_le_bytes()));
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    let mut segment = |kind: u32, offset: u64, address: u64, len: u64| {
        elf.extend(kind.to_le_bytes());
        elf.extend(7u32.to_le_bytes());
        [offset, address, address, len, len, 4].iter().for_each(|v| elf.extend(v.to_le_bytes()));
    };
    segment(1, code_at, BASE, code.len() as u64);
    segment(4, note_at, 0, 24);
    // XEN_ELFNOTE_PHYS32_ENTRY
    [4u32, 8, 18].iter().for_each(|v| elf.extend(v.to_le_bytes()));
    elf.extend(b"Xen\0");
    elf.extend(BASE.to_le_bytes());
    elf.extend(code);
    elf
}

/// Instructions that print `text` on ttyS0.
pub fn print(text: &str) -> Vec<u8> {
    let mut code = vec![0x66, 0xba, 0xf8, 0x03]; // mov dx, 0x3f8
    text.bytes().for_each(|b| code.extend([0xb0, b, 0xee])); // mov al, b; out dx, al
    code
}

/// mov dx, port; mov al, value; out dx, al
pub fn out(port: u16, value: u8) -> Vec<u8> {
    let [low, high] = port.to_le_bytes();
    vec![0x66, 0xba, low, high, 0xb0, value, 0xee]
}

/// mov dx, port; mov ax, value; out dx, ax
pub fn out16(port: u16, value: u16) -> Vec<u8> {
    let ([a, b], [c, d]) = (port.to_le_bytes(), value.to_le_bytes());
    vec![0x66, 0xba, a, b, 0x66, 0xb8, c, d, 0x66, 0xef]
}

/// hlt, for ever
pub const HALT: [u8; 3] = [0xf4, 0xeb, 0xfd];
