use super::super::made::{RELEASE, Root, gather, ko};
use super::super::tree::locate;
use super::*;

/// A tree of modules under `m`; with `dep`, modules.dep has these lines.
fn tree(modules: &[(&str, &str)], dep: Option<&str>) -> (Root, Tree) {
    let root = Root::new();
    root.modules("m", modules);
    root.file("m/modules.builtin", "kernel/built-in.ko\n");
    if let Some(dep) = dep {
        root.file("m/modules.dep", dep);
    }
    let kernel = root.kernel("k");
    let tree = locate(&root.path("host"), &kernel, Some(&root.path("m"))).unwrap().unwrap();
    (root, tree)
}

fn order(tree: &Tree, names: &[&str]) -> Result<Vec<String>> {
    let mut order = Order::new(Some(tree));
    for name in names {
        order.add(name)?;
    }
    Ok(order.finish().into_iter().map(|m| m.name).collect())
}

#[test]
fn each_comes_once_and_after_what_it_needs() {
    let modules = [("a.ko", "b,c,built-in"), ("b.ko", "c"), ("c.ko", "d"), ("d.ko", ""), ("e.ko", "b")];
    let (_root, found) = tree(&modules, None);
    assert_eq!(order(&found, &["a", "e", "c"]).unwrap(), ["d", "c", "b", "a", "e"]);
    // The same by depmod's list, which has all dependencies, the last one to be loaded first.
    let dep = "a.ko: b.ko c.ko d.ko built-in.ko\nb.ko: c.ko d.ko\nc.ko: d.ko\nd.ko:\ne.ko: b.ko c.ko d.ko\n";
    let (_root, found) = tree(&modules, Some(dep));
    assert_eq!(order(&found, &["a", "e", "c"]).unwrap(), ["d", "c", "b", "a", "e"]);
}

#[test]
fn packed_modules_are_unpacked_whatever_they_are_called() {
    let modules = [("a.ko.xz", ""), ("b.ko.zst", ""), ("c.ko.gz", ""), ("d.ko", "")];
    let (root, found) = tree(&modules, None);
    let plain = ko("", RELEASE, &[]);
    let gzip = std::fs::read(root.path("m/c.ko.gz")).unwrap();
    assert!(gzip.len() < plain.len());
    root.file("m/e.ko", gzip);
    let (names, mut all) = (["a", "b", "c", "d", "e"], Order::new(Some(&found)));
    names.iter().for_each(|name| all.add(name).unwrap());
    for module in all.finish() {
        assert!(gather(&module.parts) == plain, "{}", module.name);
        assert_eq!(module.release.as_deref(), Some(RELEASE));
    }
}

#[test]
fn a_circle_ends() {
    let circle = [("a.ko", "b"), ("b.ko", "c"), ("c.ko", "a")];
    let (_root, found) = tree(&circle, None);
    let said = format!("{:#}", order(&found, &["a"]).unwrap_err());
    assert!(said.contains("module a depends on itself") && said.contains("module c needs a"), "{said}");
    let (_root, found) = tree(&circle, Some("a.ko: b.ko\nb.ko: a.ko\n"));
    assert!(order(&found, &["a"]).is_err());
    let (_root, found) = tree(&[("a.ko", "a")], None);
    assert!(order(&found, &["a"]).is_err());
}

#[test]
fn what_is_needed_and_not_there_is_named() {
    let (_root, found) = tree(&[("virtiofs.ko", "fuse")], None);
    let said = format!("{:#}", order(&found, &["virtiofs"]).unwrap_err());
    assert!(said.contains("module virtiofs needs fuse") && said.contains("there is no module fuse"), "{said}");
}

#[test]
fn too_long_a_chain_is_an_error() {
    let names: Vec<_> = (0..DEPTH + 2).map(|n| (format!("m{n}.ko"), format!("m{}", n + 1))).collect();
    let modules: Vec<_> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let (_root, found) = tree(&modules, None);
    assert!(format!("{:#}", order(&found, &["m0"]).unwrap_err()).contains("too many"));
}

#[test]
fn a_damaged_module_is_named() {
    let (root, found) = tree(&[("a.ko", "")], None);
    for bad in [&b""[..], b"\x7fELF", b"no module at all", &[0xfd, b'7', b'z', b'X', b'Z', 0, 1, 2, 3]] {
        root.file("m/a.ko", bad);
        let said = format!("{:#}", order(&found, &["a"]).unwrap_err());
        assert!(said.contains("/m/a.ko: "), "{said}");
    }
    std::fs::remove_file(root.path("m/a.ko")).unwrap();
    std::fs::create_dir(root.path("m/a.ko")).unwrap();
    assert!(order(&found, &["a"]).is_err());
}
