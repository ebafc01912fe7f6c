//! Made-up kernels, modules and trees for tests.

use super::{Kernel, Plan, Wants, plan_under};
use crate::boot::sample;
use crate::config::{Part, Transport};
use crate::exec::kernel;
use anyhow::Result;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub const RELEASE: &str = "6.9.0-rc1+";

pub const WANTS: Wants = Wants { transport: Transport::Pci, terminal: false, net: false, disk: false };

/// A root directory of a host, which goes when this is dropped.
pub struct Root {
    dir: tempfile::TempDir,
}

impl Root {
    pub fn new() -> Root {
        Root { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A bzImage of [`RELEASE`].
    pub fn kernel(&self, name: &str) -> Kernel {
        kernel::choose(Some(&self.file(name, bzimage(RELEASE)))).unwrap()
    }

    pub fn plan(&self, kernel: &Kernel, dir: Option<&str>, wants: &Wants) -> Result<Plan> {
        plan_under(self.dir.path(), kernel, dir.map(|d| self.path(d)).as_deref(), wants)
    }

    /// Modules below `dir`, each with the names of those it needs.
    pub fn modules(&self, dir: &str, modules: &[(&str, &str)]) {
        for (path, depends) in modules {
            self.file(&format!("{dir}/{path}"), pack(path, &ko(depends, RELEASE, &[])));
        }
    }
}

pub fn bzimage(release: &str) -> Vec<u8> {
    let mut file = sample::linux("lz4");
    file[0x20e..0x210].copy_from_slice(&0x180u16.to_le_bytes());
    let text = format!("{release} (me@here) #1 SMP\0");
    file[0x380..0x380 + text.len()].copy_from_slice(text.as_bytes());
    file
}

/// An ELF kernel with `text` in it.
pub fn vmlinux(text: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 5000];
    data.extend(text);
    sample::elf(true, sample::KERNEL_AT, &[sample::Part::load(sample::KERNEL_AT, &data)])
}

/// A configuration as CONFIG_IKCONFIG puts it into a kernel.
pub fn ikconfig(config: &str) -> Vec<u8> {
    let mut gzip = flate2::GzBuilder::new().write(b"IKCFG_ST".to_vec(), flate2::Compression::best());
    gzip.write_all(config.as_bytes()).unwrap();
    let mut bytes = gzip.finish().unwrap();
    bytes.extend(b"IKCFG_ED");
    bytes
}

/// All that is needed, set to `value`, but for the options that `change` lists with a value of their own.
pub fn config(value: char, change: &[(&str, &str)]) -> String {
    let mut text = String::from("#\n# Linux/x86 6.9.0 Kernel Configuration\n#\nCONFIG_HZ=250\n");
    for need in super::NEEDS {
        let value = if need.module.is_some() { value } else { 'y' };
        match change.iter().find(|(option, _)| *option == need.option) {
            Some((option, "n")) => text += &format!("# CONFIG_{option} is not set\n"),
            Some((option, value)) => text += &format!("CONFIG_{option}={value}\n"),
            None => text += &format!("CONFIG_{}={value}\n", need.option),
        }
    }
    text
}

/// What a distribution has as modules.
pub const USUAL: &[(&str, &str)] = &[
    ("kernel/drivers/virtio/virtio.ko", ""),
    ("kernel/drivers/virtio/virtio_ring.ko", "virtio"),
    ("kernel/drivers/virtio/virtio_pci.ko", "virtio,virtio_ring,virtio_pci_modern_dev"),
    ("kernel/drivers/virtio/virtio_pci_modern_dev.ko", ""),
    ("kernel/drivers/virtio/virtio_mmio.ko", "virtio_ring"),
    ("kernel/drivers/char/virtio_console.ko", "virtio,virtio-ring"),
    ("kernel/fs/fuse/fuse.ko", ""),
    ("kernel/fs/fuse/virtiofs.ko", "fuse,virtio,virtio_ring"),
    ("kernel/fs/overlayfs/overlay.ko", ""),
    ("kernel/drivers/net/virtio_net.ko", "virtio_ring,net-failover"),
    ("kernel/drivers/net/net_failover.ko", ""),
];

/// The order of modules.order.
pub fn list(modules: &[(&str, &str)]) -> String {
    modules.iter().map(|(path, _)| format!("{path}\n")).collect()
}

/// As the suffix of `path` says. Without an `xz` program an .xz is a plain file: kiln looks at the content.
fn pack(path: &str, bytes: &[u8]) -> Vec<u8> {
    match path.rsplit('.').next().unwrap() {
        "gz" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(bytes).unwrap();
            gzip.finish().unwrap()
        }
        "zst" => ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest),
        "xz" => filter("xz", &["-c", "--check=crc32"], bytes).unwrap_or_else(|| bytes.to_vec()),
        _ => bytes.to_vec(),
    }
}

/// What a program makes of `bytes`; none where there is no such program.
pub fn filter(program: &str, args: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let input = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}");
    Some(output.stdout)
}

/// A module: sections .text, .modinfo, .bss, those of `more`, and .shstrtab.
pub fn ko(depends: &str, release: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let modinfo = format!("license=GPL\0depends={depends}\0vermagic={release} SMP preempt mod_unload \0");
    let mut sections = vec![(".text", 6, &[0x90; 100][..]), (".modinfo", 2, modinfo.as_bytes())];
    sections.extend(more.iter().map(|(name, bytes)| (*name, 0, *bytes)));
    object(&sections)
}

/// A relocatable object of sections with name, flags and contents.
pub fn object(sections: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let mut names = vec![0u8];
    let mut file = vec![0u8; 64];
    let mut headers = vec![[0u8; 64]];
    let mut add = |file: &mut Vec<u8>, kind: u32, name: usize, flags: u64, size: u64, contents: &[u8]| {
        file.resize(file.len().next_multiple_of(16), 0);
        let mut header = [0; 64];
        header[..4].copy_from_slice(&(name as u32).to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[8..16].copy_from_slice(&flags.to_le_bytes());
        header[0x18..0x20].copy_from_slice(&(file.len() as u64).to_le_bytes());
        header[0x20..0x28].copy_from_slice(&size.to_le_bytes());
        header[0x30..0x38].copy_from_slice(&16u64.to_le_bytes());
        headers.push(header);
        file.extend(contents);
    };
    let mut place = |name: &str| {
        names.extend(name.as_bytes());
        names.push(0);
        names.len() - 1 - name.len()
    };
    for (name, flags, contents) in sections {
        add(&mut file, 1, place(name), *flags, contents.len() as u64, contents);
    }
    add(&mut file, 8, place(".bss"), 3, 1 << 40, &[]);
    let at = place(".shstrtab");
    add(&mut file, 3, at, 0, names.len() as u64, &names);
    file.resize(file.len().next_multiple_of(8), 0);
    let at = file.len() as u64;
    let ident = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 62, 0];
    file[..20].copy_from_slice(&ident);
    file[0x28..0x30].copy_from_slice(&at.to_le_bytes());
    for (at, half) in [(0x34, 64u16), (0x3a, 64), (0x3c, headers.len() as u16), (0x3e, headers.len() as u16 - 1)] {
        file[at..at + 2].copy_from_slice(&half.to_le_bytes());
    }
    file.extend(headers.concat());
    file
}

/// All bytes of some parts.
pub fn gather(parts: &[Part]) -> Vec<u8> {
    let mut whole = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(bytes) => whole.extend(bytes.iter()),
            Part::File { file, range } => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                file.read_exact_at(&mut bytes, range.start).unwrap();
                whole.extend(bytes);
            }
        }
    }
    whole
}

pub fn names(plan: &Plan) -> Vec<&str> {
    plan.modules.iter().map(|m| m.name.as_str()).collect()
}

/// Where `name` of a tree of files lies, somewhere below `dir`.
pub fn find(dir: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
    for entry in dir.read_dir().into_iter().flatten().flatten() {
        if entry.file_name() == name {
            found.push(entry.path());
        } else if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&entry.path(), name, depth - 1, found);
        }
    }
}
