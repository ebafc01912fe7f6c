use super::super::sample::note;
use super::*;
use proptest::prelude::*;

fn read(bytes: &[u8]) -> Notes {
    let mut notes = Notes::default();
    notes.read(bytes, 4);
    notes
}

#[test]
fn a_pvh_entry_has_4_or_8_bytes() {
    let gnu = note("GNU", 3, &[9; 20]);
    for desc in [&0x10_0850u32.to_le_bytes()[..], &0x10_0850u64.to_le_bytes()] {
        let bytes = [gnu.clone(), note("Xen", 18, desc)].concat();
        assert_eq!(read(&bytes), Notes { pvh: Some(0x10_0850), ..Notes::default() });
    }
    assert_eq!(read(&note("Xen", 18, &[1, 2])), Notes::default());
    assert_eq!(read(&note("Other", 18, &[1; 4])), Notes::default());
}

#[test]
fn linux_says_that_it_is_linux() {
    assert!(read(&note("Linux", 0x100, b"salt")).linux);
    assert!(read(&note("Xen", 6, b"linux\0")).linux);
    assert!(!read(&note("Xen", 6, b"FreeBSD\0")).linux);
}

#[test]
fn a_program_is_known_by_its_abi() {
    assert!(read(&note("GNU", 1, &[0; 16])).program);
    assert!(!read(&note("GNU", 3, &[0; 16])).program);
}

#[test]
fn a_malformed_note_ends_the_reading() {
    let mut bytes = note("Xen", 18, &[1, 0, 0, 0]);
    bytes.extend([0xff; 12]);
    bytes.extend(note("Linux", 0x100, b""));
    assert_eq!(read(&bytes), Notes { pvh: Some(1), ..Notes::default() });
}

proptest! {
    #[test]
    fn any_bytes_are_fine(bytes in prop::collection::vec(any::<u8>(), 0..80), align in any::<u64>()) {
        Notes::default().read(&bytes, align);
        Notes::default().read(&[note("Xen", 18, &bytes), bytes].concat(), align);
    }
}
