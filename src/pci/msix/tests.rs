use super::*;
use crate::pci::fakes::Outbox;
use proptest::prelude::*;
use std::sync::atomic::Ordering;

const ON: u16 = 0x8000;
const VECTORS: u16 = 3;

fn msix() -> (Msix, Outbox) {
    let outbox = Outbox::default();
    (Msix::new(VECTORS, Arc::new(outbox.clone())).unwrap(), outbox)
}

fn set(m: &Msix, row: u64, field: u64, value: u32) {
    m.write_table(ROW * row + 4 * field, &value.to_le_bytes());
}

fn pending(m: &Msix) -> u8 {
    let mut bytes = [0xee; 8];
    m.read_pending(0, &mut bytes);
    assert_eq!(bytes[1..], [0; 7]);
    bytes[0]
}

#[test]
fn the_capability_says_how_many_and_where() {
    let (m, _) = msix();
    let (body, mask) = m.capability(2, 0x4000, 0x5000);
    assert_eq!((body, mask), ([2, 0, 2, 0x40, 0, 0, 2, 0x50, 0, 0], [0, 0xc0]));
    assert!(Msix::new(0, Arc::new(Outbox::default())).is_err());
    assert!(Msix::new(2049, Arc::new(Outbox::default())).is_err());
}

#[test]
fn messages_wait_while_they_are_masked() {
    let (m, outbox) = msix();
    m.set_control(ON);
    set(&m, 1, 0, 0xfee0_1003);
    set(&m, 1, 2, 0x41);
    assert_eq!(outbox.living(), 0, "no message before a row is unmasked");
    m.raise(1);
    m.raise(1);
    assert_eq!((pending(&m), outbox.sent().len()), (0b010, 0));
    set(&m, 1, 3, 0);
    assert_eq!((pending(&m), outbox.sent(), outbox.living()), (0, vec![(0xfee0_1000, 0x41)], 1));
    m.set_control(ON | 0x4000);
    m.raise(1);
    assert_eq!((pending(&m), outbox.sent().len()), (0b010, 1));
    m.set_control(ON);
    assert_eq!((pending(&m), outbox.sent().len()), (0, 2));
    m.raise(3);
    m.raise(0xffff);
    assert_eq!((pending(&m), outbox.sent().len()), (0, 2));
    m.reset();
    assert_eq!((outbox.living(), m.enabled()), (0, false));
    let mut row = [0xee; 16];
    m.read_table(16, &mut row);
    assert_eq!(row, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
}

#[test]
fn without_messages_left_nothing_breaks() {
    let (m, outbox) = msix();
    outbox.full.store(true, Ordering::SeqCst);
    m.set_control(ON);
    set(&m, 0, 0, 0xfee0_0000);
    set(&m, 0, 3, 0);
    m.raise(0);
    assert_eq!((pending(&m), outbox.sent().len()), (1, 0));
    outbox.full.store(false, Ordering::SeqCst);
    set(&m, 0, 3, 1);
    set(&m, 0, 3, 0);
    assert_eq!((pending(&m), outbox.sent().len()), (0, 1));
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, usize, u64),
    Control(u16),
    Raise(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![Just(0u64), Just(1), Just(0xfee0_0000), any::<u64>()];
    let offset = prop_oneof![6 => (0u64..14).prop_map(|n| 4 * n), 2 => 0u64..60, 1 => any::<u64>()];
    prop_oneof![
        4 => (offset, prop_oneof![Just(4usize), Just(8), 1usize..9], value).prop_map(|(o, l, v)| Step::Write(o, l, v)),
        2 => any::<u16>().prop_map(Step::Control),
        3 => (0..5u16).prop_map(Step::Raise),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    /// Against plain bytes and the rule: what is raised while enabled, unmasked and programmed is sent as the row says, at once;
    /// the rest is pending, once, until that holds.
    #[test]
    fn it_agrees_with_a_model(steps in proptest::collection::vec(step(), 1..40)) {
        let (m, outbox) = msix();
        let mut table = [0u8; 48];
        (0..3).for_each(|row| table[16 * row + 12] = 1);
        let (mut control, mut waiting, mut sent) = (0u16, [false; 3], Vec::new());
        for step in steps {
            let mut raised = None;
            match step {
                Step::Write(at, len, value) => {
                    let data = value.to_le_bytes();
                    m.write_table(at, &data[..len]);
                    for (i, byte) in data[..len].iter().enumerate() {
                        let at = at.saturating_add(i as u64) as usize;
                        if let Some(to) = table.get_mut(at) {
                            *to = match at % 16 { 0 => byte & 0xfc, 12 => byte & 1, 13.. => 0, _ => *byte };
                        }
                    }
                }
                Step::Control(value) => { m.set_control(value); control = value; }
                Step::Raise(vector) => {
                    let enabled = control & ON != 0;
                    prop_assert_eq!(m.raise(vector), enabled);
                    raised = enabled.then_some(usize::from(vector));
                }
            }
            for row in 0..3 {
                waiting[row] |= raised == Some(row);
                let bytes = &table[16 * row..][..16];
                let address = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                let open = control & 0xc000 == ON && bytes[12] == 0 && address != 0;
                if open && std::mem::take(&mut waiting[row]) {
                    sent.push((address, u32::from_le_bytes(bytes[8..12].try_into().unwrap())));
                }
            }
            let mut seen = [0; 48];
            m.read_table(0, &mut seen);
            prop_assert_eq!(seen, table);
            prop_assert_eq!(outbox.sent(), sent.clone());
            let bits = waiting.iter().rev().fold(0, |bits, w| bits << 1 | u8::from(*w));
            prop_assert_eq!(pending(&m), bits);
        }
    }
}
