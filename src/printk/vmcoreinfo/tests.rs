use super::*;

const TEXT: &[u8] = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n";

fn bytes(namesz: u32, descsz: u32, kind: u32, name: &[u8], text: &[u8]) -> Vec<u8> {
    [&namesz.to_le_bytes()[..], &descsz.to_le_bytes(), &kind.to_le_bytes(), name, text].concat()
}

fn good() -> Vec<u8> {
    bytes(11, TEXT.len() as u32, 0, NAME, TEXT)
}

fn memory() -> Memory {
    Memory::new(&[(0, 0x10_0000), (0x20_0000, 0x10_0000)], None).unwrap()
}

#[test]
fn it_is_found_wherever_it_is() {
    for at in [0, 0x1000, 0x5000, 0xf_f000, 0x20_0000, 0x2f_f000] {
        let m = memory();
        m.write(0x3000, b"something else").unwrap();
        m.write(at, &good()).unwrap();
        assert_eq!(find(&m).unwrap().as_deref(), Some(TEXT), "{at:#x}");
    }
}

#[test]
fn what_is_not_a_note_of_its_kind_is_passed_over() {
    let len = TEXT.len() as u32;
    let wrong = [
        bytes(11, len, 1, NAME, TEXT),
        bytes(12, len, 0, NAME, TEXT),
        bytes(11, 0, 0, NAME, TEXT),
        bytes(11, u32::MAX, 0, NAME, TEXT),
        bytes(11, LONGEST as u32 + 1, 0, NAME, TEXT),
        bytes(11, len, 0, b"VMCOREINFX\0\0", TEXT),
        bytes(11, len, 0, NAME, b"OSRELEASX=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n"),
        // Longer than its text: zeroes follow.
        bytes(11, len + 1, 0, NAME, TEXT),
    ];
    let m = memory();
    for (n, bytes) in (1..).zip(&wrong) {
        m.write(n * PAGE, bytes).unwrap();
    }
    // Not at the start of a page.
    m.write(0x10_0000 - 0x800, &good()).unwrap();
    assert_eq!(find(&m).unwrap(), None);
    m.write(0x20_3000, &good()).unwrap();
    assert_eq!(find(&m).unwrap().as_deref(), Some(TEXT));
}

/// A note that claims to go on beyond the end of memory.
#[test]
fn a_note_that_leaves_memory_is_none() {
    let m = memory();
    m.write(0x2f_f000, &bytes(11, 5000, 0, NAME, &[b'x'; 0x1000 - HEADER])).unwrap();
    m.write(0x2f_f000 + HEADER as u64, BEGIN).unwrap();
    assert_eq!(find(&m).unwrap(), None);
}

#[test]
fn an_untouched_memory_stays_untouched() {
    let m = memory();
    assert_eq!(find(&m).unwrap(), None);
    assert_eq!(m.populated(0).unwrap(), None);
}
