//! What a file that is no kernel for this machine is: the refusal says so, as far as its first bytes tell.

use super::bytes::{has, u16_at, u32_at};
use anyhow::{Error, anyhow};

pub fn refusal(head: &[u8]) -> Error {
    match name(head) {
        Some(name) => anyhow!("not a kernel that boots here: {name}"),
        None => {
            let start: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
            let start = start.join(" ");
            anyhow!("not a kernel (no bzImage header, ELF, multiboot header or known compression): starts with {start}")
        }
    }
}

fn name(head: &[u8]) -> Option<String> {
    let known: [(usize, &[u8], &str); 20] = [
        (56, b"ARM\x64", "a Linux Image for 64-bit ARM (aarch64)"),
        (56, b"RSC\x05", "a Linux Image for RISC-V"),
        (36, &[0x18, 0x28, 0x6f, 0x01], "a zImage for 32-bit ARM"),
        (4, b"zimg", "an EFI zboot kernel for another machine"),
        (0, &[0x27, 0x05, 0x19, 0x56], "a U-Boot uImage"),
        (0, &[0xd0, 0x0d, 0xfe, 0xed], "a device tree or FIT image"),
        (0, b"070701", "a cpio archive (an initrd?)"),
        (0, b"070702", "a cpio archive (an initrd?)"),
        (0, b"QFI\xfb", "a qcow2 disk image (--disk takes it)"),
        (0, b"KDMV", "a VMDK disk image"),
        (0, b"hsqs", "a squashfs file system"),
        (1080, &[0x53, 0xef], "an ext2/3/4 file system (--disk takes it)"),
        (0, &[0x04, 0x22, 0x4d, 0x18], "an LZ4 file with the modern frame; kernels use the legacy one (lz4 -l)"),
        (0, b"PK\x03\x04", "a zip archive"),
        (257, b"ustar", "a tar archive"),
        (0, b"!<arch>\n", "an ar archive (a Debian package? unpack it with dpkg-deb -x)"),
        (0, &[0xed, 0xab, 0xee, 0xdb], "an RPM package (unpack it first)"),
        (0, b"#!", "a script"),
        (512, b"EFI PART", "a disk image with a GPT (--disk takes it)"),
        (0, &[0xfe, 0xed, 0xfa], "a Mach-O file"),
    ];
    if let Some((.., name)) = known.iter().find(|(at, magic, _)| has(head, *at, magic)) {
        return Some(name.to_string());
    }
    multiboot2(head).or_else(|| efi(head)).or_else(|| boot_sector(head))
}

/// Multiboot2 Specification, 3.1.1: within 32 KiB, 8-aligned; its sum with architecture and length is zero.
fn multiboot2(head: &[u8]) -> Option<String> {
    let found = (0..head.len()).step_by(8).any(|at| {
        let word = |i: usize| u32_at(head, at + 4 * i);
        let sum = [word(0), word(1), word(2), word(3)].into_iter().flatten().fold(0u32, u32::wrapping_add);
        word(0) == Some(0xe852_50d6) && word(3).is_some() && sum == 0
    });
    found.then(|| "a multiboot 2 image; only multiboot 1 is known".to_string())
}

/// Microsoft PE Format: the PE header's offset is at 0x3c; the machine follows its signature.
fn efi(head: &[u8]) -> Option<String> {
    let pe = has(head, 0, b"MZ").then(|| u32_at(head, 0x3c))??;
    let pe = usize::try_from(pe).ok().filter(|pe| has(head, *pe, b"PE\0\0"))?;
    let machine = match u16_at(head, pe + 4)? {
        0x8664 => "x86-64".to_string(),
        0x014c => "i386".to_string(),
        0xaa64 => "aarch64".to_string(),
        0x5064 => "RISC-V".to_string(),
        other => format!("machine {other:#x}"),
    };
    // Section names of a unified kernel image (UAPI Group specification 5).
    let unified = head.windows(8).any(|w| w == b".linux\0\0");
    match unified {
        true => Some(format!("a unified kernel image ({machine}); objcopy -O binary -j .linux gives the kernel in it")),
        false => Some(format!("an EFI program (PE, {machine}) without a bzImage header")),
    }
}

fn boot_sector(head: &[u8]) -> Option<String> {
    (u16_at(head, 0x1fe) == Some(0xaa55)).then(|| "a boot sector or disk image".to_string())
}

#[cfg(test)]
mod tests;
