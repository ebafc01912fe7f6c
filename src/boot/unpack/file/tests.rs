use super::super::super::sample::{SUFFIXES, Temp, kernel, packed};
use super::*;

fn unpacked(bytes: &[u8], most: u64) -> Result<Vec<u8>> {
    let temp = Temp::new(bytes);
    match contents(&temp.path, most)? {
        Contents::Unpacked(bytes) => Ok(bytes),
        Contents::Stored(..) => panic!("it is packed"),
    }
}

#[test]
fn every_packed_file_is_unpacked_and_an_elf_file_stays() {
    for suffix in SUFFIXES {
        assert!(unpacked(&packed(suffix), 1 << 30).unwrap() == kernel(), "{suffix}");
    }
    let temp = Temp::new(&kernel());
    let Contents::Stored(_, len) = contents(&temp.path, 1 << 30).unwrap() else { panic!("it is not packed") };
    assert_eq!(len, kernel().len() as u64);
}

#[test]
fn too_large_damaged_or_unknown_is_an_error() {
    let len = kernel().len() as u64;
    for suffix in SUFFIXES {
        assert!(unpacked(&packed(suffix), len).is_ok());
        let said = format!("{:#}", unpacked(&packed(suffix), len - 1).unwrap_err());
        assert!(said.contains("more than"), "{suffix}: {said}");
        let cut = packed(suffix).len() / 2;
        let short = unpacked(&packed(suffix)[..cut], 1 << 30);
        assert!(short.is_err() || short.is_ok_and(|b| b.len() < kernel().len()), "{suffix}");
    }
    assert!(format!("{:#}", unpacked(b"what is this", 100).unwrap_err()).contains("neither an ELF file"));
    assert!(contents(Path::new("/dev/null"), 100).is_err());
}
