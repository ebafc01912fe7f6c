use super::cpio::tests::entries;
use super::*;
use crate::exec::modules::made::{RELEASE, Root, USUAL, WANTS, gather, ko, list, object};
use std::io::Write;

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn it_has_an_init_directories_and_modules_in_order() {
    let root = Root::new();
    root.modules("m", USUAL);
    root.file("m/modules.order", list(USUAL));
    let plan = root.plan(&root.kernel("k"), Some("m"), &WANTS).unwrap();
    let archive = build(&plan).unwrap();
    // Each time it is loaded it is read anew, and the same.
    let bytes = gather(archive.parts());
    assert_eq!((bytes.len() as u64, bytes.len() % 4), (archive.len(), 0));
    let entries = entries(&bytes);
    let of = |name: &str| entries.iter().find(|(n, ..)| n == name).unwrap_or_else(|| panic!("no {name}"));

    let (_, mode, .., init) = of("init");
    assert_eq!(*mode, 0o100755);
    assert!(*init == std::fs::read(SELF).unwrap());
    assert_eq!((of("dev/console").1, of("dev/console").3), (0o020600, (5, 1)));
    for name in ["dev", "proc", "sys", "root", "modules"] {
        assert_eq!(of(name).1, 0o040755, "{name}");
    }
    let order = String::from_utf8(of("modules/order").4.clone()).unwrap();
    let names: Vec<_> = order.lines().collect();
    assert!(order.ends_with('\n'));
    assert_eq!(names, plan.modules.iter().map(|m| format!("{}.ko", m.name)).collect::<Vec<_>>());
    assert_eq!(names.last(), Some(&"overlay.ko"));
    assert!(of("modules/virtiofs.ko").4 == ko("fuse,virtio,virtio_ring", RELEASE, &[]));
    // A parent comes before what is in it.
    let place = |name: &str| entries.iter().position(|(n, ..)| n == name).unwrap();
    assert!(place("modules") < place("modules/order") && place("dev") < place("dev/console"));
}

#[test]
fn kiln_is_not_copied() {
    let root = Root::new();
    let plan = root.plan(&root.kernel("k"), None, &WANTS).unwrap();
    assert!(plan.modules.is_empty());
    let archive = build(&plan).unwrap();
    let memory: u64 = archive.parts().iter().filter(|p| matches!(p, Part::Bytes(_))).map(Part::len).sum();
    assert!(memory < 4096 && archive.len() > 1 << 20, "{memory} bytes of {} in memory", archive.len());
}

#[test]
fn a_program_with_libraries_is_told_from_a_static_one() {
    assert!(!is_dynamic(&File::open(SELF).unwrap()).unwrap());
    // Without program headers, and one that is cut off.
    assert!(is_dynamic(&file(&object(&[]))).is_err());
    let mut dynamic = object(&[]);
    let end = dynamic.len() as u64;
    dynamic[0x20..0x28].copy_from_slice(&end.to_le_bytes());
    dynamic[0x36..0x3a].copy_from_slice(&[56, 0, 2, 0]);
    assert!(is_dynamic(&file(&dynamic)).is_err());
    dynamic.extend([0; 56]);
    dynamic.extend([3, 0, 0, 0]);
    dynamic.extend([0; 52]);
    assert!(is_dynamic(&file(&dynamic)).unwrap());
}

/// Prints how long it takes with a real kernel: KILN_KERNEL=... cargo test --release -- --ignored --nocapture takes_milliseconds
#[test]
#[ignore = "prints figures"]
fn takes_milliseconds() {
    use crate::exec::{kernel, modules};
    use std::time::Instant;
    let image = std::env::var_os("KILN_KERNEL").map(std::path::PathBuf::from);
    for _ in 0..5 {
        let start = Instant::now();
        let kernel = kernel::choose(image.as_deref()).unwrap();
        let chosen = start.elapsed();
        let plan = modules::plan(&kernel, None, &WANTS).unwrap();
        let planned = start.elapsed() - chosen;
        let archive = build(&plan).unwrap();
        let built = start.elapsed() - chosen - planned;
        println!("choose {chosen:?}, plan {planned:?}, build {built:?}: {} bytes, {:?}", archive.len(), archive);
    }
}
