use super::*;
use crate::platform::rig::{self, Wire, read};
use proptest::prelude::*;

const S5: u8 = 5;

fn power() -> (Power, Arc<Wire>, Arc<Lock<Vec<Request>>>) {
    let (wire, (notify, told)) = (Wire::new(), rig::requests());
    (Power::new(wire.clone(), S5, notify), wire, told)
}

fn word(power: &Power, at: u64) -> u16 {
    u16::from_le_bytes(read(power, at))
}

#[test]
fn the_button_interrupts_until_its_status_is_cleared() {
    let (power, wire, _) = power();
    power.press_button();
    assert!(!wire.level(), "not enabled yet");
    assert_eq!(word(&power, 0), POWER_BUTTON);
    power.write(2, &POWER_BUTTON.to_le_bytes());
    assert!(wire.level());
    power.write(0, &(!POWER_BUTTON).to_le_bytes());
    assert!(wire.level(), "writing 0 clears nothing");
    power.write(0, &POWER_BUTTON.to_le_bytes());
    assert!(!wire.level());
    power.press_button();
    // The button's bit is in the second byte: a byte store there clears it as well.
    power.write(1, &[1]);
    assert!(!wire.level() && wire.alternates());
}

#[test]
fn only_the_sleep_type_of_s5_powers_off_and_only_when_enabled() {
    let (power, _, told) = power();
    let sleep = |typ: u16| (typ << SLP_TYP_SHIFT).to_le_bytes();
    power.write(4, &sleep(5));
    for typ in [0, 1, 4, 6, 7] {
        power.write(4, &(typ << SLP_TYP_SHIFT | SLP_EN).to_le_bytes());
    }
    assert_eq!(*told.lock(), []);
    power.write(4, &(5 << SLP_TYP_SHIFT | SLP_EN).to_le_bytes());
    power.write(5, &[5 << 2 | 1 << 5]);
    assert_eq!(*told.lock(), [Request::Shutdown, Request::Shutdown]);
    assert_eq!(word(&power, 4), SCI_EN | 5 << SLP_TYP_SHIFT, "ACPI mode stays on, SLP_EN reads 0");
    power.reset().unwrap();
    assert_eq!(word(&power, 4), SCI_EN);
}

#[test]
fn the_timer_has_its_rate_and_wraps() {
    assert_eq!(ticks(Duration::from_secs(1)), 3_579_545);
    assert_eq!(ticks(Duration::from_millis(500)), 1_789_772);
    // 2^32 ticks take 1199.86 s.
    assert_eq!(ticks(Duration::from_secs(1200)), (3_579_545u64 * 1200 - (1 << 32)) as u32);
    let (power, ..) = power();
    let first = u32::from_le_bytes(read(&power, 8));
    let second = u32::from_le_bytes(read(&power, 8));
    assert!(second.wrapping_sub(first) < 1 << 31, "it goes forward");
    assert_eq!(read::<8>(&power, 12), [0; 8]);
}

#[test]
fn the_reset_port_resets_by_bit_2() {
    let (notify, told) = rig::requests();
    let port = ResetPort::new(notify);
    port.write(0, &[2]);
    assert_eq!((told.lock().len(), rig::read8(&port, 0)), (0, 2));
    for value in [6, 0xe, 4] {
        port.write(0, &[value]);
    }
    assert_eq!(*told.lock(), [Request::Reset, Request::Reset, Request::Reset]);
    port.reset().unwrap();
    assert_eq!(rig::read8(&port, 0), 0);
}

proptest! {
    #[test]
    fn any_access_is_harmless(accesses in rig::accesses(LEN), button in any::<bool>()) {
        let (power, wire, told) = power();
        for access in &accesses {
            access.run(&power);
            if button {
                power.press_button();
            }
            let (status, enable) = (word(&power, 0), word(&power, 2));
            prop_assert_eq!(wire.level(), status & enable != 0);
            prop_assert_eq!(enable & !ENABLE, 0);
            prop_assert_eq!(word(&power, 4) & (SCI_EN | SLP_EN), SCI_EN);
        }
        prop_assert!(wire.alternates());
        prop_assert!(told.lock().iter().all(|r| *r == Request::Shutdown));
        power.reset().unwrap();
        prop_assert_eq!(read::<8>(&power, 0), [0, 0, 0, 0, 1, 0, 0, 0]);
        prop_assert!(!wire.level());
    }

    #[test]
    fn width_does_not_matter(bytes in prop::collection::vec(any::<u8>(), 6)) {
        let whole = power().0;
        whole.write(0, &bytes);
        let single = power().0;
        (0..).zip(&bytes).for_each(|(at, b)| single.write(at, &[*b]));
        prop_assert_eq!(read::<6>(&whole, 0), read::<6>(&single, 0));
    }
}
