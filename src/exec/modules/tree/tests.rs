use super::super::made::{RELEASE, Root, USUAL, ko, list};
use super::*;
use crate::config::Part;
use proptest::prelude::*;
use std::sync::Arc;

fn object(depends: &str) -> Object {
    Object::parse(Part::Bytes(Arc::new(ko(depends, RELEASE, &[])))).unwrap()
}

/// Where the modules are found of a kernel at `kernel`, when there are lists in these directories.
fn found(kernel: &str, lists: &[&str], named: Option<&str>) -> Result<Option<String>> {
    let root = Root::new();
    for dir in lists {
        root.file(&format!("{dir}/modules.order"), "");
    }
    let kernel = root.kernel(kernel);
    let top = root.path("");
    let tree = locate(&root.path("host"), &kernel, named.map(|n| root.path(n)).as_deref())?;
    // A tree that the kernel lies in has its real name.
    let relative = |t: Tree| t.root.strip_prefix(top.canonicalize().unwrap()).unwrap().display().to_string();
    Ok(tree.map(relative))
}

#[test]
fn modules_are_looked_for_in_the_usual_places() {
    let place = |kernel: &str, dir: &str| found(kernel, &[dir], None).unwrap();
    assert_eq!(place("boot/vmlinuz-x", "lib/modules/6.9.0-rc1+").unwrap(), "lib/modules/6.9.0-rc1+");
    assert_eq!(place("boot/vmlinuz-x", "usr/lib/modules/6.9.0-rc1+").unwrap(), "usr/lib/modules/6.9.0-rc1+");
    assert_eq!(place("m/6.9.0-rc1+/vmlinuz", "m/6.9.0-rc1+").unwrap(), "m/6.9.0-rc1+");
    assert_eq!(place("a/b/c", "host/lib/modules/6.9.0-rc1+").unwrap(), "host/lib/modules/6.9.0-rc1+");
    assert_eq!(place("a/b/c", "lib/modules/6.9.0-rc1+"), None);
    assert_eq!(place("boot/vmlinuz-x", "lib/modules/6.8.0"), None);
}

#[test]
fn the_tree_a_kernel_was_built_in_comes_first() {
    let lists = ["linux", "host/lib/modules/6.9.0-rc1+"];
    assert_eq!(found("linux/arch/x86/boot/bzImage", &lists, None).unwrap().unwrap(), "linux");
}

#[test]
fn a_named_directory_has_them_or_has_them_inside() {
    for lists in ["m", "m/lib/modules/6.9.0-rc1+", "m/usr/lib/modules/6.9.0-rc1+", "m/6.9.0-rc1+"] {
        assert_eq!(found("k", &[lists], Some("m")).unwrap().unwrap(), lists);
    }
    let said = format!("{:#}", found("k", &["m/lib/modules/6.8.0"], Some("m")).unwrap_err());
    assert!(said.contains("--modules ") && said.contains("no lib/modules/6.9.0-rc1+"), "{said}");
    assert!(format!("{:#}", found("k", &[], Some("nowhere")).unwrap_err()).contains("No such file"));
    assert!(format!("{:#}", found("k", &[], Some("k")).unwrap_err()).contains("not a directory"));
}

#[test]
fn a_kernel_without_a_release_has_the_only_modules_there_are() {
    let root = Root::new();
    let kernel = crate::exec::kernel::choose(Some(&root.file("k", super::super::made::vmlinux(b"")))).unwrap();
    root.file("m/lib/modules/1/modules.dep", "");
    let locate = |root: &Root| locate(&root.path("host"), &kernel, Some(&root.path("m")));
    assert_eq!(locate(&root).unwrap().unwrap().root, root.path("m/lib/modules/1"));
    root.file("m/lib/modules/2/modules.dep", "");
    assert!(locate(&root).is_err());
}

#[test]
fn depmods_list_gives_path_and_dependencies() {
    let root = Root::new();
    root.modules("m", &[("kernel/a-b.ko.zst", ""), ("kernel/c.ko.gz", "")]);
    root.file("m/modules.dep", "kernel/a-b.ko.zst: kernel/c.ko.gz kernel/d.ko\nkernel/c.ko.gz:\nkernel/gone.ko:\n");
    root.file("m/modules.builtin", "kernel/fs/over-lay.ko\n");
    let tree = Tree::new(root.path("m"));
    assert_eq!(tree.path("a_b").unwrap(), root.path("m/kernel/a-b.ko.zst"));
    assert!(tree.has("c") && !tree.has("gone") && !tree.has("d") && !tree.has("c.ko"));
    assert!(tree.built_in("over_lay") && !tree.built_in("overlay"));
    // depmod's last one is loaded first; what the module says itself does not count.
    assert_eq!(tree.dependencies("a_b", &object("x")).unwrap(), ["d", "c"]);
    assert!(tree.dependencies("c", &object("x")).unwrap().is_empty());
}

#[test]
fn builds_list_their_modules_in_several_ways() {
    // Before Linux 5.3, since then, and since 6.2; kernel/ is also a directory of the sources.
    for listed in [
        "kernel/fs/fuse/fuse.ko\nkernel/kernel/x.ko\n",
        "fs/fuse/fuse.ko\nkernel/x.ko\n",
        "fs/fuse/fuse.o\nkernel/x.o\n",
    ] {
        let root = Root::new();
        root.modules("t", &[("fs/fuse/fuse.ko", "a,b"), ("kernel/x.ko", "")]);
        root.file("t/modules.order", listed);
        let tree = Tree::new(root.path("t"));
        assert_eq!(tree.path("fuse").unwrap(), root.path("t/fs/fuse/fuse.ko"), "{listed}");
        assert_eq!(tree.path("x").unwrap(), root.path("t/kernel/x.ko"), "{listed}");
        assert_eq!(tree.dependencies("fuse", &object("a,b")).unwrap(), ["a", "b"]);
    }
}

#[test]
fn without_any_list_of_modules_the_files_are_found() {
    let root = Root::new();
    root.modules("m", USUAL);
    root.file("m/modules.builtin", "kernel/x.ko\n");
    std::os::unix::fs::symlink(root.path("m"), root.path("m/kernel/loop")).unwrap();
    let tree = Tree::new(root.path("m"));
    assert!(USUAL.iter().all(|(path, _)| tree.path(&name(path).unwrap()).unwrap() == root.path("m").join(path)));
    assert!(tree.is_complete());
    // In a build they are not looked for.
    root.file("m/include/config/auto.conf", "");
    let tree = Tree::new(root.path("m"));
    assert!(tree.is_build() && !tree.has("fuse") && !tree.is_complete());
}

#[test]
fn lists_are_complete_only_together() {
    let root = Root::new();
    root.file("m/modules.order", list(USUAL));
    assert!(!Tree::new(root.path("m")).is_complete());
    root.file("m/modules.builtin", "kernel/x.ko\n");
    assert!(Tree::new(root.path("m")).is_complete());
}

proptest! {
    #[test]
    fn any_list_can_be_read(text in "([a-c/.-]{0,6}|\\.ko|:| |\n|/\\.\\./|kernel/){0,60}") {
        let root = Root::new();
        root.file("d/modules.dep", &text);
        root.file("o/modules.order", &text);
        for dir in ["d", "o"] {
            let tree = Tree::new(root.path(dir));
            for module in ["a", "b", "ab", ""] {
                let _ = (tree.path(module), tree.dependencies(module, &object("")).unwrap());
            }
        }
    }
}
