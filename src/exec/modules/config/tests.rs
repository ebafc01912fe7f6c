use super::super::made::{Root, config, ikconfig, vmlinux};
use super::*;
use crate::exec::kernel::choose;
use proptest::prelude::*;

#[test]
fn options_are_yes_module_or_not_set() {
    let text = "# comment\nCONFIG_FUSE_FS=m\n# CONFIG_PCI is not set\nCONFIG_VIRTIO=y\r\nCONFIG_TMPFS=\"y\"\nxCONFIG_SYSFS=y\n";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.value("FUSE_FS"), Value::Module);
    assert_eq!(config.value("VIRTIO"), Value::Yes);
    for option in ["PCI", "TMPFS", "SYSFS", "OVERLAY_FS"] {
        assert_eq!(config.value(option), Value::No, "{option}");
    }
}

#[test]
fn names_count_as_a_whole_and_the_last_assignment_wins() {
    let config = Config::parse("CONFIG_VIRTIO_FS_X=y\nCONFIG_VIRTIO=m\nCONFIG_VIRTIO=y\n").unwrap();
    assert_eq!((config.value("VIRTIO_FS"), config.value("VIRTIO")), (Value::No, Value::Yes));
}

#[test]
fn another_file_is_no_configuration() {
    assert_eq!(Config::parse(""), None);
    assert_eq!(Config::parse("<html>\nNot found: CONFIG_PCI\n"), None);
}

/// The configuration that is found when these files are there; the kernel is boot/vmlinux.
fn found(files: &[&str], inside: bool) -> Option<Value> {
    let root = Root::new();
    let text = if inside { ikconfig(&config('m', &[])) } else { Vec::new() };
    let image = root.file("boot/vmlinux", vmlinux(&[&b"Linux version 6.9.0-rc1+ \0"[..], &text].concat()));
    for file in files {
        root.file(file, config('y', &[]));
    }
    let kernel = choose(Some(&image)).unwrap();
    let dir = root.path("");
    let configs = Configs::new(&dir, &kernel, None);
    assert_eq!(configs.noted().is_some(), !files.is_empty());
    configs.any().map(|c| c.value("FUSE_FS"))
}

#[test]
fn a_file_comes_before_the_kernel_itself() {
    assert_eq!(found(&[], false), None);
    assert_eq!(found(&[], true), Some(Value::Module));
    assert_eq!(found(&["boot/config-6.9.0-rc1+"], true), Some(Value::Yes));
}

#[test]
fn a_damaged_configuration_in_the_kernel_is_none() {
    let whole = ikconfig(&config('m', &[]));
    let bomb = ikconfig(&"\n".repeat(8 << 20));
    for text in [&whole[..40], &[&whole[..20], &[0xff; 300]].concat(), &bomb] {
        let root = Root::new();
        let kernel = choose(Some(&root.file("vmlinux", vmlinux(text)))).unwrap();
        let dir = root.path("");
        assert!(Configs::new(&dir, &kernel, None).any().is_none());
    }
}

proptest! {
    #[test]
    fn any_text_can_be_parsed(text in "(CONFIG_[A-Z_]{0,12}[=ymn\n ]{0,3}|.|\n){0,60}") {
        if let Some(config) = Config::parse(&text) {
            prop_assert!(text.contains("CONFIG_"));
            let _ = config.value("PCI");
        }
    }
}
