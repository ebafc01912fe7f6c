//! Disks for tests, made by the real tools.

use super::disk::{Disk, Limited};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether a program is here; without it a test says that it is skipped.
pub fn have(program: &str) -> bool {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    if !found {
        eprintln!("SKIPPED: {program} is not installed (tests/setup does it)");
    }
    found
}

pub fn tool(program: &str, args: &[&str]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(args).env("PATH", path).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A directory with files in it. A name that ends in ` -> x` is a symbolic link.
pub struct Tree {
    pub dir: tempfile::TempDir,
}

impl Tree {
    pub fn new(files: &[(&str, &[u8])]) -> Tree {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        let tree = Tree { dir };
        files.iter().for_each(|(name, bytes)| tree.add(name, bytes));
        tree
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub fn add(&self, name: &str, bytes: &[u8]) {
        let (name, link) = name.split_once(" -> ").map_or((name, None), |(n, l)| (n, Some(l)));
        let path = self.root().join(name.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match link {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => std::fs::File::create(path).unwrap().write_all(bytes).unwrap(),
        }
    }

    pub fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Made into an ext2/3/4 file system by mke2fs; its path.
    pub fn ext(&self, size: &str, options: &[&str]) -> PathBuf {
        let (root, image) = (self.root(), self.image());
        let mut args = vec!["-q", "-F", "-d", root.to_str().unwrap(), "-U", UUID, "-L", "root"];
        args.extend(options);
        args.extend([image.to_str().unwrap(), size]);
        tool("mke2fs", &args);
        image
    }
}

pub const UUID: &str = "6b696c6e-1111-2222-3333-444455556666";

/// Bytes that look like noise, the same each time.
pub fn noise(len: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A disk in memory.
pub struct Memory(pub Vec<u8>);

impl Disk for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> std::io::Result<()> {
        self.0[..].read_at(at, to)
    }
}

/// What `then` says of a disk with these bytes.
pub fn on<T>(bytes: Vec<u8>, then: impl FnOnce(&Limited) -> T) -> T {
    let memory = Memory(bytes);
    then(&Limited::new(&memory))
}

/// Puts file systems behind each other, each at a multiple of 1 MiB, and says where and how long they are.
pub fn join(parts: &[&[u8]]) -> (Vec<u8>, Vec<(u64, u64)>) {
    const ALIGN: usize = 1 << 20;
    let (mut disk, mut places) = (vec![0; ALIGN], Vec::new());
    for part in parts {
        places.push((disk.len() as u64, part.len() as u64));
        disk.extend(*part);
        disk.resize(disk.len().next_multiple_of(ALIGN), 0);
    }
    disk.resize(disk.len() + ALIGN, 0);
    (disk, places)
}

/// A disk with a partition table of `label` (gpt, dos), written by sfdisk.
pub fn partitioned(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let (disk, places) = join(parts);
    let lines: String =
        places.iter().map(|(at, len)| format!("start={}, size={}\n", at / 512, len.div_ceil(512))).collect();
    table(disk, &format!("label: {label}\nlabel-id: {}\n{lines}", if label == "gpt" { UUID } else { "0x6b696c6e" }))
}

/// A disk that sfdisk gave a table to.
pub fn table(disk: Vec<u8>, script: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), disk).unwrap();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut child = Command::new("sfdisk")
        .args(["-q", "--no-reread", "--no-tell-kernel", file.path().to_str().unwrap()])
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "sfdisk: {script}");
    std::fs::read(file.path()).unwrap()
}
