use super::*;
use crate::boot::sample::{KERNEL_AT, Part, elf, kernel};
use crate::exec::modules::made::{RELEASE, Root, bzimage, vmlinux};
use std::os::unix::fs::PermissionsExt;

fn default_of(root: &Root) -> Result<PathBuf> {
    default(&root.path("here"), &root.path("host"), "6.1.0")
}

#[test]
fn the_tree_you_stand_in_comes_before_the_hosts_kernel() {
    let root = Root::new();
    let said = format!("{:#}", default_of(&root).unwrap_err());
    assert!(said.contains("no kernel was named") && said.contains("host/boot/vmlinuz-6.1.0"), "{said}");
    for name in ["host/usr/lib/modules/6.1.0/vmlinuz", "host/lib/modules/6.1.0/vmlinuz", "host/boot/vmlinuz-6.1.0"] {
        let path = root.file(name, b"x");
        assert_eq!(default_of(&root).unwrap(), path);
    }
    for name in ["here/vmlinux", "here/arch/x86/boot/bzImage"] {
        let path = root.file(name, b"x");
        assert_eq!(default_of(&root).unwrap(), path);
    }
}

#[test]
fn a_kernel_that_cannot_be_read_is_passed_over_or_explained() {
    let root = Root::new();
    let locked = root.file("host/boot/vmlinuz-6.1.0", b"x");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(&locked).is_ok() {
        println!("SKIPPED: root reads everything");
        // What is said is the same for any error of this kind.
        let denied = Error::from(std::io::Error::from(ErrorKind::PermissionDenied)).context("kernel k");
        let said = explain(Path::new("/boot/k"), denied).to_string();
        assert!(said.starts_with("kernel k: ") && said.contains("`sudo chmod a+r /boot/k`"), "{said}");
        return;
    }
    let said = format!("{:#}", default_of(&root).unwrap_err());
    assert!(said.contains("sudo chmod a+r") && said.contains("boot/vmlinuz-6.1.0"), "{said}");
    assert!(format!("{:#}", choose(Some(&locked)).err().unwrap()).contains("sudo chmod a+r"));
    let readable = root.file("host/lib/modules/6.1.0/vmlinuz", b"x");
    assert_eq!(default_of(&root).unwrap(), readable);
}

#[test]
fn a_directory_is_a_build_tree() {
    let root = Root::new();
    root.file("linux/vmlinux", vmlinux(b""));
    assert_eq!(find(Some(&root.path("linux"))).unwrap(), root.path("linux/vmlinux"));
    root.file("linux/arch/x86/boot/bzImage", bzimage(RELEASE));
    root.file("linux/.config", "");
    let chosen = choose(Some(&root.path("linux"))).unwrap();
    assert_eq!(chosen.path, root.path("linux/arch/x86/boot/bzImage"));
    assert_eq!(chosen.tree.unwrap(), root.path("linux").canonicalize().unwrap());
    let said = format!("{:#}", choose(Some(&root.path(""))).err().unwrap());
    assert!(said.contains("is a directory without arch/x86/boot/bzImage or vmlinux"), "{said}");
}

#[test]
fn a_link_into_a_tree_is_a_kernel_of_that_tree() {
    let root = Root::new();
    root.kernel("linux/arch/x86/boot/bzImage");
    std::os::unix::fs::symlink(root.path("linux/arch/x86/boot/bzImage"), root.path("latest")).unwrap();
    assert_eq!(choose(Some(&root.path("latest"))).unwrap().tree, None, "nothing else says it is a tree");
    root.file("linux/include/config/kernel.release", "6.9.0\n");
    assert!(choose(Some(&root.path("latest"))).unwrap().tree.unwrap().ends_with("linux"));
}

#[test]
fn the_release_is_the_images_own_and_the_trees_for_a_vmlinux() {
    let root = Root::new();
    root.file("linux/include/config/kernel.release", "6.10.0\n");
    let release = |name: &str, bytes: &[u8]| choose(Some(&root.file(name, bytes))).unwrap().release;
    assert_eq!(release("linux/arch/x86/boot/bzImage", &bzimage(RELEASE)).unwrap(), RELEASE);
    let banner = vmlinux(b"Linux version 6.8.0 #1\0");
    assert_eq!(release("linux/vmlinux", &banner).unwrap(), "6.10.0");
    assert_eq!(release("vmlinux", &banner).unwrap(), "6.8.0");
    assert_eq!(release("nameless", &kernel()), None);
    root.file("linux/include/config/kernel.release", "../../etc\n");
    assert_eq!(release("linux/vmlinux", &banner).unwrap(), "6.8.0");
}

#[test]
fn a_kernel_that_cannot_run_kiln_is_refused() {
    let root = Root::new();
    let narrow = root.file("k", elf(false, KERNEL_AT, &[Part::load(KERNEL_AT, &[1; 64])]));
    let said = format!("{:#}", choose(Some(&narrow)).err().unwrap());
    assert!(said.contains("is a 32-bit one"), "{said}");
    assert!(choose(Some(&root.file("n", b"nothing of the kind"))).is_err());
    assert!(choose(Some(&root.path("nowhere"))).is_err());
}

#[test]
fn messages_name_the_release_or_the_file() {
    let root = Root::new();
    assert_eq!(root.kernel("k").name(), "kernel 6.9.0-rc1+");
    let path = root.file("v", vmlinux(b""));
    assert_eq!(choose(Some(&path)).unwrap().name(), format!("kernel {}", path.display()));
}
