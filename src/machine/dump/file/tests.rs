use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn memory() -> Memory {
    let m = Memory::new(&[(0, 0x40_0000), (0x100_0000, 0x10_0000)], None).unwrap();
    m.write(0x5000, b"low").unwrap();
    // Ends at the end of a chunk, next to one that begins with zeroes; touched but zero.
    m.write(0x1f_fffd, b"end").unwrap();
    m.write(0x20_0000, &[0; 0x3000]).unwrap();
    m.write(0x20_3000, b"more").unwrap();
    m.write(0x100_0000, b"high").unwrap();
    m
}

fn core() -> Core {
    Core::new(&[0..0xa_0000, 0xa_0000..0x40_0000, 0x100_0000..0x110_0000], b"notes").unwrap()
}

/// What the file says about guest physical `at`.
fn at(core: &Core, file: &[u8], at: u64, len: usize) -> Vec<u8> {
    let (range, offset) = core.segments.iter().find(|(r, _)| r.contains(&at)).unwrap();
    file[(offset + at - range.start) as usize..][..len].to_vec()
}

#[test]
fn memory_is_in_its_place_and_zeroes_take_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    let (core, memory) = (core(), memory());
    let written = write(&path, &core, &memory, &|| false).unwrap();
    assert_eq!(written, 4 * 4096);
    let file = std::fs::read(&path).unwrap();
    assert_eq!(file.len() as u64, core.size);
    assert!(file.starts_with(&core.head));
    for (address, text) in [(0x5000, &b"low"[..]), (0x1f_fffd, b"end"), (0x20_3000, b"more"), (0x100_0000, b"high")] {
        assert_eq!(at(&core, &file, address, text.len()), text, "{address:#x}");
    }
    assert!(at(&core, &file, 0x20_0000, 0x3000).iter().all(|b| *b == 0));
    let about = path.metadata().unwrap();
    assert!(about.blocks() * 512 < 0x10_0000, "{} blocks", about.blocks());
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn an_older_dump_is_replaced_only_by_a_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("core");
    std::fs::write(&path, "old").unwrap();
    let error = write(&path, &core(), &memory(), &|| true).unwrap_err();
    assert_eq!(error.to_string(), "interrupted");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    write(&path, &core(), &memory(), &|| false).unwrap();
    assert!(std::fs::read(&path).unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn a_place_for_no_dump_is_refused_before() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| format!("{:#}", check(path).unwrap_err());
    assert_eq!(refused(Path::new("/dev/null")), "/dev/null exists and is no ordinary file");
    assert!(refused(dir.path()).ends_with("exists and is no ordinary file"));
    assert!(refused(&dir.path().join("no/core")).ends_with("No such file or directory (os error 2)"));
    assert!(refused(&dir.path().join("..")).contains(".."));
    assert!(refused(Path::new("")).contains("``"));
    check(&dir.path().join("core")).unwrap();
    check(Path::new("core")).unwrap();
}
