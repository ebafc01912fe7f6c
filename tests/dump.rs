//! `--dump-on-panic`: what a dead guest leaves behind. Guests of a few instructions, on the host's own /dev/kvm.

mod support;

use std::path::Path;
use std::process::Command;
use support::*;

/// Bytes of a VMCOREINFO note as Linux keeps it, at the start of a page after the code.
fn vmcoreinfo(text: &str) -> Vec<u8> {
    let mut note = [11u32, text.len() as u32, 0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    note.extend(b"VMCOREINFO\0\0");
    note.extend(text.bytes());
    note
}

fn with_page(mut code: Vec<u8>, page: &[u8]) -> Vec<u8> {
    code.resize(0x1000, 0);
    code.extend(page);
    code
}

/// A core file: (type, offset, physical address, length) of each segment.
struct Core {
    bytes: Vec<u8>,
    segments: Vec<(u32, u64, u64, u64)>,
}

impl Core {
    fn read(path: &Path) -> Core {
        let bytes = std::fs::read(path).unwrap();
        let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let phnum = u16::from_le_bytes([bytes[56], bytes[57]]);
        let segment = |n| {
            let at = 64 + 56 * n;
            (word(at), long(at + 8), long(at + 24), long(at + 32))
        };
        let segments = (0..usize::from(phnum)).map(segment).collect();
        Core { bytes, segments }
    }

    fn memory(&self, at: u64, len: usize) -> &[u8] {
        let inside = |s: &&(u32, u64, u64, u64)| s.0 == 1 && (s.2..s.2 + s.3).contains(&at);
        let (_, offset, base, _) = self.segments.iter().find(inside).unwrap();
        &self.bytes[(offset + at - base) as usize..][..len]
    }
}

#[test]
fn a_panic_leaves_memory_and_registers_behind() {
    if !have_kvm("dump") {
        return;
    }
    let dir = scratch();
    // mov dword [0x300010], 0x11223344; mov ebx, 0x5a5a1234
    let mut code = vec![0xc7, 0x05, 0x10, 0, 0x30, 0, 0x44, 0x33, 0x22, 0x11, 0xbb, 0x34, 0x12, 0x5a, 0x5a];
    code.extend(out(0x505, 1));
    code.extend(HALT);
    let text = "OSRELEASE=6.1.0-test\nPAGESIZE=4096\n";
    let guest = file(&dir, "guest.elf", &guest(&with_page(code, &vmcoreinfo(text))));
    let path = dir.path().join("core");
    let o = run(&guest, &["--cpus", "2", "--dump-on-panic", path.to_str().unwrap()]);
    assert_eq!(o.status.code(), Some(255), "{}", stderr(&o));
    let said = format!("kiln: guest memory dumped to {} (1 MiB)\nkiln: the guest panicked\n", path.display());
    assert_eq!(stderr(&o), said);
    let core = Core::read(&path);
    assert_eq!(core.memory(0x30_0010, 4), [0x44, 0x33, 0x22, 0x11]);
    assert_eq!(core.memory(BASE + 0x1018, text.len()), text.as_bytes());
    let loads: Vec<_> = core.segments.iter().filter(|s| s.0 == 1).map(|s| (s.2, s.3)).collect();
    assert_eq!(loads, [(0, 0xa_0000), (0xa_0000, 0xf6_0000)]);

    let Ok(readelf) = Command::new("readelf").args(["-W", "-a"]).arg(&path).output() else {
        return println!("SKIPPED readelf: it is not installed");
    };
    let shown = String::from_utf8_lossy(&readelf.stdout);
    assert!(readelf.stderr.is_empty(), "{}", String::from_utf8_lossy(&readelf.stderr));
    assert!(shown.contains("CORE (Core file)"), "{shown}");
    assert_eq!(shown.matches("NT_PRSTATUS").count(), 2, "{shown}");
    assert!(shown.contains("VMCOREINFO"), "{shown}");
    // ebx of the first processor, where gdb looks for it.
    let (_, notes, _, _) = core.segments[0];
    let rbx = notes as usize + 20 + 112 + 5 * 8;
    assert_eq!(core.bytes[rbx..rbx + 8], 0x5a5a_1234u64.to_le_bytes());
}

#[test]
fn a_triple_fault_is_dumped_too_and_says_what_is_missing() {
    if !have_kvm("dump of a triple fault") {
        return;
    }
    let dir = scratch();
    let code = [print("gone"), vec![0x0f, 0x01, 0x1d, 0x00, 0x00, 0x80, 0x00, 0x0f, 0x0b]].concat();
    let guest = file(&dir, "guest.elf", &guest(&code));
    let path = dir.path().join("core");
    let o = run(&guest, &["--dump-on-panic", path.to_str().unwrap()]);
    assert_eq!(o.status.code(), Some(254), "{}", stderr(&o));
    assert!(stderr(&o).contains("no VMCOREINFO in the guest's memory"), "{}", stderr(&o));
    assert_eq!(Core::read(&path).memory(BASE, code.len()), code);
}

#[test]
fn other_ends_leave_no_dump() {
    if !have_kvm("no dump") {
        return;
    }
    let dir = scratch();
    let guest = file(&dir, "guest.elf", &guest(&[out16(0x604, 5 << 10 | 1 << 13), HALT.to_vec()].concat()));
    let path = dir.path().join("core");
    let o = run(&guest, &["--dump-on-panic", path.to_str().unwrap()]);
    assert_eq!((o.status.code(), path.exists()), (Some(0), false), "{}", stderr(&o));
}

/// No room (a limit on the size of files, 16 MiB: guest memory fits, the dump does not): the exit status tells of the guest, and nothing is left.
#[test]
fn a_dump_that_fails_changes_nothing() {
    if !have_kvm("a failing dump") {
        return;
    }
    let dir = scratch();
    let guest = file(&dir, "guest.elf", &guest(&[out(0x505, 1), HALT.to_vec()].concat()));
    let path = dir.path().join("cores/core");
    std::fs::create_dir(dir.path().join("cores")).unwrap();
    let line = "trap '' XFSZ; ulimit -f 32768; exec \"$0\" \"$@\"";
    let o = Command::new("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_kiln"), "run"])
        .arg(&guest)
        .args(["--memory", "16M", "--serial", "none", "--dump-on-panic"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(o.status.code(), Some(255), "{}", stderr(&o));
    let wanted = format!("kiln: --dump-on-panic {}: write: File too large", path.display());
    assert!(stderr(&o).contains(&wanted), "{}", stderr(&o));
    assert_eq!(std::fs::read_dir(dir.path().join("cores")).unwrap().count(), 0);
}

#[test]
fn a_wrong_place_for_a_dump_is_told_before_the_guest_runs() {
    let dir = scratch();
    let guest = file(&dir, "guest.elf", &guest(&HALT));
    for (place, why) in [("/dev/null", "is no ordinary file"), ("/nowhere/core", "No such file")] {
        let o = run(&guest, &["--dump-on-panic", place]);
        assert_eq!(o.status.code(), Some(125));
        assert!(stderr(&o).starts_with("kiln: --dump-on-panic: ") && stderr(&o).contains(why), "{}", stderr(&o));
    }
}

/// A stock kernel, for a nested host: KILN_TEST_KERNEL, and KILN_TEST_INITRD whose init does what `kiln.run=` says.
#[test]
#[ignore = "needs a KVM that runs Linux, a kernel and an initrd"]
fn a_stock_kernel_is_found_in_its_dump() {
    let given = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let dir = scratch();
    let path = dir.path().join("core");
    let o = kiln()
        .args(["run", &given("KILN_TEST_KERNEL"), "--initrd", &given("KILN_TEST_INITRD"), "--memory", "256M"])
        .args(["--append", "quiet kiln.run=\"echo c > /proc/sysrq-trigger\"", "--dump-on-panic"])
        .arg(&path)
        .output()
        .unwrap();
    println!("{}", stderr(&o));
    assert_eq!(o.status.code(), Some(255));
    let core = Core::read(&path);
    let (_, notes, _, len) = core.segments[0];
    let notes = String::from_utf8_lossy(&core.bytes[notes as usize..][..len as usize]).into_owned();
    let value = |key: &str| notes.split(&format!("{key}=")).nth(1).unwrap().lines().next().unwrap().to_string();
    let release = value("OSRELEASE");
    // As drgn and crash do: the kernel's own map, from its link address and where it was loaded.
    let uts = u64::from_str_radix(&value("SYMBOL(init_uts_ns)"), 16).unwrap();
    let base = value("NUMBER(phys_base)").parse::<i64>().unwrap();
    let uts = (uts - 0xffff_ffff_8000_0000).wrapping_add_signed(base);
    println!("Linux {release}, init_uts_ns at {uts:#x}");
    assert!(core.memory(uts, 512).windows(release.len()).any(|w| w == release.as_bytes()));
    let about = path.metadata().unwrap();
    println!("{} bytes, {} on disk", about.len(), std::os::unix::fs::MetadataExt::blocks(&about) * 512);
}
