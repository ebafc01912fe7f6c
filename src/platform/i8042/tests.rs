use super::*;
use crate::platform::rig::{self, Wire, read8};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

struct Rig {
    device: Arc<I8042>,
    data: Arc<dyn Mmio>,
    command: Arc<dyn Mmio>,
    /// Interrupt 1.
    wire: Arc<Wire>,
    /// Interrupt 12.
    aux: Arc<Wire>,
    told: Arc<Lock<Vec<Request>>>,
    seat: Arc<Seat>,
}

fn rig() -> Rig {
    let (wire, aux, (notify, told)) = (Wire::new(), Wire::new(), rig::requests());
    let device = I8042::new([wire.clone(), aux.clone()], notify);
    let seat = Seat::new();
    device.attach(&seat);
    Rig { data: device.data_port(), command: device.command_port(), device, wire, aux, told, seat }
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

    /// The next bytes are the keyboard's, and each interrupts.
    fn keyboard(&self, n: usize) -> Vec<u8> {
        let next = |_| {
            assert_eq!((self.status() & (OUTPUT_FULL | AUX), self.wire.level()), (OUTPUT_FULL, true));
            read8(&*self.data, 0)
        };
        (0..n).map(next).collect()
    }

    /// The next bytes are the mouse's.
    fn mouse(&self, n: usize) -> Vec<u8> {
        let next = |_| {
            assert_eq!((self.status() & (OUTPUT_FULL | AUX), self.aux.level()), (OUTPUT_FULL | AUX, true));
            read8(&*self.data, 0)
        };
        (0..n).map(next).collect()
    }

    fn tell(&self, command: u8, byte: u8) {
        self.command.write(0, &[command]);
        self.data.write(0, &[byte]);
    }
}

/// The order in which drivers/input/serio/i8042.c goes about it.
#[test]
fn linux_finds_a_controller_a_keyboard_and_a_mouse() {
    let r = rig();
    assert_eq!(r.status() & OUTPUT_FULL, 0, "there is nothing to flush");
    assert_eq!(r.ask(0xaa), 0x55);
    let mode = r.ask(0x20);
    assert_eq!(mode & TRANSLATE, TRANSLATE);
    r.tell(0x60, mode & !KEYBOARD_INTERRUPT | KEYBOARD_OFF);
    assert_eq!(r.ask(0x20), mode & !KEYBOARD_INTERRUPT | KEYBOARD_OFF);
    assert_eq!(r.status() & NOT_LOCKED, NOT_LOCKED);
    // The loop-back is answered with the bit that says that it went through the auxiliary port.
    r.tell(0xd3, 0x5a);
    assert_eq!(r.status() & (OUTPUT_FULL | AUX), OUTPUT_FULL | AUX);
    assert_eq!(read8(&*r.data, 0), 0x5a);
    assert_eq!(r.ask(0xa9), 0);
    r.command.write(0, &[0xa7]);
    assert_eq!(r.ask(0x20) & AUX_OFF, AUX_OFF);
    r.command.write(0, &[0xa8]);
    assert_eq!(r.ask(0x20) & AUX_OFF, 0);
    // The loop-back interrupts, once that is allowed.
    assert!(!r.aux.level());
    r.tell(0x60, mode | AUX_INTERRUPT);
    r.tell(0xd3, 0xa5);
    assert!(r.aux.level() && !r.wire.level());
    assert_eq!((read8(&*r.data, 0), r.aux.level()), (0xa5, false));
    // The identities of both; that of a keyboard is translated.
    r.data.write(0, &[0xf2]);
    assert_eq!(r.keyboard(3), [0xfa, 0xab, 0x41]);
    assert!(r.wire.alternates());
    r.tell(0xd4, 0xf2);
    assert_eq!(r.mouse(2), [0xfa, 0]);
    assert_eq!(r.status() & OUTPUT_FULL, 0);
}

#[test]
fn keys_and_movements_come_byte_by_byte() {
    let r = rig();
    let key = |code, down| r.seat.send(&[Event::Key { code, down }]);
    key(30, true);
    assert_eq!(r.status() & OUTPUT_FULL, 0, "nobody has used the controller yet");
    r.tell(0x60, TRANSLATE | KEYBOARD_INTERRUPT | AUX_INTERRUPT);
    key(30, false);
    key(103, true);
    assert!(!r.seat.settled());
    assert_eq!(r.keyboard(2), [0xe0, 0x48]);
    assert!(r.seat.settled());
    key(103, false);
    assert_eq!(r.keyboard(2), [0xe0, 0xc8]);
    // Raw.
    r.tell(0x60, KEYBOARD_INTERRUPT | AUX_INTERRUPT);
    key(103, true);
    key(103, false);
    assert_eq!(r.keyboard(5), [0xe0, 0x75, 0xe0, 0xf0, 0x75]);
    r.tell(0xd4, 0xf4);
    assert_eq!(r.mouse(1), [0xfa]);
    let screen = crate::host::screen::Size { width: 100, height: 100 };
    r.seat.send(&[Event::MoveTo { x: 3, y: 2, screen }]);
    key(30, true);
    assert_eq!(r.mouse(1), [0x28]);
    assert_eq!(r.keyboard(1), [0x1c], "the keyboard goes first");
    assert_eq!(r.mouse(2), [3, 0xfe]);
    // A port that is off keeps what it has.
    r.command.write(0, &[0xad]);
    key(30, false);
    assert_eq!(r.status() & OUTPUT_FULL, 0);
    let rung = Arc::new(AtomicU32::new(0));
    let count = rung.clone();
    let _watcher = r.seat.lights().watch(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    r.data.write(0, &[0xed]);
    r.data.write(0, &[4]);
    assert!(r.seat.leds().unwrap().caps_lock);
    assert_eq!(rung.load(Ordering::Relaxed), 1);
    assert!(r.wire.alternates() && r.aux.alternates());
}

/// A keyboard that was typed at before there was a driver does not keep the driver from starting.
#[test]
fn no_more_waits_than_linux_flushes() {
    let r = rig();
    r.command.write(0, &[0xae]);
    for code in 2..40 {
        r.seat.send(&[Event::Key { code, down: true }]);
        r.seat.send(&[Event::Key { code, down: false }]);
    }
    let count = std::iter::from_fn(|| (r.status() & OUTPUT_FULL != 0).then(|| read8(&*r.data, 0))).count();
    assert!((8..=16).contains(&count), "{count}");
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
    assert_eq!((read8(&*r.data, 0), r.ask(0x25)), (0xfe, 0));
    assert_eq!(r.status() & COMMAND, COMMAND);
}

proptest! {
    #[test]
    fn any_access_is_harmless_and_reset_makes_it_as_new(accesses in prop::collection::vec((rig::accesses(1), any::<bool>()), 0..8)) {
        let r = rig();
        for (some, to_data) in &accesses {
            some.iter().for_each(|a| a.run(if *to_data { &*r.data } else { &*r.command }));
            r.seat.send(&[Event::Key { code: 30, down: *to_data }, Event::MoveBy { x: 1, y: 1 }]);
            let state = r.device.state.lock();
            prop_assert_eq!([r.wire.level(), r.aux.level()], state.interrupts());
        }
        prop_assert!(r.wire.alternates() && r.aux.alternates());
        prop_assert_eq!(r.status() & 0xc2, 0, "neither busy nor an error");
        r.device.reset().unwrap();
        prop_assert_eq!(r.status(), rig().status());
        prop_assert!(!r.wire.level());
        prop_assert_eq!(r.ask(0x20), 0x45);
    }
}
