use super::*;

fn said(at: usize, magic: &[u8]) -> String {
    let mut head = vec![0; 4096];
    head[at..at + magic.len()].copy_from_slice(magic);
    refusal(&head).to_string()
}

#[test]
fn well_known_files_are_named() {
    assert!(said(56, b"ARM\x64").contains("aarch64"));
    assert!(said(36, &[0x18, 0x28, 0x6f, 1]).contains("zImage for 32-bit ARM"));
    assert!(said(0, b"070701").contains("cpio"));
    assert!(said(0x1fe, &[0x55, 0xaa]).contains("boot sector"));
    assert!(said(0, b"QFI\xfb").contains("qcow2"));
    assert!(said(8, &[0xd6, 0x50, 0x52, 0xe8, 0, 0, 0, 0, 0, 0, 0, 0, 0x2a, 0xaf, 0xad, 0x17]).contains("multiboot 2"));
}

#[test]
fn efi_programs_are_named_with_their_machine() {
    let mut head = vec![0; 4096];
    head[..2].copy_from_slice(b"MZ");
    head[0x3c] = 0x80;
    head[0x80..0x86].copy_from_slice(&[b'P', b'E', 0, 0, 0x64, 0x86]);
    assert!(refusal(&head).to_string().contains("EFI program (PE, x86-64)"));
    head[0x200..0x208].copy_from_slice(b".linux\0\0");
    assert!(refusal(&head).to_string().contains("unified kernel image"));
}

#[test]
fn the_rest_is_quoted() {
    let said = refusal(b"hello").to_string();
    assert!(said.contains("no bzImage header, ELF, multiboot header") && said.ends_with("68 65 6c 6c 6f"), "{said}");
}
