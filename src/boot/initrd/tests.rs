use super::super::sample::Temp;
use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn the_place_is_the_highest_free_one() {
    let kernel = std::slice::from_ref(&(16 * MIB..40 * MIB));
    assert_eq!(place(MIB, kernel, 128 * MIB, 1 << 31).unwrap(), 127 * MIB);
    assert_eq!(place(MIB + 1, kernel, 128 * MIB, 1 << 31).unwrap(), 127 * MIB - 4096);
    assert_eq!(place(MIB, kernel, 128 * MIB, 100 * MIB).unwrap(), 99 * MIB);
    assert_eq!(place(88 * MIB, kernel, 128 * MIB, 1 << 31).unwrap(), 40 * MIB);
}

#[test]
fn it_goes_below_a_kernel_that_leaves_no_room_above() {
    let kernel = [120 * MIB..128 * MIB, 16 * MIB..18 * MIB];
    assert_eq!(place(MIB, &kernel, 128 * MIB, 1 << 31).unwrap(), 119 * MIB);
    assert_eq!(place(15 * MIB, std::slice::from_ref(&(16 * MIB..128 * MIB)), 128 * MIB, 1 << 31).unwrap(), MIB);
    // Two pieces with a hole between them that is too small.
    assert_eq!(
        place(10 * MIB, &[120 * MIB..128 * MIB, 110 * MIB + 1..112 * MIB], 128 * MIB, 1 << 31).unwrap(),
        100 * MIB
    );
}

#[test]
fn too_large_says_how_much_memory_would_do() {
    let kernel = std::slice::from_ref(&(16 * MIB..40 * MIB));
    let said = place(140 * MIB - 5000, kernel, 128 * MIB, 1 << 31).unwrap_err().to_string();
    assert!(said.contains("needs at least 180 MiB") && said.contains("--memory 180M"), "{said}");
    assert!(place(140 * MIB - 5000, kernel, 180 * MIB, 1 << 31).is_ok());
    let said = place(3000 * MIB, kernel, 128 * MIB, 1 << 31).unwrap_err().to_string();
    assert!(said.contains("at most 2008 MiB"), "{said}");
    assert!(place(u64::MAX, kernel, 128 * MIB, 1 << 31).is_err());
}

#[test]
fn modules_follow_each_other_aligned() {
    let temp = Temp::new(b"12345");
    let other = temp.add("other", b"678");
    let modules = [Module::open(&temp.path, false).unwrap(), Module::open(&other, false).unwrap()];
    assert_eq!(arrange(&modules, 4).unwrap(), (vec![0, 8], 11));
    assert_eq!(arrange(&modules, 4096).unwrap(), (vec![0, 4096], 4099));
    assert_eq!(arrange(&[], 4).unwrap(), (vec![], 0));
}

#[test]
fn words_behind_the_path_are_arguments_where_there_can_be_some() {
    let temp = Temp::new(b"12345");
    let text = format!("{} key=value", temp.path.display());
    assert_eq!(Module::open(Path::new(&text), true).unwrap().string, text);
    assert!(Module::open(Path::new(&text), false).is_err());
    let spaced = temp.add("with space", b"1");
    assert_eq!(Module::open(&spaced, true).unwrap().len, 1);
}

#[test]
fn a_file_that_cannot_be_is_named() {
    let temp = Temp::new(b"");
    let said = |p: &Path| format!("{:#}", Module::open(p, false).err().unwrap());
    assert!(said(&temp.path).ends_with("is empty"));
    assert!(said(temp.path.parent().unwrap()).ends_with("is a directory"));
    assert!(said(Path::new("/dev/null")).ends_with("is not a regular file"));
    let missing = said(Path::new("/nonexistent/initrd"));
    assert!(missing.starts_with("initrd /nonexistent/initrd: No such file"), "{missing}");
}

#[test]
fn a_file_that_shrank_is_an_error() {
    let temp = Temp::new(&[1; 5000]);
    let module = Module::open(&temp.path, false).unwrap();
    let memory = Memory::new(&[(0, 2 * MIB)], None).unwrap();
    module.load(&memory, MIB).unwrap();
    assert_eq!(memory.read::<2>(MIB + 4999).unwrap(), [1, 0]);
    File::options().write(true).open(&temp.path).unwrap().set_len(100).unwrap();
    assert!(format!("{:#}", module.load(&memory, MIB).unwrap_err()).contains("truncated"));
}

#[test]
fn a_built_archive_is_gathered_from_memory_and_files_each_time() {
    let temp = Temp::new(b"0123456789");
    let mut archive = Archive::default();
    let file = Arc::new(File::open(&temp.path).unwrap());
    archive.push(Part::Bytes(Arc::new(b"ab".to_vec())));
    archive.push(Part::File { file: file.clone(), range: 3..7 });
    archive.push(Part::Bytes(Arc::new(Vec::new())));
    archive.push(Part::File { file, range: 0..2 });
    assert_eq!((archive.len(), archive.parts().len()), (8, 3));
    let module = Module::built(Arc::new(archive));
    let memory = Memory::new(&[(0, 2 * MIB)], None).unwrap();
    for _ in 0..2 {
        module.load(&memory, MIB + 5).unwrap();
        assert_eq!(&memory.read::<10>(MIB + 4).unwrap(), b"\0ab345601\0");
        memory.clear().unwrap();
    }
    File::options().write(true).open(&temp.path).unwrap().set_len(5).unwrap();
    let said = format!("{:#}", module.load(&memory, MIB).unwrap_err());
    assert!(said.contains("made by kiln") && said.contains("truncated"), "{said}");
    // It does not fit into the guest's memory.
    assert!(module.load(&memory, 2 * MIB - 4).is_err());
}
