//! Images that stand on others.

use super::model::{LEN, agrees, op, start};
use super::qcow2::{converted, exported, qemu_img};
use super::*;

fn overlay(path: &Path, base: &str, format: &str) -> Option<()> {
    let args = ["create", "-f", "qcow2", "-u", "-b", base, "-F", format, path.to_str().unwrap(), "100000"];
    qemu_img(&args).map(drop)
}

fn all(disk: &dyn Image) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_bytes(0, &mut bytes).unwrap();
    bytes
}

fn sum(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_overlay_is_a_vector_of_bytes_and_its_base_stays(
        ops in prop::collection::vec(op(), 1..30),
        base in prop_oneof![Just("raw"), Just("qcow2"), Just("vmdk"), Just("vdi"), Just("vpc")],
        zstd in any::<bool>(),
        kept in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let Some(mut path) = converted(dir.path(), &start(LEN), if zstd { "compression_type=zstd" } else { "cluster_size=4k" }, &["-c"])
        else { return Ok(()) };
        if base != "qcow2" {
            let other = dir.path().join("base.img");
            let force_size = if base == "vpc" { "subformat=fixed,force_size=on" } else { "" };
            let mut args = vec!["convert", "-O", base, path.to_str().unwrap(), other.to_str().unwrap()];
            if !force_size.is_empty() {
                args.splice(1..1, ["-o", force_size]);
            }
            qemu_img(&args);
            path = other;
        }
        let before = sum(&path);
        let new = dir.path().join("new.qcow2");
        let writes = if kept { Writes::Overlay(new.clone()) } else { Writes::Throwaway };
        let ops: Vec<_> = ops.into_iter().filter(|op| kept || !matches!(op, model::Op::Reopen)).collect();
        let open = || until(|| match new.exists() {
            true => open(&new, &how(Format::Auto, false)).ok(),
            false => open(&path, &How { writes: writes.clone(), ..how(Format::Auto, false) }).ok(),
        });
        let (model, certain) = agrees(&ops, start(LEN), open)?;
        prop_assert!(sum(&path) == before);
        if kept {
            qemu_img(&["check", new.to_str().unwrap()]);
            let now = exported(dir.path(), &new);
            prop_assert!((0..LEN).all(|i| !certain[i] || now[i] == model[i]));
        }
    }
}

#[test]
fn backing_files_are_found_beside_their_overlays() {
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join("sub");
    std::fs::create_dir(&sub).unwrap();
    let mut bytes = start(LEN);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(dir.path().join("base.raw"), &bytes).unwrap();
    let (a, b) = (sub.join("a.qcow2"), dir.path().join("b.qcow2"));
    let Some(()) = overlay(&a, "../base.raw", "raw") else { return };
    overlay(&b, "sub/a.qcow2", "qcow2");
    let disk = open(&b, &how(Format::Auto, false)).unwrap();
    assert!(all(disk.as_ref())[..LEN] == bytes);
    // The base has a reader, who lets nobody write.
    let says = refusal(&dir.path().join("base.raw"), Format::Known(Kind::Raw), false);
    assert!(says.contains("is already open in this kiln"), "{says}");
}

#[test]
fn an_image_cannot_have_any_file_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("images")).unwrap();
    let (secret, image) = (dir.path().join("key"), dir.path().join("images/evil.qcow2"));
    std::fs::write(&secret, "-----BEGIN".repeat(1000)).unwrap();
    for name in ["../key", secret.to_str().unwrap(), "../images/../key"] {
        let Some(()) = overlay(&image, name, "raw") else { return };
        let says = refusal(&image, Format::Auto, true);
        assert!(says.contains("not recognisably a disk image") && says.contains("evil.qcow2"), "{says}");
    }
}

#[test]
fn chains_that_go_wrong_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let Some(()) = overlay(&at("a"), "b", "qcow2") else { return };
    overlay(&at("b"), "a", "qcow2");
    let says = refusal(&at("a"), Format::Auto, true);
    assert!(says.contains("go in a circle") && says.contains("/a -> ") && says.contains("/b -> "), "{says}");
    for (base, format, why) in [
        ("nbd://localhost/x", "raw", "`nbd:` is not a file"),
        ("json:{}", "raw", "`json:` is not a file"),
        ("none", "raw", "No such file"),
        (".", "raw", "is a directory"),
        ("/dev/null", "raw", "neither a file nor a block device"),
        ("b", "luks", "backing format `luks`: kiln does not know it"),
    ] {
        overlay(&at("c"), base, format);
        let says = refusal(&at("c"), Format::Auto, true);
        assert!(says.contains(why) && says.contains(at("c").to_str().unwrap()), "{says}");
    }
    for i in 0..70 {
        overlay(&at(&format!("n{i}")), &format!("n{}", i + 1), "qcow2");
    }
    assert!(refusal(&at("n0"), Format::Auto, true).contains("more than 64 images"));
}
