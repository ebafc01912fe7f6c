use super::*;

#[test]
fn it_begins_as_the_template_and_keeps_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vars");
    let (nvram, content) = Nvram::open(&path, &[0xff; 8192]).unwrap();
    assert_eq!(content, [0xff; 8192]);
    nvram.store(4096, b"kept").unwrap();
    drop(nvram);
    let (_nvram, content) = Nvram::open(&path, &[0; 8192]).unwrap();
    assert_eq!((&content[4096..4100], content[0]), (&b"kept"[..], 0xff));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn it_is_used_by_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vars");
    let first = Nvram::open(&path, &[1; 4096]).unwrap();
    let error = Nvram::open(&path, &[1; 4096]).err().unwrap();
    assert!(error.to_string().contains("is in use"), "{error}");
    drop(first);
    Nvram::open(&path, &[1; 4096]).unwrap();
}

#[test]
fn what_is_not_of_this_firmware_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vars");
    for len in [0, 4095, 4097] {
        std::fs::write(&path, vec![7; len]).unwrap();
        let error = Nvram::open(&path, &[1; 4096]).err().unwrap();
        assert!(error.to_string().contains("4096 bytes are expected"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; len]);
    }
    assert!(Nvram::open(folder.path(), &[1; 4096]).is_err());
    assert!(Nvram::open(&folder.path().join("no/such"), &[1; 4096]).is_err());
}
