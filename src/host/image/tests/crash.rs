//! What is left of a qcow2 image after kill -9, and on a full disk.

use super::qcow2::{exported, qemu, qemu_img};
use super::*;
use crate::sys::mount;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

const BLOCK: u64 = 4096;
const BLOCKS: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Write(u64),
    Discard(u64, u64),
    Zero(u64, u64),
    Flush,
}

/// The steps of a round, the same for who does them and who checks.
struct Steps(u64);

impl Steps {
    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    fn next(&mut self) -> Step {
        let (kind, at, len) = (self.random() % 40, self.random() % BLOCKS, self.random() % 64 + 1);
        let len = len.min(BLOCKS - at);
        match kind {
            0 | 1 => Step::Discard(at, len),
            2 => Step::Zero(at, len),
            3 => Step::Flush,
            _ => Step::Write(at),
        }
    }
}

/// The program that is killed: writes to the image that KILN_VICTIM names, and says how far it flushed.
#[test]
#[ignore = "is started by the test below"]
fn victim() {
    let Ok(path) = std::env::var("KILN_VICTIM") else { return };
    let seed = std::env::var("KILN_SEED").unwrap().parse().unwrap();
    let disk = open(Path::new(&path), &how(Format::Auto, false)).unwrap();
    let mem = Memory::new(&[(0, 0x1_0000)], None).unwrap();
    let block = [mem.slice(0, BLOCK as usize).unwrap()];
    let (mut steps, mut out) = (Steps(seed), std::io::stdout());
    writeln!(out, "\nflushed 0").unwrap();
    for n in 1u64.. {
        match steps.next() {
            Step::Write(at) => {
                block[0].copy_from(&n.to_le_bytes().repeat(BLOCK as usize / 8));
                disk.write_at(at * BLOCK, &block).unwrap();
            }
            Step::Discard(at, len) => disk.discard(at * BLOCK, len * BLOCK).unwrap(),
            Step::Zero(at, len) => disk.write_zeroes(at * BLOCK, len * BLOCK, n % 2 == 0).unwrap(),
            Step::Flush => {
                disk.flush().unwrap();
                writeln!(out, "flushed {n}").unwrap();
            }
        }
    }
}

/// Runs the victim for a while; says up to which step its work is safe.
fn kill(path: &Path, seed: u64, after: std::time::Duration) -> u64 {
    let name = "host::image::tests::crash::victim";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .envs([("KILN_VICTIM", path.to_str().unwrap()), ("KILN_SEED", &seed.to_string())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let flushed = |line: String| line.strip_prefix("flushed ")?.parse::<u64>().ok();
    assert_eq!(lines.by_ref().find_map(flushed), Some(0), "the victim did not start");
    let reader = std::thread::spawn(move || lines.filter_map(flushed).last().unwrap_or(0));
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// What a block may hold: any of the numbers, and zeroes; or anything.
#[derive(Clone)]
struct May {
    numbers: Vec<u64>,
    anything: bool,
}

/// Follows the steps: what was flushed must be there, later ones may.
fn follow(seed: u64, safe: u64, disk: &mut [May]) {
    let mut steps = Steps(seed);
    for n in 1..safe + 100_000 {
        let step = steps.next();
        let mut put = |at: u64, number: Option<u64>| {
            let block = &mut disk[at as usize];
            if n <= safe {
                (block.numbers, block.anything) = (Vec::new(), false);
            }
            match number {
                Some(number) => block.numbers.push(number),
                None => block.anything = true,
            }
        };
        match step {
            Step::Write(at) => put(at, Some(n)),
            Step::Discard(at, len) => (at..at + len).for_each(|at| put(at, None)),
            Step::Zero(at, len) => (at..at + len).for_each(|at| put(at, Some(0))),
            Step::Flush => {}
        }
    }
}

fn kills(options: &str, base: bool, times: u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.qcow2");
    let name = path.to_str().unwrap();
    let mut args = vec!["create", "-f", "qcow2", "-o", options];
    let raw = dir.path().join("base.raw");
    if base {
        std::fs::File::create(&raw).unwrap().set_len(BLOCKS * BLOCK).unwrap();
        args.extend(["-b", "base.raw", "-F", "raw"]);
    }
    args.extend([name, "16M"]);
    if qemu_img(&args).is_none() {
        return;
    }
    let (mut leaks, mut disk) = (0, vec![May { numbers: vec![0], anything: false }; BLOCKS as usize]);
    for round in 0..times {
        let safe = kill(&path, round + 1, std::time::Duration::from_millis(round * 7 % 50 + 1));
        let check = qemu("qemu-img", &["check", name]).unwrap();
        // 3: clusters are counted that nobody uses, which is what a crash may leave behind.
        let code = check.status.code().unwrap();
        assert!(matches!(code, 0 | 3), "round {round}: {}", String::from_utf8_lossy(&check.stdout));
        if code == 3 {
            leaks += 1;
            println!(
                "round {round}: {}",
                String::from_utf8_lossy(&check.stdout).lines().rev().nth(2).unwrap_or_default()
            );
            qemu("qemu-img", &["check", "-r", "leaks", name]);
        }
        follow(round + 1, safe, &mut disk);
        let bytes = exported(dir.path(), &path);
        for (at, (block, may)) in bytes.chunks_exact(BLOCK as usize).zip(&mut disk).enumerate() {
            let number = u64::from_le_bytes(block[..8].try_into().unwrap());
            assert!(
                block.chunks_exact(8).all(|n| n == &block[..8]) || may.anything,
                "round {round}: block {at} is mixed"
            );
            assert!(
                may.anything || may.numbers.contains(&number),
                "round {round}: block {at} has {number}, safe {safe}"
            );
            // What is there now is what the next round starts with.
            *may = May { numbers: vec![number], anything: may.anything };
        }
    }
    println!("{options}: {times} kills, {leaks} left leaks");
}

/// How often; KILN_KILLS says another number.
fn times(usual: u64) -> u64 {
    std::env::var("KILN_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[test]
fn a_killed_writer_leaves_a_good_image() {
    kills("cluster_size=512", false, times(6));
    kills("cluster_size=4k,refcount_bits=8", false, times(6));
    kills("cluster_size=64k", true, times(6));
}

#[test]
fn a_full_disk_harms_no_image_and_writing_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    if mount::unshare_mounts().is_err() || mount::mount("tmpfs", Path::new("none"), dir.path(), 0, "size=3m").is_err() {
        println!("SKIPPED: no mounts here");
        return;
    }
    for options in ["cluster_size=512", "cluster_size=64k"] {
        let (path, filler) = (dir.path().join("disk.qcow2"), dir.path().join("filler"));
        let name = path.to_str().unwrap();
        if qemu_img(&["create", "-f", "qcow2", "-o", options, name, "64M"]).is_none() {
            return;
        }
        std::fs::write(&filler, vec![1; 1 << 20]).unwrap();
        let mem = Memory::new(&[(0, 0x1_0000)], None).unwrap();
        let block = [mem.slice(0, BLOCK as usize).unwrap()];
        let disk = open(&path, &how(Format::Auto, false)).unwrap();
        let write = |n: u64| {
            block[0].copy_from(&(n + 1).to_le_bytes().repeat(BLOCK as usize / 8));
            disk.write_at(n * BLOCK, &block)
        };
        let full = (0..2048).find(|n| write(*n).is_err()).expect("the disk was never full");
        assert!(write(full).is_err());
        // There may be room for the tables, or not.
        let flushed = disk.flush().is_ok();
        let check = qemu("qemu-img", &["check", "-U", name]).unwrap();
        assert!(matches!(check.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&check.stdout));
        std::fs::remove_file(&filler).unwrap();
        (full..full + 100).for_each(|n| write(n).unwrap());
        disk.flush().unwrap();
        drop(disk);
        println!("{options}: full after {full} blocks, flushed {flushed}");
        qemu_img(&["check", name]);
        let disk = until(|| open(&path, &how(Format::Auto, true)).ok());
        for n in 0..full + 100 {
            let mut bytes = vec![0; BLOCK as usize];
            disk.read_bytes(n * BLOCK, &mut bytes).unwrap();
            assert!(bytes == (n + 1).to_le_bytes().repeat(BLOCK as usize / 8), "block {n}");
        }
        drop(disk);
        std::fs::remove_file(&path).unwrap();
    }
    mount::unmount(dir.path()).unwrap();
}
