use super::super::sample::{Tree, have, noise, on, tool};
use super::*;
use proptest::prelude::*;
use std::path::Path;

type Files = Vec<(String, Vec<u8>)>;

fn files<T>(image: Vec<u8>, then: impl FnOnce(&dyn FileSystem, &Part) -> T) -> T {
    on(image, |disk| match open(disk.whole()).unwrap() {
        Held::Files(fs) => then(fs.as_ref(), &disk.whole()),
        Held::Broken(e) => panic!("{e:#}"),
        Held::Foreign(name) => panic!("{name}"),
        Held::Nothing => panic!("nothing"),
    })
}

fn content(fs: &dyn FileSystem, part: &Part, path: &str) -> Option<Vec<u8>> {
    let node = walk(fs, part, path).unwrap()?;
    Some(fs.content(&node, 1 << 30).unwrap().bytes(part).unwrap())
}

fn some_files() -> Files {
    let mut all: Files = vec![
        ("EFI/Linux/A long name, with blanks.conf".into(), b"long".to_vec()),
        ("EFI/BOOT/GRUB.CFG".into(), b"short".to_vec()),
        ("empty".into(), vec![]),
        ("large".into(), noise(300_000, 1)),
    ];
    all.extend((0..150).map(|i| (format!("dir/entry number {i}"), vec![i as u8; 3])));
    all
}

/// A FAT file system made by mkfs.vfat, filled by mtools.
fn fat(width: &str, size: u64, more: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (image, file) = (dir.path().join("image"), dir.path().join("file"));
    let path = image.to_str().unwrap();
    std::fs::File::create(&image).unwrap().set_len(size).unwrap();
    tool("mkfs.vfat", &[&["-F", width, "-i", "6b696c6e", "-n", "ESP"], more, &[path]].concat());
    for directory in ["EFI", "EFI/Linux", "EFI/BOOT", "dir"] {
        tool("mmd", &["-i", path, &format!("::{directory}")]);
    }
    for (name, bytes) in some_files() {
        std::fs::write(&file, bytes).unwrap();
        tool("mcopy", &["-i", path, file.to_str().unwrap(), &format!("::{name}")]);
    }
    std::fs::read(&image).unwrap()
}

const FATS: [(&str, u64, &[&str], &str); 4] = [
    ("12", 4 << 20, &["-s", "4"], "FAT12"),
    ("16", 16 << 20, &["-s", "1"], "FAT16"),
    ("32", 40 << 20, &["-s", "1"], "FAT32"),
    ("16", 40 << 20, &["-S", "2048", "-s", "1"], "FAT16"),
];

#[test]
fn every_fat_is_read() {
    if !have("mkfs.vfat") || !have("mcopy") {
        return;
    }
    for (width, size, more, kind) in FATS {
        files(fat(width, size, more), |fs, part| {
            assert_eq!((fs.kind(), fs.uuid(), fs.label()), (kind, Some("6B69-6C6E"), Some("ESP")));
            for (path, bytes) in some_files() {
                assert!(content(fs, part, &path) == Some(bytes), "{kind}: {path}");
            }
            // Case does not matter, and `..` leads back.
            assert_eq!(content(fs, part, "/efi/linux/../BOOT/grub.cfg").unwrap(), b"short");
            let names = fs.names(&walk(fs, part, "/EFI").unwrap().unwrap()).unwrap();
            assert_eq!(names.iter().filter(|n| !n.starts_with('.')).collect::<Vec<_>>(), ["Linux", "BOOT"]);
        });
    }
}

#[test]
fn a_chain_of_clusters_ends() {
    if !have("mkfs.vfat") || !have("mcopy") {
        return;
    }
    let good = fat("16", 16 << 20, &["-s", "1", "-R", "1", "-f", "1"]);
    // Every cluster is followed by the third one.
    let mut image = good.clone();
    let table = usize::from(u16::from_le_bytes([good[22], good[23]])) * 512;
    image[512..512 + table].chunks_exact_mut(2).for_each(|entry| entry.copy_from_slice(&[3, 0]));
    files(image, |fs, part| {
        let said = format!("{:#}", walk(fs, part, "/EFI/BOOT").unwrap_err());
        assert!(said.contains("a directory of more than 2097152 bytes"), "{said}");
    });
    let mut image = good;
    image[512..512 + table].fill(0xff);
    files(image, |fs, part| {
        let large = walk(fs, part, "/large").unwrap().unwrap();
        let said = format!("{:#}", fs.content(&large, 1 << 20).unwrap_err());
        assert!(said.contains("fewer bytes than its directory entry says"), "{said}");
    });
}

/// An ISO made by xorriso in the ways of mkisofs.
fn iso(tree: &Path, how: &[&str]) -> Vec<u8> {
    let image = tree.parent().unwrap().join("iso");
    let _ = std::fs::remove_file(&image);
    let fixed = ["-as", "mkisofs", "-quiet", "-V", "LIVE"];
    tool("xorriso", &[&fixed[..], how, &["-o", image.to_str().unwrap(), tree.to_str().unwrap()]].concat());
    std::fs::read(&image).unwrap()
}

fn iso_tree() -> (Tree, Files) {
    let mut all = some_files();
    all.push(("a/b/c/d/e/f/g/h/i/j/deep".into(), b"deep".to_vec()));
    let tree = Tree::new(&[]);
    all.iter().for_each(|(name, bytes)| tree.add(name, bytes));
    (tree, all)
}

#[test]
fn every_iso_is_read() {
    if !have("xorriso") {
        return;
    }
    let (tree, all) = iso_tree();
    let long = format!("./{}/end", "component/".repeat(30).trim_end_matches('/'));
    for link in ["link -> dir/../EFI/BOOT/GRUB.CFG".to_string(), format!("far -> {long}"), "root -> /empty".to_string()]
    {
        tree.add(&link, b"");
    }
    tree.add(long.trim_start_matches("./"), b"end of a long link");
    files(iso(&tree.root(), &["-R"]), |fs, part| {
        assert_eq!((fs.kind(), fs.label()), ("ISO 9660", Some("LIVE")));
        assert_eq!(fs.uuid().unwrap().len(), "2026-01-01-00-00-00-00".len());
        for (path, bytes) in &all {
            assert!(content(fs, part, path).as_ref() == Some(bytes), "Rock Ridge: {path}");
        }
        assert_eq!(content(fs, part, "/link").unwrap(), b"short");
        assert_eq!(content(fs, part, "/far").unwrap(), b"end of a long link");
        assert!(walk(fs, part, "/efi").unwrap().is_none());
    });
    files(iso(&tree.root(), &["-J", "-joliet-long", "--norock"]), |fs, part| {
        for (path, bytes) in all.iter().filter(|(p, _)| !p.contains("deep")) {
            assert!(content(fs, part, path).as_ref() == Some(bytes), "Joliet: {path}");
        }
    });
    files(iso(&tree.root(), &["--norock"]), |fs, part| {
        assert_eq!(content(fs, part, "/efi/boot/grub.cfg").unwrap(), b"short");
    });
}

#[test]
fn what_is_not_read_has_a_name() {
    for (at, magic, name) in [
        (0usize, &b"XFSB"[..], "xfs"),
        (0x1_0040, b"_BHRfS_M", "btrfs"),
        (0, b"LUKS\xba\xbe\0\x02", "LUKS"),
        (0x218, b"LVM2 001", "LVM"),
        (3, b"NTFS    ", "NTFS"),
        (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
    ] {
        let mut image = vec![0; 1 << 20];
        image[at..at + magic.len()].copy_from_slice(magic);
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(is(&image));
        let held = on(image, |disk| match open(disk.whole()).unwrap() {
            Held::Foreign(name) => name,
            _ => "",
        });
        assert!(held.contains(name), "{name}: {held}");
    }
    assert!(on(vec![0; 1 << 20], |disk| matches!(open(disk.whole()).unwrap(), Held::Nothing)));
    assert!(on(vec![], |disk| matches!(open(disk.whole()).unwrap(), Held::Nothing)));
}

/// Everything that can be asked, of all that has a name down to the third level.
fn explore(image: Vec<u8>) -> Result<(), TestCaseError> {
    on(image, |disk| {
        let part = disk.whole();
        let Ok(Held::Files(fs)) = open(part) else { return Ok(()) };
        let mut todo = vec![(String::new(), 0)];
        while let Some((path, depth)) = todo.pop() {
            let Ok(Some(node)) = walk(fs.as_ref(), &part, &path) else { continue };
            if let Ok(Content::Runs(runs)) = fs.content(&node, 1 << 20) {
                prop_assert!(Content::Runs(runs).len() <= 1 << 20);
            }
            if depth < 3
                && let Ok(names) = fs.names(&node)
            {
                todo.extend(names.iter().take(20).map(|name| (format!("{path}/{name}"), depth + 1)));
            }
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_damaged_fat_is_survived(kind in 0..FATS.len(), damage in prop::collection::vec((0usize..60_000, any::<u8>()), 1..40)) {
        thread_local!(static MADE: std::cell::RefCell<std::collections::HashMap<usize, Vec<u8>>> = Default::default());
        if !have("mkfs.vfat") || !have("mcopy") {
            return Ok(());
        }
        let (width, size, more, _) = FATS[kind];
        let mut image = MADE.with_borrow_mut(|made| made.entry(kind).or_insert_with(|| fat(width, size, more)).clone());
        for (at, byte) in damage {
            image[if at % 4 == 0 { 11 + at % 60 } else { at }] = byte;
        }
        explore(image)?;
    }

    #[test]
    fn a_damaged_iso_is_survived(how in 0usize..3, damage in prop::collection::vec((0usize..120_000, any::<u8>()), 1..60)) {
        thread_local!(static MADE: std::cell::RefCell<std::collections::HashMap<usize, Vec<u8>>> = Default::default());
        if !have("xorriso") {
            return Ok(());
        }
        const HOW: [&[&str]; 3] = [&["-R"], &["-J", "--norock"], &["--norock"]];
        let mut image = MADE.with_borrow_mut(|made| made.entry(how).or_insert_with(|| iso(&iso_tree().0.root(), HOW[how])).clone());
        let len = image.len();
        for (at, byte) in damage {
            // Nothing is in the first 16 blocks.
            image[(32768 + at) % len] = byte;
        }
        explore(image)?;
    }
}
