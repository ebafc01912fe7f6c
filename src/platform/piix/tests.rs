use super::*;
use crate::platform::rig::Wire;
use proptest::prelude::*;

/// An end of a PCI interrupt, and the line it is besides.
type Pin = (Arc<dyn Line>, Arc<Wire>);

/// The bridge, its ISA lines, and INTA to INTD.
fn bridge() -> (Arc<IsaBridge>, Vec<Arc<Wire>>, Vec<Pin>) {
    let isa: Vec<_> = (0..LINES).map(|_| Wire::new()).collect();
    let bridge = IsaBridge::new(isa.iter().map(|wire| wire.clone() as Arc<dyn Line>).collect());
    let input = |pirq| {
        let wire = Wire::new();
        (bridge.input(pirq, wire.clone()), wire)
    };
    let inputs = (0..PIRQS).map(input).collect();
    (bridge, isa, inputs)
}

fn up(isa: &[Arc<Wire>]) -> Vec<usize> {
    (0..LINES).filter(|irq| isa[*irq].level()).collect()
}

#[test]
fn pci_interrupts_go_where_firmware_sends_them() {
    let (bridge, isa, inputs) = bridge();
    inputs[0].0.set(true);
    assert!(inputs[0].1.level() && up(&isa).is_empty(), "nowhere at power-on");
    bridge.write(0x60, &[10, 10, 11, 11]);
    assert_eq!(up(&isa), [10]);
    inputs[1].0.set(true);
    inputs[0].0.set(false);
    assert_eq!(up(&isa), [10], "shared");
    bridge.write(0x61, &[5]);
    assert_eq!(up(&isa), [5], "moved while it is up");
    bridge.write(0x61, &[0x85]);
    assert!(up(&isa).is_empty());
    for none in [0, 1, 2, 8, 13] {
        bridge.write(0x61, &[none]);
        assert!(up(&isa).is_empty(), "{none} cannot be chosen");
    }
    bridge.write(0x61, &[15]);
    assert_eq!(up(&isa), [15]);
    bridge.reset().unwrap();
    assert!(up(&isa).is_empty() && inputs[1].1.level());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_line_is_up_while_an_input_that_goes_there_is(
        steps in prop::collection::vec((0..PIRQS, any::<u8>(), any::<Option<bool>>()), 0..60),
    ) {
        let (bridge, isa, inputs) = bridge();
        let (mut routes, mut levels) = ([0x80u8; PIRQS], [false; PIRQS]);
        for (pirq, value, level) in steps {
            match level {
                Some(level) => {
                    inputs[pirq].0.set(level);
                    levels[pirq] = level;
                }
                None => {
                    bridge.write(0x60 + pirq as u16, &[value]);
                    routes[pirq] = value & 0x8f;
                }
            }
            let goes = |irq: usize, pirq: usize| levels[pirq] && usize::from(routes[pirq]) == irq;
            let wanted: Vec<_> = [3, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15].into_iter().filter(|irq| (0..PIRQS).any(|p| goes(*irq, p))).collect();
            prop_assert_eq!(up(&isa), wanted);
            prop_assert!(isa.iter().all(|wire| wire.alternates()));
        }
    }
}
