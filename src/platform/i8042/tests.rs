use super::*;
use crate::platform::rig::{self, Wire, read8};
use proptest::prelude::*;

struct Rig {
    device: Arc<I8042>,
    data: Arc<dyn Mmio>,
    command: Arc<dyn Mmio>,
    wire: Arc<Wire>,
    told: Arc<Lock<Vec<Request>>>,
}

fn rig() -> Rig {
    let (wire, (notify, told)) = (Wire::new(), rig::requests());
    let device = I8042::new(wire.clone(), notify);
    Rig { data: device.data_port(), command: device.command_port(), device, wire, told }
}

impl Rig {
    fn status(&self) -> u8 {
        read8(&*self.command, 0)
    }

    fn ask(&self, command: u8) -> u8 {
        self.command.write(0, &[command]);
        assert_eq!(self.status() & OUTPUT_FULL, OUTPUT_FULL, "command {command:#x} is answered at once");
        read8(&*self.data, 0)
    }

    fn tell(&self, command: u8, byte: u8) {
        self.command.write(0, &[command]);
        self.data.write(0, &[byte]);
    }
}

/// The order in which drivers/input/serio/i8042.c goes about it.
#[test]
fn linux_finds_a_controller_with_nothing_plugged_in() {
    let r = rig();
    assert_eq!(r.status() & OUTPUT_FULL, 0, "there is nothing to flush");
    assert_eq!(r.ask(0xaa), 0x55);
    let mode = r.ask(0x20);
    assert_eq!(mode & TRANSLATE, TRANSLATE);
    r.tell(0x60, mode & !KEYBOARD_INTERRUPT | KEYBOARD_OFF);
    assert_eq!(r.ask(0x20), mode & !KEYBOARD_INTERRUPT | KEYBOARD_OFF);
    assert_eq!(r.status() & NOT_LOCKED, NOT_LOCKED);
    // The loop-back is answered, but not with the bit (5) that says it went through an auxiliary port.
    r.tell(0xd3, 0x5a);
    assert_eq!(r.status() & (OUTPUT_FULL | 1 << 5), OUTPUT_FULL);
    assert_eq!(r.ask(0xa9), 1);
    // The keyboard driver asks for its identity: nobody is there.
    r.tell(0x60, mode);
    r.data.write(0, &[0xf2]);
    assert_eq!(r.status() & (OUTPUT_FULL | TIME_OUT), OUTPUT_FULL | TIME_OUT);
    assert!(r.wire.level());
    assert_eq!(read8(&*r.data, 0), RESEND);
    assert!(!r.wire.level());
    assert_eq!(r.status() & (OUTPUT_FULL | TIME_OUT), 0);
}

#[test]
fn the_reset_line_can_be_pulled_in_two_ways() {
    let r = rig();
    r.command.write(0, &[0xfe]);
    r.tell(0xd1, 0xfe);
    assert_eq!(*r.told.lock(), [Request::Reset, Request::Reset]);
    // A20 and a pulse of other lines are harmless.
    r.tell(0xd1, 0xdd);
    r.tell(0xd1, 0xdf);
    for command in [0xdd, 0xdf, 0xff, 0xfd] {
        r.command.write(0, &[command]);
    }
    assert_eq!(r.told.lock().len(), 2);
    assert_eq!(r.ask(0xd0), 0xdf);
}

#[test]
fn a_parameter_belongs_to_the_command_before_it() {
    let r = rig();
    r.command.write(0, &[0x65]);
    r.command.write(0, &[0x66]);
    r.data.write(0, &[0x42]);
    assert_eq!((r.ask(0x25), r.ask(0x26)), (0, 0x42));
    r.command.write(0, &[0x65]);
    r.command.write(0, &[0xae]);
    r.data.write(0, &[0x43]);
    assert_eq!((read8(&*r.data, 0), r.ask(0x25)), (RESEND, 0));
    assert_eq!(r.status() & COMMAND, COMMAND);
}

proptest! {
    #[test]
    fn any_access_is_harmless_and_reset_makes_it_as_new(accesses in prop::collection::vec((rig::accesses(1), any::<bool>()), 0..8)) {
        let r = rig();
        for (some, to_data) in &accesses {
            some.iter().for_each(|a| a.run(if *to_data { &*r.data } else { &*r.command }));
            let state = r.device.state.lock();
            prop_assert_eq!(r.wire.level(), state.interrupt());
        }
        prop_assert!(r.wire.alternates());
        prop_assert_eq!(r.status() & 0x82, 0, "neither busy nor a parity error");
        r.device.reset().unwrap();
        prop_assert_eq!(r.status(), rig().status());
        prop_assert!(!r.wire.level());
        prop_assert_eq!(r.ask(0x20), 0x45);
    }
}
