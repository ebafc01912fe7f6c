use super::super::made::{gather, ko, object};
use super::*;
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Result<Object> {
    Object::parse(Part::Bytes(Arc::new(bytes.to_vec())))
}

/// As a file, where only pieces are read.
fn in_file(bytes: &[u8]) -> Object {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    Object::parse(Part::File { file: Arc::new(file), range: 0..bytes.len() as u64 }).unwrap()
}

/// Name, flags and contents of the sections that have any, but for .shstrtab; and their numbers.
fn sections(file: &[u8]) -> Vec<(usize, String, Vec<u8>)> {
    let object = parse(file).unwrap();
    let mut found = Vec::new();
    for (n, s) in object.sections.iter().enumerate().filter(|(n, _)| object.has_bytes(*n)) {
        let name = String::from_utf8(s.name.clone()).unwrap();
        assert_eq!(s.range.start % 16, 0, "{name} lost its alignment");
        found.push((n, name, file[s.range.start as usize..s.range.end as usize].to_vec()));
    }
    found
}

#[test]
fn it_says_what_it_needs_and_what_it_was_built_for() {
    let object = parse(&ko("virtio,virtio-ring,fuse", "6.9.0-rc1+", &[])).unwrap();
    assert_eq!(object.depends().unwrap(), ["virtio", "virtio_ring", "fuse"]);
    assert_eq!(object.release().unwrap(), "6.9.0-rc1+");
    let none = parse(&ko("", "../x", &[])).unwrap();
    assert!(none.depends().unwrap().is_empty() && none.release().is_none());
    let silent = parse(&object_without_modinfo()).unwrap();
    assert!(silent.depends().unwrap().is_empty());
}

fn object_without_modinfo() -> Vec<u8> {
    object(&[(".text", 6, &[1; 40])])
}

#[test]
fn debug_information_goes_and_everything_else_keeps_number_and_contents() {
    let big = vec![0xdb; 100_000];
    let more: &[(&str, &[u8])] = &[
        (".data", &[1; 33]),
        (".debug_info", &big),
        (".rela.debug_info", &big),
        (".comment", b"GCC"),
        (".debug_str", &big),
        (".symtab", &[7; 77]),
    ];
    let file = ko("fuse", "6.1.0", more);
    let kept = |file: &[u8]| {
        let mut all = sections(file);
        all.retain(|(_, name, _)| !name.contains("debug"));
        all
    };
    for object in [parse(&file).unwrap(), in_file(&file)] {
        let lean = gather(&object.lean());
        assert!(lean.len() < 20_000, "{}", lean.len());
        assert_eq!(sections(&lean), kept(&file));
        let again = parse(&lean).unwrap();
        assert_eq!(
            (again.depends().unwrap(), again.release().unwrap()),
            (vec!["fuse".to_string()], "6.1.0".to_string())
        );
        assert_eq!(again.sections.len(), parse(&file).unwrap().sections.len());
    }
}

/// What a compiler and a linker make, as their own tools see it.
#[test]
fn a_real_object_stays_one() {
    let dir = tempfile::tempdir().unwrap();
    let run = |program: &str, args: &[&str]| {
        let output = std::process::Command::new(program).args(args).current_dir(dir.path()).output().ok()?;
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let source = "int printf(const char *, ...);
        __attribute__((section(\".modinfo\"))) const char info[] = \"depends=a\";
        static int zeros[300]; int count = 3;
        int f(int x) { count += x; zeros[x] = 1; return printf(\"%d\", count); }";
    std::fs::write(dir.path().join("a.c"), source).unwrap();
    let made = run("cc", &["-g3", "-O1", "-c", "a.c"]).and_then(|_| run("ld", &["-r", "-o", "a.ko", "a.o"]));
    if made.is_none() || run("objdump", &["--version"]).is_none() {
        return println!("SKIPPED: there is no compiler here");
    }
    let file = std::fs::read(dir.path().join("a.ko")).unwrap();
    let lean = gather(&in_file(&file).lean());
    assert!(lean.len() < file.len() / 2, "{} of {}", lean.len(), file.len());
    std::fs::write(dir.path().join("b.ko"), lean).unwrap();
    let shown = |name: &str| {
        let text = run("objdump", &["-d", "-r", "-s", "-j", ".text", "-j", ".data", "-j", ".modinfo", name]).unwrap();
        assert!(text.contains("printf") && text.contains("depends=a"), "{text}");
        text.split_once("format").unwrap().1.to_string()
    };
    assert_eq!(shown("b.ko"), shown("a.ko"));
    // Those of groups (wm4.) have lost what they were in.
    let symbols = |name: &str| {
        let text = run("nm", &[name]).unwrap();
        text.lines().filter(|line| !line.contains(" wm4.")).map(str::to_string).collect::<Vec<_>>()
    };
    assert_eq!(symbols("b.ko"), symbols("a.ko"));
    assert!(run("readelf", &["-SW", "b.ko"]).is_some_and(|text| !text.contains("debug_")));
}

#[test]
fn what_is_loaded_is_no_debug_information_whatever_its_name() {
    let file = object(&[(".debug_a", 2, &[1; 5000]), (".modinfo", 2, b"x=y\0")]);
    assert!(gather(&parse(&file).unwrap().lean()) == file);
}

#[test]
fn a_signed_or_a_small_module_stays_as_it_is() {
    let debug = [1u8; 5000];
    let mut signed = ko("", "6.1.0", &[(".debug_info", &debug)]);
    signed.extend(b"PKCS7 and so on");
    signed.extend(SIGNED);
    for object in [parse(&signed).unwrap(), in_file(&signed)] {
        assert!(gather(&object.lean()) == signed);
    }
    let small = ko("", "6.1.0", &[]);
    assert_eq!(parse(&small).unwrap().lean().len(), 1);
    assert!(gather(&in_file(&small).lean()) == small);
}

#[test]
fn sections_that_overlap_are_left_alone() {
    let mut file = ko("", "6.1.0", &[(".debug_info", &[1; 64])]);
    let table = u64_at(&file, 0x28).unwrap() as usize;
    // .debug_info, the third, grows into .shstrtab.
    file[table + 3 * 64 + 0x20] = 0xf0;
    assert!(gather(&parse(&file).unwrap().lean()) == file);
}

#[test]
fn what_is_no_module_is_refused() {
    let file = ko("", "6.1.0", &[]);
    for (at, value) in [(4, 1), (0x2f, 0xff), (0x3a, 40), (0x3d, 0xff), (0x3f, 0xff), (0x2a, 0x7f)] {
        let mut bad = file.clone();
        bad[at] = value;
        assert!(parse(&bad).is_err(), "byte {at:#x}");
    }
    assert!(parse(&file[..40]).is_err() && parse(&file[..file.len() - 1]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_never_panics_nor_makes_it_larger(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        table in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut file = ko("fuse,virtio", "6.1.0", &[(".debug_info", &[5; 300]), (".data", &[6; 50])]);
        let start = if table { u64_at(&file, 0x28).unwrap() as usize } else { 0 };
        for (at, value) in damage {
            let at = start + at.index(file.len() - start);
            file[at] = value;
        }
        for bytes in [&file[..], &file[..cut.index(file.len())]] {
            let Ok(object) = parse(bytes) else { continue };
            let _ = (object.depends(), object.release());
            let parts = object.lean();
            let len: u64 = parts.iter().map(Part::len).sum();
            prop_assert!(len <= bytes.len() as u64 + 16 * ALIGN_MAX);
            prop_assert_eq!(gather(&parts).len() as u64, len);
        }
    }
}
