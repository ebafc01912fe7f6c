use super::super::sample::multiboot;
use super::*;
use proptest::prelude::*;

fn at(offset: usize, header: &[u8]) -> Vec<u8> {
    let mut file = vec![0; offset];
    file.extend(header);
    file
}

#[test]
fn a_header_is_found_where_it_may_be() {
    for offset in [0, 4, 4096, 8180] {
        assert!(Header::find(&at(offset, &multiboot(3, None))).is_some(), "{offset}");
    }
    for offset in [2, 8184, 8192] {
        assert!(Header::find(&at(offset, &multiboot(3, None))).is_none(), "{offset}");
    }
    let mut wrong = multiboot(3, None);
    wrong[8] ^= 1;
    assert!(Header::find(&wrong).is_none());
}

#[test]
fn addresses_say_what_is_loaded_where() {
    // The header at 0x40 of the file belongs to 0x100040: the file's start is loaded at 0x100000.
    let program = |addresses, len| Header::find(&at(0x40, &multiboot(0, Some(addresses)))).unwrap().program(len);
    let segment = |a, len| program(a, len).unwrap().unwrap().segments[0];
    let expected = Segment { offset: 0, vaddr: 0x10_0000, paddr: 0x10_0000, filesz: 0x2000, memsz: 0x3000, align: 1 };
    let whole = [0x10_0040, 0x10_0000, 0x10_2000, 0x10_3000, 0x10_0100];
    assert_eq!(segment(whole, None), expected);
    assert_eq!(program(whole, None).unwrap().unwrap().entry, 0x10_0100);
    // Zero: up to the end of the file, and no bss.
    let rest = segment([0x10_0040, 0x10_0020, 0, 0, 0x10_0100], Some(0x1000));
    assert_eq!((rest.offset, rest.filesz, rest.memsz), (0x20, 0xfe0, 0xfe0));
    assert!(program([0x10_0040, 0x10_0020, 0, 0, 0], None).is_err());
    assert!(program([0x10_0040, 0x10_0041, 0, 0, 0], Some(0x1000)).is_err());
    assert!(program([0x10_0040, 0x0f_0000, 0, 0, 0], Some(0x1000)).is_err());
    assert!(program([0x10_0040, 0x10_0000, 0x0f_0000, 0, 0], Some(0x1000)).is_err());
    assert!(program([0x10_0040, 0x10_0000, 0x10_2000, 0x10_1000, 0], Some(0x1000)).is_err());
    assert_eq!(Header::find(&multiboot(0, None)).unwrap().program(None).unwrap(), None);
}

#[test]
fn demands_that_are_not_met_are_errors() {
    let check = |flags| Header::find(&multiboot(flags, None)).unwrap().check();
    assert!(check(0b111).is_ok());
    assert!(check(1 << 20).is_ok());
    assert!(check(1 << 3).unwrap_err().to_string().contains("0x8"));
}

proptest! {
    #[test]
    fn any_addresses_are_fine(addresses in any::<[u32; 5]>(), len in any::<Option<u64>>()) {
        let _ = Header::find(&at(0x40, &multiboot(0, Some(addresses)))).unwrap().program(len);
    }
}
