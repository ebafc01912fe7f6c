//! What starting costs: kiln, QEMU microvm and a bare loop of the same ioctls, one after the other in each round,
//! with the same machine (128 MiB, 1 vCPU, one disk, one serial port) and a payload of five instructions.
//!
//! `startup KILN BARE [ROUNDS]`; prints medians with their quartiles, and ratios to the bare loop of the same round.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const GUEST: u64 = 128 << 20;

struct Vmm {
    name: &'static str,
    /// Command lines: to idle after the byte, and to end after it.
    idle: Vec<String>,
    ends: Vec<String>,
}

#[derive(Default)]
struct Seen {
    first_byte: Vec<f64>,
    exit: Vec<f64>,
    overhead: Vec<f64>,
    threads: usize,
    wakeups: u64,
    syscalls: Option<usize>,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, kiln, bare, rest @ ..] = args.as_slice() else { panic!("usage: startup KILN BARE [ROUNDS]") };
    let rounds = rest.first().map_or(21, |r| r.parse().expect("ROUNDS is a number"));
    let dir = std::env::temp_dir().join(format!("kiln-bench-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("create scratch folder");
    let vmms = vmms(&dir, kiln, bare);
    let mut seen: Vec<Seen> = vmms.iter().map(|_| Seen::default()).collect();
    for _ in 0..rounds {
        for (vmm, seen) in vmms.iter().zip(&mut seen) {
            round(vmm, seen);
        }
    }
    for (vmm, seen) in vmms.iter().zip(&mut seen) {
        look(vmm, seen);
        seen.syscalls = syscalls(vmm);
    }
    report(&vmms, &seen, rounds);
    println!("binary: kiln {} KiB", fs::metadata(kiln).expect("find kiln").len() >> 10);
    fs::remove_dir_all(&dir).expect("remove scratch folder");
}

fn vmms(dir: &Path, kiln: &str, bare: &str) -> Vec<Vmm> {
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).expect("write payload");
        path.display().to_string()
    };
    let idle = file("idle.elf", &payload(false));
    let ends = file("ends.elf", &payload(true));
    let disk = file("disk.img", &[]);
    fs::OpenOptions::new().write(true).open(&disk).and_then(|f| f.set_len(64 << 20)).expect("make disk");
    let words = |text: String| text.split_whitespace().map(String::from).collect::<Vec<_>>();
    let run = |k: &str| words(format!("{kiln} run {k} --memory 128M --disk {disk} --debug-exit 0xf4"));
    let qemu = |k: &str| {
        words(format!(
            "qemu-system-x86_64 -M microvm,accel=kvm,acpi=off,pit=on,pic=on,rtc=off,isa-serial=on -bios qboot.rom -cpu host,arch-capabilities=off -m 128M \
             -nodefaults -no-user-config -nographic -no-reboot -serial stdio -kernel {k} \
             -drive id=d,file={disk},format=raw,if=none -device virtio-blk-device,drive=d \
             -device isa-debug-exit,iobase=0xf4,iosize=4"
        ))
    };
    let mut all = vec![
        Vmm { name: "bare loop", idle: words(format!("{bare} idle")), ends: words(bare.to_string()) },
        Vmm { name: "kiln", idle: run(&idle), ends: run(&ends) },
    ];
    if Command::new("qemu-system-x86_64").arg("--version").output().is_ok() {
        all.push(Vmm { name: "QEMU microvm", idle: qemu(&idle), ends: qemu(&ends) });
    } else {
        println!("QEMU microvm: left out, qemu-system-x86_64 is not installed");
    }
    all
}

/// A PVH ELF: one byte to the serial port; then a halt, or a value for the debug-exit port.
/// The instructions mean the same in 32-bit and 64-bit mode.
fn payload(ends: bool) -> Vec<u8> {
    // mov dx, 0x3f8; mov al, '!'; out dx, al
    let mut code = vec![0x66, 0xba, 0xf8, 0x03, 0xb0, b'!', 0xee];
    if ends {
        // xor al, al; out 0xf4, al
        code.extend([0x30, 0xc0, 0xe6, 0xf4]);
    }
    code.extend([0xf4, 0xeb, 0xfd]);
    let at: u64 = 0x10_0000;
    let (note_at, code_at) = (64 + 2 * 56, 64 + 2 * 56 + 24);
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for offset in [at, 64, 0] {
        elf.extend(offset.to_le_bytes());
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    let segment = |kind: u32, offset: u64, address: u64, len: u64| {
        let mut s = Vec::from(kind.to_le_bytes());
        s.extend(5u32.to_le_bytes());
        [offset, address, address, len, len, 4].iter().for_each(|v| s.extend(v.to_le_bytes()));
        s
    };
    elf.extend(segment(1, code_at, at, code.len() as u64));
    elf.extend(segment(4, note_at, 0, 24));
    // XEN_ELFNOTE_PHYS32_ENTRY
    [4u32, 8, 18].iter().for_each(|v| elf.extend(v.to_le_bytes()));
    elf.extend(b"Xen\0");
    elf.extend(at.to_le_bytes());
    elf.extend(code);
    elf
}

fn spawn(words: &[String]) -> Child {
    Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("start {}: {e}", words[0]))
}

fn first_byte(child: &mut Child) {
    let mut byte = [0];
    child.stdout.as_mut().expect("piped").read_exact(&mut byte).expect("the guest's byte");
    assert_eq!(byte, *b"!");
}

fn round(vmm: &Vmm, seen: &mut Seen) {
    let start = Instant::now();
    let mut child = spawn(&vmm.ends);
    first_byte(&mut child);
    seen.first_byte.push(start.elapsed().as_secs_f64() * 1e3);
    child.wait().expect("wait");
    seen.exit.push(start.elapsed().as_secs_f64() * 1e3);
}

/// An idle guest: memory outside guest RAM, threads, and how often anything of it wakes up in a second.
fn look(vmm: &Vmm, seen: &mut Seen) {
    for _ in 0..5 {
        let mut child = spawn(&vmm.idle);
        first_byte(&mut child);
        std::thread::sleep(Duration::from_millis(300));
        let before = switches(child.id());
        std::thread::sleep(Duration::from_secs(1));
        seen.wakeups = switches(child.id()) - before;
        seen.threads = fs::read_dir(format!("/proc/{}/task", child.id())).expect("list threads").count();
        seen.overhead.push(overhead(child.id()));
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
}

fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("list threads");
    let of = |path: std::path::PathBuf| {
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let line = status.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).map(String::from);
        line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0)
    };
    tasks.map(|t| of(t.expect("list threads").path())).sum()
}

/// KiB resident in mappings that are not guest RAM (those have the guest's size, or our memfd's name).
fn overhead(pid: u32) -> f64 {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("read smaps");
    let (mut sum, mut guest) = (0, false);
    for line in smaps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some((from, to)) = first.split_once('-') {
            let size =
                u64::from_str_radix(to, 16).unwrap_or(0).saturating_sub(u64::from_str_radix(from, 16).unwrap_or(0));
            guest = line.contains("guest-memory") || size == GUEST;
        } else if first == "Rss:" && !guest {
            sum += line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sum as f64
}

/// System calls of a whole run, of all threads, where strace is installed.
fn syscalls(vmm: &Vmm) -> Option<usize> {
    let log = std::env::temp_dir().join(format!("kiln-bench-strace-{}", std::process::id()));
    let mut words = vec!["strace".to_string(), "-f".into(), "-o".into(), log.display().to_string()];
    words.extend(vmm.ends.iter().cloned());
    Command::new("strace").arg("-V").output().ok()?;
    spawn(&words).wait_with_output().ok()?;
    let text = fs::read_to_string(&log).ok()?;
    fs::remove_file(&log).ok()?;
    Some(text.lines().filter(|l| l.contains('(') && !l.contains("resumed>")).count())
}

/// 25 %, 50 %, 75 %.
fn quartiles(values: &[f64]) -> [f64; 3] {
    let mut v = values.to_vec();
    v.sort_by(f64::total_cmp);
    [v[v.len() / 4], v[v.len() / 2], v[v.len() * 3 / 4]]
}

fn report(vmms: &[Vmm], seen: &[Seen], rounds: usize) {
    println!("{rounds} rounds, interleaved; median (quartiles)");
    println!(
        "{:<14} {:>22} {:>16} {:>20} {:>10} {:>7} {:>10} {:>8}",
        "", "first byte ms", "of bare loop", "to exit ms", "RSS KiB", "threads", "wakeups/s", "syscalls"
    );
    let span = |v: &[f64]| {
        let [a, b, c] = quartiles(v);
        format!("{b:.2} ({a:.2}-{c:.2})")
    };
    for (vmm, s) in vmms.iter().zip(seen) {
        let ratios: Vec<f64> = s.first_byte.iter().zip(&seen[0].first_byte).map(|(a, b)| a / b).collect();
        println!(
            "{:<14} {:>22} {:>16} {:>20} {:>10} {:>7} {:>10} {:>8}",
            vmm.name,
            span(&s.first_byte),
            span(&ratios),
            span(&s.exit),
            quartiles(&s.overhead)[1],
            s.threads,
            s.wakeups,
            s.syscalls.map_or("-".into(), |n| n.to_string())
        );
    }
}
