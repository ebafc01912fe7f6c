use super::*;
use crate::pci::command;
use proptest::prelude::*;

fn config() -> Config {
    let mut c = Config::new(&Identity {
        vendor: 0x1af4,
        device: 0x1042,
        revision: 1,
        class: Class(1, 0x80, 0),
        subsystem_vendor: 0x1af4,
        subsystem: 0x40,
    });
    assert_eq!(c.capability(0x11, &[1, 2, 3, 4], &[0, 0xc0]).unwrap(), 0x40);
    assert_eq!(c.capability(9, &[7; 11], &[]).unwrap(), 0x48);
    c
}

#[test]
fn the_header_is_where_the_specification_has_it() {
    let c = config();
    let at = |offset| c.u32(offset);
    assert_eq!((at(0), at(8), at(0x2c)), (0x1042_1af4, 0x0180_0001, 0x0040_1af4));
    assert_eq!(c.u16(register::STATUS), 0x10);
    assert_eq!((c.u8(0x34), at(0x40), at(0x48)), (0x40, 0x0201_4811, 0x0707_0009));
}

#[test]
fn capabilities_that_do_not_fit_are_refused() {
    let mut c = config();
    assert!(c.capability(9, &[0; 200], &[]).is_err());
    assert_eq!(c.capability(9, &[0; 166], &[]).unwrap(), 0x58);
    assert!(c.capability(9, &[], &[]).is_err());
}

/// Offset and mask of all that the guest may write in `config()`.
const WRITABLE: [(usize, u8); 4] = [
    (4, (command::IO | command::MEMORY | command::MASTER) as u8),
    (5, (command::INTX_DISABLE >> 8) as u8),
    (0x3c, 0xff),
    (0x43, 0xc0),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    /// Accesses of any width anywhere: the writable bits change as in plain bytes, the others never.
    #[test]
    fn writes_change_what_they_may(
        writes in proptest::collection::vec((any::<u16>(), 0u16..0x110, 1usize..9, any::<u64>()), 1..30),
        at in 0u16..0x110,
        len in 1usize..9,
    ) {
        let mut c = config();
        let mut plain = [0; 0x200];
        c.read(0, &mut plain);
        for (far, near, len, value) in writes {
            let offset = if far % 8 == 0 { far } else { near };
            let data = value.to_le_bytes();
            c.write(offset, &data[..len]);
            for (i, byte) in data[..len].iter().enumerate() {
                if let Some((at, mask)) = WRITABLE.into_iter().find(|w| w.0 == usize::from(offset) + i) {
                    plain[at] = plain[at] & !mask | byte & mask;
                }
            }
        }
        let mut seen = vec![0xee; len];
        c.read(at, &mut seen);
        prop_assert_eq!(&seen[..], &plain[usize::from(at)..][..len]);
        let mut all = [0; 0x200];
        c.read(0, &mut all);
        prop_assert_eq!(all, plain);
    }

    #[test]
    fn touching_is_having_a_byte_in_common(offset in 0u16..40, len in 1usize..9, register in 0u16..40, size in 1u16..9) {
        let common = (offset..offset + len as u16).any(|at| (register..register + size).contains(&at));
        prop_assert_eq!(touches(offset, len, register, size), common);
    }
}
