use super::*;
use crate::boot::sample::{self, Part, Temp};
use crate::kvm::{self, Exit, Reserved, Vm};
use crate::mem::Memory;

const MIB: u64 = 1 << 20;

fn payload(temp: &Temp, initrd: &[&std::path::Path], cmdline: &str) -> Payload {
    Payload {
        kernel: temp.path.clone(),
        initrd: initrd.iter().map(|p| p.to_path_buf()).collect(),
        cmdline: cmdline.to_string(),
        linux_args: "console=hvc0".to_string(),
        ..Payload::default()
    }
}

fn memory() -> Memory {
    Memory::new(&[(0, 16 * MIB)], None).unwrap()
}

fn load(memory: &Memory, payload: &Payload) -> Result<Loaded> {
    Kernel::open(payload)?.load(memory, None)
}

fn u32_at(memory: &Memory, at: u64) -> u32 {
    u32::from_le_bytes(memory.read(at).unwrap())
}

#[test]
fn linux_finds_its_command_line_and_the_initrds_as_one() {
    let temp = Temp::new(&sample::linux("xz"));
    let (one, two) = (temp.add("one", b"first"), temp.add("two", b"second"));
    let memory = memory();
    let loaded = load(&memory, &payload(&temp, &[&one, &two], "quiet")).unwrap();
    let entry = Entry::Linux64 { rip: sample::KERNEL_ENTRY, zero_page: 0x7000 };
    assert_eq!(loaded, Loaded { entry, format: "bzImage, xz, 64-bit Linux entry".to_string() });
    let at = u64::from(u32_at(&memory, 0x7218));
    assert_eq!((at, u32_at(&memory, 0x721c)), (16 * MIB - 4096, 14));
    assert_eq!(&memory.read::<15>(at).unwrap(), b"first\0\0\0second\0");
    let cmdline = u64::from(u32_at(&memory, 0x7228));
    assert_eq!(&memory.read::<19>(cmdline).unwrap(), b"console=hvc0 quiet\0");
}

#[test]
fn an_archive_made_by_kiln_follows_the_users_own() {
    let temp = Temp::new(&sample::linux("xz"));
    let one = temp.add("one", b"first");
    let mut archive = crate::config::Archive::default();
    archive.push(crate::config::Part::Bytes(std::sync::Arc::new(b"made".to_vec())));
    let payload = Payload { built: Some(std::sync::Arc::new(archive)), ..payload(&temp, &[&one], "") };
    let (kernel, memory) = (Kernel::open(&payload).unwrap(), memory());
    // And again after a reset.
    for _ in 0..2 {
        kernel.load(&memory, None).unwrap();
        let at = u64::from(u32_at(&memory, 0x7218));
        assert_eq!((&memory.read::<12>(at).unwrap(), u32_at(&memory, 0x721c)), (b"first\0\0\0made", 12));
        memory.clear().unwrap();
    }
}

#[test]
fn a_command_line_that_is_too_long_is_refused_before_anything_is_loaded() {
    let temp = Temp::new(&sample::linux("gz"));
    let said = |len: usize| Kernel::open(&payload(&temp, &[], &"x".repeat(len))).err().map(|e| e.to_string());
    // 13 more for "console=hvc0 ".
    assert_eq!(said(2034), None);
    assert_eq!(said(2035).unwrap(), "kernel command line: 2048 bytes, this kernel takes at most 2047");
    let mut file = sample::linux("gz");
    file[0x238..0x23c].copy_from_slice(&100u32.to_le_bytes());
    let temp = Temp::new(&file);
    assert!(Kernel::open(&payload(&temp, &[], &"x".repeat(101))).is_err());
    assert!(Kernel::open(&payload(&temp, &[], "a\0b")).is_err());
}

#[test]
fn what_does_not_fit_is_an_error() {
    let temp = Temp::new(&sample::linux("gz"));
    let initrd = temp.add("initrd", &vec![1; 14 << 20]);
    let small = Memory::new(&[(0, MIB)], None).unwrap();
    let said = |memory: &Memory, initrd: &[&std::path::Path]| {
        format!("{:#}", load(memory, &payload(&temp, initrd, "")).unwrap_err())
    };
    assert!(said(&small, &[]).contains("too small to boot"));
    // The kernel ends at 2 MiB and a bit.
    let less = Memory::new(&[(0, 15 * MIB)], None).unwrap();
    let text = said(&less, &[&initrd]);
    assert!(text.contains("an initrd of 14 MiB needs at least 17 MiB"), "{text}");
    let enough = Memory::new(&[(0, 17 * MIB)], None).unwrap();
    assert!(load(&enough, &payload(&temp, &[&initrd], "")).is_ok());
    assert!(Kernel::open(&payload(&temp, &[std::path::Path::new("/nonexistent")], "")).is_err());
}

/// Runs a kernel and gives the words it writes to the serial port until it halts.
fn run(kernel: &[u8], modules: &[(&str, &[u8])], cmdline: &str) -> Option<(Loaded, Memory, Vec<u32>)> {
    let kvm = match kvm::open() {
        Ok(kvm) => kvm,
        Err(e) => {
            println!("skipped: {e:#}");
            return None;
        }
    };
    let temp = Temp::new(kernel);
    let modules: Vec<_> = modules.iter().map(|(name, bytes)| temp.add(name, bytes)).collect();
    let modules: Vec<_> = modules.iter().map(|p| p.as_path()).collect();
    let memory = memory();
    let loaded = load(&memory, &payload(&temp, &modules, cmdline)).unwrap();
    let reserved = Reserved { identity_map: layout::IDENTITY_MAP, tss: layout::TSS };
    let vm = Vm::new(&kvm, &memory, &reserved).unwrap();
    let mut vcpu = vm.vcpu(0).unwrap();
    let (regs, sregs) = registers(&loaded.entry, vcpu.fd().get_sregs().unwrap());
    vcpu.fd().set_sregs(&sregs).unwrap();
    vcpu.fd().set_regs(&regs).unwrap();
    let mut words = Vec::new();
    loop {
        match vcpu.run().unwrap() {
            Exit::PortOut { port: 0x3f8, size: 4, data } => words.push(u32::from_le_bytes(data.try_into().unwrap())),
            // The interrupt chip is KVM's, so a halt does not come out: the guest says it is done.
            Exit::PortOut { port: 0xf4, .. } => return Some((loaded, memory, words)),
            other => panic!("{other:?}, after {words:x?}"),
        }
    }
}

/// mov dx, 0x3f8
const PORT: [u8; 4] = [0x66, 0xba, 0xf8, 0x03];
/// out dx, eax
const OUT: u8 = 0xef;
/// out 0xf4, al
const DONE: [u8; 2] = [0xe6, 0xf4];
/// mov eax, 0x18; mov ds, eax; mov es, eax; mov ss, eax: the table has what the registers say.
const RELOAD: [u8; 11] = [0xb8, 0x18, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0];

/// The segments of `code` that is to run at 1 MiB.
fn elf(wide: bool, code: &[&[u8]], notes: &[u8]) -> Vec<u8> {
    sample::elf(wide, 0x10_0000, &[Part::load(0x10_0000, &code.concat()), Part::note(notes.to_vec())])
}

#[test]
fn a_64_bit_kernel_runs() {
    let code: [&[u8]; 9] = [
        &PORT,
        &[0x89, 0xf0, OUT],                // mov eax, esi
        &[0x8b, 0x86, 0x28, 2, 0, 0, OUT], // mov eax, [rsi + 0x228]: cmd_line_ptr
        &[0x8b, 0x00, OUT],                // mov eax, [rax]
        &RELOAD,
        &[0x6a, 0x10, 0x48, 0x8d, 0x05, 3, 0, 0, 0], // push 0x10; lea rax, [rip + 3]
        &[0x50, 0x48, 0xcb],                         // push rax; retfq
        &[0x8c, 0xc8, OUT],                          // mov eax, cs
        &DONE,
    ];
    let Some((loaded, _, words)) = run(&elf(true, &code, &[]), &[], "init=/x") else { return };
    assert_eq!(loaded.entry, Entry::Linux64 { rip: 0x10_0000, zero_page: 0x7000 });
    assert_eq!(words, [0x7000, 0x2_0000, u32::from_le_bytes(*b"cons"), 0x10]);
}

#[test]
fn a_32_bit_kernel_runs() {
    let code: [&[u8]; 6] = [
        &PORT,
        &[0x89, 0xf0, OUT], // mov eax, esi
        &RELOAD,
        &[0xea, 0x19, 0, 0x10, 0, 0x10, 0], // jmp 0x10:0x100019
        &[0x8c, 0xc8, OUT],                 // mov eax, cs
        &DONE,
    ];
    let Some((loaded, _, words)) = run(&elf(false, &code, &[]), &[], "") else { return };
    assert_eq!(loaded.entry, Entry::Linux32 { eip: 0x10_0000, zero_page: 0x7000 });
    assert_eq!(words, [0x7000, 0x10]);
}

#[test]
fn a_pvh_kernel_runs() {
    let note = sample::note("Xen", 18, &0x10_0001u32.to_le_bytes());
    let code: [&[u8]; 5] = [
        &[0xf4], // not the entry
        &PORT,
        &[0x89, 0xd8, OUT],       // mov eax, ebx
        &[0x8b, 0x43, 0x0c, OUT], // mov eax, [ebx + 12]: nr_modules
        &DONE,
    ];
    let modules: [(&str, &[u8]); 2] = [("a", b"1"), ("b", b"22")];
    let Some((loaded, _, words)) = run(&elf(true, &code, &note), &modules, "") else { return };
    assert_eq!(loaded.entry, Entry::Pvh { eip: 0x10_0001, start_info: 0x8000 });
    assert_eq!(words, [0x8000, 2]);
}

#[test]
fn a_multiboot_kernel_runs_with_its_modules() {
    let mut file = sample::multiboot(3, Some([0x10_0000, 0x10_0000, 0, 0, 0x10_0020]));
    file.extend(PORT);
    file.push(OUT); // eax
    file.extend([0x89, 0xd8, OUT]); // mov eax, ebx
    file.extend([0x8b, 0x43, 0x18, 0x8b, 0x40, 0x10, OUT]); // mods_addr, mod_start of the second
    file.extend([0x8b, 0x00, OUT]); // mov eax, [eax]
    file.extend([0x8b, 0x43, 0x10, OUT]); // cmdline
    file.extend(DONE);
    let modules: [(&str, &[u8]); 2] = [("a", b"1"), ("b", b"mod2")];
    let Some((loaded, memory, words)) = run(&file, &modules, "argument") else { return };
    assert_eq!(loaded.entry, Entry::Multiboot { eip: 0x10_0020, info: 0x8000 });
    assert_eq!(loaded.format, "multiboot image, multiboot entry");
    assert_eq!(words[..4], [0x2bad_b002, 0x8000, 16 * MIB as u32 - 4096, u32::from_le_bytes(*b"mod2")]);
    let mut line = vec![0; 200];
    memory.slice(words[4].into(), 200).unwrap().copy_to(&mut line);
    let line = line.split(|b| *b == 0).next().unwrap();
    assert!(line.starts_with(b"/") && line.ends_with(b"/kernel argument"));
}
