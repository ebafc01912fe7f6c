//! `kiln run IMAGE`: kernels that are found on disks, with guests of a few instructions on the host's own /dev/kvm.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// ACPI S5: SLP_TYP 5, SLP_EN in the PM1a control block.
const S5: u16 = 5 << 10 | 1 << 13;

fn have(program: &str) -> bool {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    if !found {
        println!("SKIPPED: {program} is not installed (tests/setup does it)");
    }
    found
}

/// An image with an ext4 file system on the whole disk, and these files.
fn image(dir: &tempfile::TempDir, files: &[(&str, &[u8])]) -> PathBuf {
    let (tree, image) = (dir.path().join("tree"), dir.path().join("disk.img"));
    for (name, bytes) in files {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.env("PATH", path).args(["-q", "-F", "-t", "ext4", "-d"]).arg(&tree).arg(&image).arg("4M");
    assert!(mke2fs.status().unwrap().success());
    image
}

fn hello() -> Vec<u8> {
    guest(&[print("hello\n"), out16(0x604, S5), HALT.to_vec()].concat())
}

const CONFIG: &[u8] = b"set default=1\nmenuentry 'first' { linux /boot/k1 a=b; initrd /boot/i1 /boot/i2; }\nmenuentry 'second one' { linux /boot/k2; }\n";

#[test]
fn the_default_entry_boots() {
    if !have_kvm("kiln run IMAGE") || !have("mke2fs") {
        return;
    }
    let dir = scratch();
    let silent = guest(&[out16(0x604, S5), HALT.to_vec()].concat());
    let files: &[(&str, &[u8])] = &[
        ("boot/k1", &silent),
        ("boot/k2", &hello()),
        ("boot/i1", b"1"),
        ("boot/i2", b"2"),
        ("boot/grub/grub.cfg", CONFIG),
    ];
    let image = image(&dir, files);
    let before = std::fs::read(&image).unwrap();
    let o = run(&image, &[]);
    assert_eq!((o.status.code(), o.stdout.as_slice()), (Some(0), &b"hello\n"[..]), "{}", stderr(&o));
    assert!(stderr(&o).contains("second one (the whole disk: /boot/k2)"), "{}", stderr(&o));
    for (entry, said) in [("1", ""), ("first", ""), ("2", "hello\n"), ("SECOND", "hello\n")] {
        let o = run(&image, &["--entry", entry]);
        assert_eq!((o.status.code(), o.stdout.as_slice()), (Some(0), said.as_bytes()), "{entry}: {}", stderr(&o));
    }
    for (entry, said) in
        [("3", "there are entries 1 to 2"), ("none", "there is no such entry"), ("s", "2 entries have that")]
    {
        let o = run(&image, &["--entry", entry]);
        assert_eq!((o.status.code(), stderr(&o).contains(said)), (Some(125), true), "{entry}: {}", stderr(&o));
    }
    let o =
        kiln().arg("run").arg("--disk").arg(&image).args(["--memory", "16M"]).current_dir(dir.path()).output().unwrap();
    assert_eq!((o.status.code(), o.stdout.as_slice()), (Some(0), &b"hello\n"[..]), "{}", stderr(&o));
    assert!(std::fs::read(&image).unwrap() == before, "the image was written to");
}

#[test]
fn entries_are_listed() {
    if !have("mke2fs") {
        return;
    }
    let dir = scratch();
    let image = image(&dir, &[("boot/k1", b"x"), ("boot/k2", b"x"), ("boot/grub/grub.cfg", CONFIG)]);
    let o = kiln().arg("run").arg(&image).arg("--list-entries").output().unwrap();
    let text = String::from_utf8_lossy(&o.stdout).into_owned();
    let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["1", "first", "/boot/k1", "the", "whole", "disk,", "ext4"], "{text}");
    assert_eq!(rows[2][..2], ["*2", "second"], "{text}");
    let o = kiln().arg("run").arg(&image).args(["--list-entries", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(json[0]["initrd"], serde_json::json!(["/boot/i1", "/boot/i2"]));
    assert_eq!((&json[0]["options"], &json[1]["default"]), (&"a=b".into(), &true.into()));
}

#[test]
fn an_image_without_a_kernel_says_what_it_has() {
    if !have("mke2fs") {
        return;
    }
    let dir = scratch();
    let image = image(&dir, &[("etc/fstab", b"")]);
    let o = run(&image, &[]);
    let said = stderr(&o);
    assert_eq!(o.status.code(), Some(125));
    assert!(said.contains("no Linux kernel to boot was found: the whole disk: ext4; --firmware"), "{said}");
    // A kernel that is missing: its initrd is not looked for.
    let o = run(&file(&dir, "text", b"no kernel and no disk"), &[]);
    assert!(stderr(&o).contains("not a kernel"), "{}", stderr(&o));
}
