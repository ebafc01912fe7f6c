//! Small kernel files for tests.

use std::io::Write;
use std::path::PathBuf;

/// A file in a directory that goes when this is dropped.
pub struct Temp {
    dir: tempfile::TempDir,
    pub path: PathBuf,
}

impl Temp {
    pub fn new(bytes: &[u8]) -> Temp {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kernel");
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        Temp { dir, path }
    }

    /// Another file beside it.
    pub fn add(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[derive(Clone)]
pub struct Part {
    pub kind: u32,
    pub vaddr: u64,
    pub paddr: u64,
    pub data: Vec<u8>,
    pub memsz: u64,
}

impl Part {
    pub fn load(paddr: u64, data: &[u8]) -> Part {
        Part { kind: 1, vaddr: paddr, paddr, data: data.to_vec(), memsz: data.len() as u64 }
    }

    pub fn note(bytes: Vec<u8>) -> Part {
        Part { kind: 4, vaddr: 0, paddr: 0, memsz: bytes.len() as u64, data: bytes }
    }
}

/// An executable of the parts, one behind the other from byte 0x200 on, at multiples of 16.
pub fn elf(wide: bool, entry: u64, parts: &[Part]) -> Vec<u8> {
    let word = |out: &mut Vec<u8>, value: u64| match wide {
        true => out.extend(value.to_le_bytes()),
        false => out.extend((value as u32).to_le_bytes()),
    };
    let (header, phentsize) = if wide { (64u64, 56u16) } else { (52, 32) };
    let mut out = vec![0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(2u16.to_le_bytes());
    out.extend(if wide { 62u16 } else { 3 }.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    word(&mut out, entry);
    word(&mut out, header);
    word(&mut out, 0);
    out.extend(0u32.to_le_bytes());
    for half in [header as u16, phentsize, parts.len() as u16, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let mut offset = 0x200;
    for part in parts {
        out.extend(part.kind.to_le_bytes());
        if wide {
            out.extend(7u32.to_le_bytes());
        }
        for value in [offset, part.vaddr, part.paddr, part.data.len() as u64, part.memsz] {
            word(&mut out, value);
        }
        if !wide {
            out.extend(7u32.to_le_bytes());
        }
        word(&mut out, 4);
        offset = (offset + part.data.len() as u64).next_multiple_of(16);
    }
    assert!(out.len() <= 0x200);
    out.resize(0x200, 0);
    for part in parts {
        out.extend(&part.data);
        out.resize(out.len().next_multiple_of(16), 0);
    }
    out
}

pub fn note(name: &str, kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in [name.len() as u32 + 1, desc.len() as u32, kind] {
        out.extend(value.to_le_bytes());
    }
    out.extend(name.as_bytes());
    out.resize((out.len() + 1).next_multiple_of(4), 0);
    out.extend(desc);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

pub const KERNEL_AT: u64 = 0x10_0000;
pub const KERNEL_ENTRY: u64 = KERNEL_AT + 0x40;

/// What the packed files of tests/data/boot hold: two segments with a gap and bss, and data behind the last one, as
/// Linux's relocations are. It has calls to one place, which xz's BCJ filter makes alike.
pub fn kernel() -> Vec<u8> {
    let mut seed = 1u32;
    let mut noise = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let template: Vec<u8> = (0..250).map(|_| noise()).collect();
    let mut code = Vec::new();
    while code.len() < 600 << 10 {
        let target = 0x1234u32.wrapping_sub(code.len() as u32 + 5);
        code.push(0xe8);
        code.extend(target.to_le_bytes());
        code.extend(&template);
        code.push(noise());
    }
    let text = Part { memsz: code.len() as u64 + 0x3000, vaddr: 0xffff_ffff_8100_0000, ..Part::load(KERNEL_AT, &code) };
    let data = Part { vaddr: 0, ..Part::load(0x20_0000, &[7; 1000]) };
    let mut file = elf(true, KERNEL_ENTRY, &[text, data]);
    file.extend([0x55; 200]);
    file
}

/// `kernel` as packed with one of the real tools.
pub fn packed(suffix: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/boot/kernel.{suffix}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

pub const SUFFIXES: [&str; 7] = ["gz", "bz2", "lzma", "xz", "lzo", "lz4", "zst"];

/// A bzImage as Linux's build makes it (protocol 2.15) around a payload whose end says how large it unpacks.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut file = vec![0u8; 1024];
    let code = 0x2c0 + payload.len().next_multiple_of(16);
    let mut set = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    set(0x1f1, &[1]);
    set(0x1f4, &(code as u32 / 16).to_le_bytes());
    set(0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]);
    set(0x202, b"HdrS");
    set(0x206, &0x20fu16.to_le_bytes());
    set(0x211, &[1]);
    set(0x214, &0x10_0000u32.to_le_bytes());
    set(0x22c, &0x7fff_ffffu32.to_le_bytes());
    set(0x230, &0x20_0000u32.to_le_bytes());
    set(0x234, &[1, 21]);
    set(0x236, &0x7fu16.to_le_bytes());
    set(0x238, &2047u32.to_le_bytes());
    set(0x248, &0x2c0u32.to_le_bytes());
    set(0x24c, &(payload.len() as u32).to_le_bytes());
    set(0x258, &0x10_0000u64.to_le_bytes());
    set(0x260, &0x18_0000u32.to_le_bytes());
    file.resize(1024 + 0x2c0, 0xcc);
    file.extend(payload);
    file.resize(1024 + code, 0);
    file
}

/// A bzImage around `packed(suffix)`.
pub fn linux(suffix: &str) -> Vec<u8> {
    let mut payload = packed(suffix);
    if suffix != "gz" {
        payload.extend((kernel().len() as u32).to_le_bytes());
    }
    bzimage(&payload)
}

/// A multiboot header with the address fields when they are given.
pub fn multiboot(flags: u32, addresses: Option<[u32; 5]>) -> Vec<u8> {
    let flags = flags | if addresses.is_some() { 1 << 16 } else { 0 };
    let mut words = vec![0x1bad_b002, flags, 0u32.wrapping_sub(0x1bad_b002).wrapping_sub(flags)];
    words.extend(addresses.into_iter().flatten());
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
