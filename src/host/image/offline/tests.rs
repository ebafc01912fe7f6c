use super::super::{Format, Kind};
use super::*;
use std::process::Command;

fn qemu_img(args: &[&str]) -> bool {
    let Ok(out) = Command::new("qemu-img").args(args).output() else {
        println!("SKIPPED: no qemu-img here (package qemu-utils)");
        return false;
    };
    assert!(out.status.success(), "qemu-img {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    true
}

fn plan(kind: Kind, size: u64) -> Plan {
    Plan { kind, size: Some(size), backing: None, cluster: None }
}

/// A disk of 3 MiB and a bit, with holes and with zeroes that are stored.
fn disk(path: &Path) {
    let mut bytes = vec![0; (3 << 20) + 1536];
    bytes[70_000..400_000].fill(3);
    bytes[2 << 20..(2 << 20) + 9000].iter_mut().enumerate().for_each(|(i, b)| *b = (i % 251) as u8);
    *bytes.last_mut().unwrap() = 9;
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_format_is_converted_into_each_that_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let name = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    disk(&dir.path().join("raw"));
    let kinds: [(&str, &[&str]); 8] = [
        ("raw", &[]),
        ("qcow2", &["-o", "compat=0.10"]),
        ("qcow2", &["-c"]),
        ("qcow2", &["-c", "-o", "compression_type=zstd"]),
        ("vmdk", &["-o", "subformat=streamOptimized"]),
        ("vdi", &[]),
        ("vpc", &["-o", "force_size=on"]),
        ("vpc", &["-o", "subformat=fixed,force_size=on"]),
    ];
    for (i, (kind, options)) in kinds.iter().enumerate() {
        let from = name(&format!("from{i}"));
        if !qemu_img(&[&["convert", "-f", "raw", "-O", kind][..], options, &[&name("raw"), &from]].concat()) {
            return;
        }
        let targets = [(Kind::Raw, None), (Kind::Qcow2, None), (Kind::Qcow2, Some(512)), (Kind::Qcow2, Some(2 << 20))];
        for (n, (to, cluster)) in targets.into_iter().enumerate() {
            let new = name(&format!("to{i}-{n}"));
            let mut told = Vec::new();
            let ends = ((Path::new(&from), Format::Auto), (Path::new(&new), to));
            let size = convert(ends.0, ends.1, cluster, |at, of| told.push((at, of))).unwrap();
            assert_eq!(size, (3 << 20) + 1536, "{kind} {options:?}");
            assert!(told.is_sorted() && told.last().is_some_and(|(at, of)| at == of));
            qemu_img(&["compare", "-f", "raw", "-F", &to.to_string(), &name("raw"), &new]);
            if to == Kind::Qcow2 {
                qemu_img(&["check", "-q", "-f", "qcow2", &new]);
            }
            assert!(check::check(Path::new(&new), Format::Known(to), false).unwrap().clean());
        }
        let found = info(Path::new(&from), Format::Auto).unwrap();
        assert_eq!((found.kind.to_string().as_str(), found.size), (*kind, (3 << 20) + 1536));
    }
    // The holes are still there.
    let (whole, used) = (3 << 20, info(Path::new(&name("to0-0")), Format::Auto).unwrap().used);
    assert!(used < whole / 2, "{used} bytes are used");
}

#[test]
fn a_conversion_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    disk(&dir.path().join("raw"));
    let raw = dir.path().join("raw");
    if !qemu_img(&["convert", "-O", "vdi", raw.to_str().unwrap(), from.to_str().unwrap()]) {
        return;
    }
    // The map of blocks points behind the end of the file.
    let mut bytes = fs::read(&from).unwrap();
    let map = u32::from_le_bytes(bytes[0x154..0x158].try_into().unwrap()) as usize;
    bytes[map + 4..map + 8].copy_from_slice(&0x1_0000u32.to_le_bytes());
    fs::write(&from, bytes).unwrap();
    let e = convert((&from, Format::Auto), (&to, Kind::Raw), None, |_, _| {}).unwrap_err();
    assert!(format!("{e:#}").contains("block 1"), "{e:#}");
    assert!(check::check(&from, Format::Auto, false).unwrap().wrong.is_some());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "something is left");
    fs::write(&to, "mine").unwrap();
    let e = convert((&raw, Format::Auto), (&to, Kind::Raw), None, |_, _| {}).unwrap_err();
    assert!(e.to_string().contains("it exists"));
    assert_eq!(fs::read(&to).unwrap(), b"mine");
}

#[test]
fn images_are_made_as_they_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let (base, top) = (dir.path().join("base.img"), dir.path().join("top.qcow2"));
    create(&base, &plan(Kind::Raw, 10 << 20)).unwrap();
    let backing = Some((base.clone(), Format::Known(Kind::Raw)));
    let over = Plan { kind: Kind::Qcow2, size: None, backing: backing.clone(), cluster: Some(4096) };
    assert_eq!(create(&top, &over).unwrap(), 10 << 20);
    let found = info(&top, Format::Auto).unwrap();
    assert_eq!(found.qcow2.map(|q| (q.version, q.cluster)), Some((3, 4096)));
    assert!(matches!(&found.backing[..], [(path, Ok(Kind::Raw))] if path.ends_with("base.img")));
    let no = |plan: &Plan, why: &str| {
        let path = dir.path().join("no");
        let e = format!("{:#}", create(&path, plan).unwrap_err());
        assert!(e.contains(why) && !path.exists(), "{e}");
    };
    no(&Plan { kind: Kind::Raw, ..over.clone() }, "qcow2");
    no(&Plan { size: None, ..plan(Kind::Qcow2, 1) }, "wants a size");
    no(&plan(Kind::Vdi, 1 << 20), "only reads");
    no(&plan(Kind::Qcow2, 100), "no size");
    no(&plan(Kind::Qcow2, 1 << 62), "too many");
    no(&Plan { cluster: Some(3000), ..plan(Kind::Qcow2, 1 << 20) }, "cluster size");
    fs::remove_file(&base).unwrap();
    assert!(matches!(&info(&top, Format::Auto).unwrap().backing[..], [(_, Err(why))] if why.contains("base.img")));
}

#[test]
fn a_longer_backing_file_does_not_come_to_light() {
    let dir = tempfile::tempdir().unwrap();
    let (base, top) = (dir.path().join("base.img"), dir.path().join("top.qcow2"));
    fs::write(&base, vec![7; 2 << 20]).unwrap();
    let backing = Some((base, Format::Known(Kind::Raw)));
    create(&top, &Plan { kind: Kind::Qcow2, size: Some(300 << 10), backing, cluster: None }).unwrap();
    let grown = resize(&top, Format::Auto, false, |old| Ok(old + (1 << 20))).unwrap();
    assert_eq!(grown, (300 << 10, (300 << 10) + (1 << 20)));
    let how = How { format: Format::Auto, readonly: true, direct: false, writes: Writes::Image };
    let mut bytes = vec![1; grown.1 as usize];
    open(&top, &how).unwrap().read_bytes(0, &mut bytes).unwrap();
    let (old, new) = bytes.split_at(300 << 10);
    assert!(old.iter().all(|b| *b == 7) && new.iter().all(|b| *b == 0));
    assert!(resize(&top, Format::Auto, false, |_| Ok(512)).unwrap_err().to_string().contains("--shrink"));
}

#[test]
fn an_image_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.qcow2");
    create(&path, &plan(Kind::Qcow2, 1 << 20)).unwrap();
    let how = How { format: Format::Auto, readonly: false, direct: false, writes: Writes::Image };
    let image = open(&path, &how).unwrap();
    let refused = |e: anyhow::Error| assert!(e.to_string().starts_with("lock "), "{e:#}");
    refused(create_snapshot(&path, Format::Auto, "s").unwrap_err());
    refused(resize(&path, Format::Auto, false, |old| Ok(old * 2)).unwrap_err());
    refused(check::check(&path, Format::Auto, true).err().unwrap());
    refused(convert((&path, Format::Auto), (&dir.path().join("b"), Kind::Raw), None, |_, _| {}).unwrap_err());
    assert_eq!(info(&path, Format::Auto).unwrap().size, 1 << 20);
    drop(image);
}
