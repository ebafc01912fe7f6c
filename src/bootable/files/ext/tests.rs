use super::super::{Content, FileSystem, Held, Node, walk};
use crate::bootable::disk::Part;
use crate::bootable::sample::{Tree, UUID, have, noise, on, tool};
use proptest::prelude::*;

/// What the tools make by default, and what they made once.
const KINDS: [(&str, &[&str], &str); 11] = [
    ("ext2, 1 KiB", &["-t", "ext2", "-b", "1024"], "ext2"),
    ("ext2, revision 0", &["-t", "ext2", "-b", "1024", "-r", "0", "-O", "none"], "ext2"),
    ("ext3, 1 KiB, small inodes", &["-t", "ext3", "-b", "1024", "-I", "128"], "ext3"),
    ("ext3", &["-t", "ext3", "-b", "4096"], "ext3"),
    ("ext4", &["-t", "ext4"], "ext4"),
    ("ext4 without 64bit", &["-t", "ext4", "-O", "^64bit,^metadata_csum"], "ext4"),
    ("ext4, inline data", &["-t", "ext4", "-O", "inline_data", "-I", "512"], "ext4"),
    ("ext4, meta_bg", &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode", "-g", "1024"], "ext4"),
    ("ext4, bigalloc", &["-t", "ext4", "-O", "bigalloc"], "ext4"),
    ("ext4, no filetype", &["-t", "ext4", "-O", "^filetype"], "ext4"),
    ("ext4, large_dir and ea_inode", &["-t", "ext4", "-O", "large_dir,ea_inode,casefold"], "ext4"),
];

fn files<T>(image: Vec<u8>, then: impl FnOnce(&dyn FileSystem, &Part) -> T) -> T {
    on(image, |disk| match super::super::open(disk.whole()).unwrap() {
        Held::Files(fs) => then(fs.as_ref(), &disk.whole()),
        Held::Broken(e) => panic!("{e:#}"),
        Held::Foreign(name) => panic!("{name}"),
        Held::Nothing => panic!("nothing"),
    })
}

fn read(fs: &dyn FileSystem, part: &Part, path: &str) -> Option<Vec<u8>> {
    let node = walk(fs, part, path).unwrap()?;
    Some(fs.content(&node, 1 << 30).unwrap().bytes(part).unwrap())
}

fn tree() -> (Tree, Vec<(String, Vec<u8>)>) {
    let long = "d/".repeat(45) + "end";
    let tree = Tree::new(&[]);
    let mut sparse = vec![0; 700_000];
    sparse[300_000..300_100].fill(7);
    sparse[699_999] = 7;
    let mut all = vec![
        ("/empty".to_string(), vec![]),
        ("/small".to_string(), b"hello".to_vec()),
        ("/of 100".to_string(), noise(100, 1)),
        ("/of 2600000".to_string(), noise(2_600_000, 2)),
        ("/sparse".to_string(), sparse),
        (format!("/{long}"), b"deep".to_vec()),
    ];
    for i in 0..400 {
        all.push((format!("/many/a name of some length, number {i}"), vec![i as u8]));
    }
    all.iter().for_each(|(name, bytes)| tree.add(name, bytes));
    tree.add("short -> small", b"");
    tree.add(&format!("long -> {long}"), b"");
    tree.add("many/up -> ../short", b"");
    tree.add("many/top -> /many/../small", b"");
    tree.add("loop -> loop", b"");
    (tree, all)
}

#[test]
fn every_kind_is_read() {
    if !have("mke2fs") {
        return;
    }
    let (tree, all) = tree();
    for (name, options, kind) in KINDS {
        let image = std::fs::read(tree.ext("24M", options)).unwrap();
        files(image, |fs, part| {
            assert_eq!((fs.kind(), fs.uuid(), fs.label()), (kind, Some(UUID), Some("root")), "{name}");
            for (path, bytes) in &all {
                assert!(read(fs, part, path).as_ref() == Some(bytes), "{name}: {path}");
            }
            for (link, bytes) in [
                ("/short", "hello"),
                ("/long", "deep"),
                ("/many/up", "hello"),
                ("/many/top", "hello"),
                ("//many//./up", "hello"),
            ] {
                assert_eq!(read(fs, part, link).unwrap(), bytes.as_bytes(), "{name}: {link}");
            }
            assert!(walk(fs, part, "/loop").unwrap_err().to_string().contains("symbolic links"), "{name}");
            assert!(walk(fs, part, "/small/x").unwrap().is_none() && walk(fs, part, "/none").unwrap().is_none());
            let names = fs.names(&walk(fs, part, "/many").unwrap().unwrap()).unwrap();
            assert_eq!(names.len(), 404, "{name}");
        });
    }
}

/// A triple indirect block: more than 64 MiB in blocks of 1 KiB.
#[test]
fn block_lists_have_three_levels() {
    if !have("mke2fs") {
        return;
    }
    let tree = Tree::new(&[]);
    let len = 70 << 20;
    let file = std::fs::File::create(tree.root().join("large")).unwrap();
    file.set_len(len).unwrap();
    for at in [12 << 10, 1 << 20, 66 << 20, len - 5] {
        std::os::unix::fs::FileExt::write_all_at(&file, b"mark!", at).unwrap();
    }
    let image = std::fs::read(tree.ext("24M", &["-t", "ext2", "-b", "1024"])).unwrap();
    files(image, |fs, part| {
        assert_eq!(read(fs, part, "/large"), Some(std::fs::read(tree.root().join("large")).unwrap()));
        let node = walk(fs, part, "/large").unwrap().unwrap();
        assert!(format!("{:#}", fs.content(&node, 1 << 20).unwrap_err()).contains("73400320 bytes, more than 1048576"));
    });
}

/// A file's block is changed in a journal that is not played back; then e2fsck plays it back.
#[test]
fn a_journal_counts() {
    if !have("debugfs") || !have("e2fsck") {
        return;
    }
    let kinds: [(&str, &[&str], &str); 4] = [
        ("ext3", &["-t", "ext3", "-b", "1024", "-J", "size=1"], ""),
        ("ext4, checksums 3", &["-t", "ext4", "-b", "4096"], "-c -v 3"),
        ("ext4, checksums 2", &["-t", "ext4", "-b", "1024", "-O", "^64bit"], "-c -v 2"),
        ("ext4, no checksums", &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum"], ""),
    ];
    for (name, options, open) in kinds {
        let tree = Tree::new(&[("file", &noise(9000, 3)), ("other", &noise(9000, 4))]);
        let image = tree.ext("16M", options);
        let image = image.to_str().unwrap();
        let block = |file: &str| {
            let map = tool("debugfs", &["-R", &format!("bmap /{file} 0"), image]);
            map.trim().parse::<u64>().unwrap()
        };
        let size = if options.contains(&"4096") { 4096 } else { 1024 };
        // Begins like a block of the journal, so that it is escaped there.
        let escaped = [&[0xc0, 0x3b, 0x39, 0x98][..], &noise(size - 4, 5)].concat();
        let (first, second) = (tree.dir.path().join("first"), tree.dir.path().join("second"));
        std::fs::write(&first, noise(size, 6)).unwrap();
        std::fs::write(&second, noise(size, 7)).unwrap();
        let script = tree.dir.path().join("script");
        let (file, other) = (block("file"), block("other"));
        let lines = format!(
            "jo {open}\njw -b {file} {}\njw -b {other} {}\njw -b {file} {}\njw -r {other} /dev/null\njc\n",
            first.display(),
            first.display(),
            second.display(),
        );
        std::fs::write(&script, lines).unwrap();
        tool("debugfs", &["-w", "-f", script.to_str().unwrap(), image]);
        let _ = escaped;
        let before = std::fs::read(image).unwrap();
        let seen = files(before, |fs, part| (read(fs, part, "/file").unwrap(), read(fs, part, "/other").unwrap()));
        assert_eq!(&seen.0[..size], noise(size, 7), "{name}");
        let repaired = std::process::Command::new("/sbin/e2fsck").args(["-fy", image]).output().unwrap();
        assert!(repaired.status.code().unwrap() < 4, "{name}: {}", String::from_utf8_lossy(&repaired.stdout));
        let after = std::fs::read(image).unwrap();
        let played = files(after, |fs, part| (read(fs, part, "/file").unwrap(), read(fs, part, "/other").unwrap()));
        assert!(seen == played, "{name}");
    }
}

#[test]
fn what_is_refused_is_named() {
    if !have("mke2fs") {
        return;
    }
    let tree = Tree::new(&[("a", b"a")]);
    let good = std::fs::read(tree.ext("1M", &["-t", "ext4"])).unwrap();
    let said = |change: &dyn Fn(&mut [u8])| {
        let mut image = good.clone();
        change(&mut image);
        on(image, |disk| match super::super::open(disk.whole()).unwrap() {
            Held::Broken(e) => format!("{e:#}"),
            Held::Files(fs) => match walk(fs.as_ref(), &disk.whole(), "/a") {
                Ok(found) => format!("{}", found.is_some()),
                Err(e) => format!("{e:#}"),
            },
            _ => String::new(),
        })
    };
    assert_eq!(said(&|_| ()), "true");
    let put =
        |at: usize, bytes: &'static [u8]| move |image: &mut [u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    for (at, bytes, want) in [
        (1024 + 0x18, &[9u8, 0, 0, 0][..], "superblock: s_log_block_size is 9"),
        (1024 + 0x60, &[0xc2, 2, 0, 0x80], "features that kiln does not know (s_feature_incompat 0x80000000)"),
        (1024 + 0x60, &[0xc3, 2, 0, 0], "the feature compression"),
        (1024 + 0x58, &[3, 1], "s_inode_size is 259"),
        (1024 + 0x28, &[0, 0, 0, 0], "s_inodes_per_group is 0"),
        (1024 + 0x20, &[0, 0, 0, 0], "s_blocks_per_group is 0"),
        (1024, &[1, 0, 0, 0], "inode 2: there are inodes 1 to 1"),
    ] {
        let text = said(&put(at, bytes));
        assert!(text.contains(want), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Bytes of what describes the files are changed: there is an answer or an error, soon, and no panic.
    #[test]
    fn damage_is_survived(kind in 0..KINDS.len(), damage in prop::collection::vec((0usize..120_000, any::<u8>()), 1..40), log in any::<bool>()) {
        thread_local!(static MADE: std::cell::RefCell<std::collections::HashMap<(usize, bool), Vec<u8>>> = Default::default());
        if !have("mke2fs") {
            return Ok(());
        }
        let mut image = MADE.with_borrow_mut(|made| made.entry((kind, log)).or_insert_with(|| {
            let tree = Tree::new(&[("boot/grub/grub.cfg", b"linux /a\n"), ("link -> boot/grub/grub.cfg", b""), ("b", &noise(90_000, 9))]);
            let mut image = std::fs::read(tree.ext("2M", KINDS[kind].1)).unwrap();
            if log {
                image[1024 + 0x60] |= 4;
            }
            image
        }).clone());
        for (at, byte) in damage {
            // The superblock, group descriptors and inodes are hit more often than not.
            image[if at % 3 == 0 { 1024 + at % 1024 } else { at }] = byte;
        }
        on(image, |disk| {
            let part = disk.whole();
            if let Ok(Held::Files(fs)) = super::super::open(part) {
                for path in ["/link", "/b", "/boot/grub"] {
                    let Ok(Some(node)) = walk(fs.as_ref(), &part, path) else { continue };
                    let node: Node = node;
                    let _ = fs.names(&node);
                    if let Ok(Content::Runs(runs)) = fs.content(&node, 1 << 20) {
                        prop_assert!(Content::Runs(runs).len() <= 1 << 20);
                    }
                }
            }
            Ok(())
        })?;
    }
}
