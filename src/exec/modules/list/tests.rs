use super::*;
use proptest::prelude::*;

#[test]
fn names_are_as_the_kernel_has_them() {
    for (path, want) in [
        ("kernel/fs/fuse/fuse.ko", "fuse"),
        ("kernel/net-failover.ko.xz", "net_failover"),
        ("drivers/virtio/virtio_pci.o", "virtio_pci"),
        ("a.ko.zst", "a"),
        ("virtio-ring", "virtio_ring"),
    ] {
        assert_eq!(name(path).unwrap(), want);
    }
    for bad in ["", "kernel/", ".ko", "a b.ko", "a\n.ko", "..", "x/../.ko.xz", &"x".repeat(64)] {
        assert_eq!(name(bad), None, "{bad:?}");
    }
}

#[test]
fn lines_are_found_by_name_and_the_first_counts() {
    let list = List::new(
        "kernel/a-b.ko.xz: kernel/c.ko kernel/d.ko\nno module here.txt:\nc.ko:\nx/c.ko: y\n\nlast.ko".to_string(),
    );
    let entry = |path, rest| Some(Entry { path, rest });
    assert_eq!(list.find("a_b"), entry("kernel/a-b.ko.xz", " kernel/c.ko kernel/d.ko\n"));
    assert_eq!(list.find("c"), entry("c.ko", "\n"));
    assert_eq!(list.find("last"), entry("last.ko", ""));
    for none in ["a-b-", "a_", "b", "", "txt", "kernel/c"] {
        assert_eq!(list.find(none), None, "{none}");
    }
    assert!(!list.is_empty() && List::new("\n: \n".to_string()).is_empty());
}

proptest! {
    #[test]
    fn a_name_is_safe_as_a_file_name(path in any::<String>()) {
        if let Some(name) = name(&path) {
            prop_assert!(!name.contains(['/', '\n', '\0', '.']) && !name.is_empty() && name.len() < 64);
        }
    }

    #[test]
    fn every_named_line_is_found(text in "([a-c/.-]{0,6}|\\.ko|:| |\n|é){0,60}") {
        let list = List::new(text.clone());
        for line in text.lines() {
            let path = line.split_once(':').map_or(line.trim_end(), |(path, _)| path);
            if let Some(name) = name(path) {
                prop_assert!(list.find(&name).is_some(), "{}", name);
            }
        }
    }
}
