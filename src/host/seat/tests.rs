use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

struct Device {
    class: Class,
    ready: AtomicBool,
    got: Lock<Vec<Event>>,
}

impl Input for Device {
    fn class(&self) -> Class {
        self.class
    }
    fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
    fn put(&self, events: &[Event]) {
        self.got.lock().extend(events);
    }
    fn leds(&self) -> Option<Leds> {
        Some(Leds { caps_lock: true, ..Leds::default() })
    }
}

impl Device {
    fn new(seat: &Seat, class: Class, ready: bool) -> Arc<Device> {
        let device = Arc::new(Device { class, ready: AtomicBool::new(ready), got: Lock::default() });
        seat.attach(device.clone());
        device
    }

    fn got(&self) -> Vec<Event> {
        std::mem::take(&mut self.got.lock())
    }
}

const SCREEN: Size = Size { width: 100, height: 50 };
const A: u16 = 30;

fn key(code: u16, down: bool) -> Event {
    Event::Key { code, down }
}

fn to(x: u32, y: u32) -> Event {
    Event::MoveTo { x, y, screen: SCREEN }
}

#[test]
fn the_last_keyboard_with_a_driver_is_used() {
    let seat = Seat::new();
    assert_eq!(seat.leds(), None);
    let (old, new) = (Device::new(&seat, Class::Keyboard, true), Device::new(&seat, Class::Keyboard, false));
    assert!(seat.leds().unwrap().caps_lock);
    seat.send(&[key(A, true)]);
    assert_eq!((old.got(), new.got()), (vec![key(A, true)], vec![]));
    // Its driver starts while a key is held: the key is let go where it was pressed.
    new.ready.store(true, Ordering::Relaxed);
    seat.send(&[key(31, true), key(A, false)]);
    assert_eq!((old.got(), new.got()), (vec![key(A, false)], vec![key(31, true)]));
    seat.send(&[key(31, true)]);
    seat.send(&[key(31, false), key(A, false)]);
    assert_eq!((old.got(), new.got()), (vec![], vec![key(31, true), key(31, false), key(A, false)]));
}

#[test]
fn a_pointer_goes_to_a_place_or_by_a_way() {
    let seat = Seat::new();
    seat.send(&[to(1, 1)]);
    let mouse = Device::new(&seat, Class::Mouse, true);
    seat.send(&[to(10, 20)]);
    seat.send(&[to(7, 21), Event::Button { button: Button::Left, down: true }]);
    let by = |x, y| Event::MoveBy { x, y };
    assert_eq!(mouse.got(), [by(10, 20), by(-3, 1), Event::Button { button: Button::Left, down: true }]);
    let tablet = Device::new(&seat, Class::Tablet, true);
    seat.send(&[to(8, 8), Event::Button { button: Button::Left, down: false }]);
    assert_eq!(
        (mouse.got(), tablet.got()),
        (vec![Event::Button { button: Button::Left, down: false }], vec![to(8, 8)])
    );
    seat.send(&[by(1, 1), Event::Wheel { x: 0, y: 1 }]);
    assert_eq!(mouse.got(), [by(1, 1), Event::Wheel { x: 0, y: 1 }]);
    // A tablet alone is told the place.
    mouse.ready.store(false, Ordering::Relaxed);
    seat.send(&[by(200, -200)]);
    assert_eq!(tablet.got(), [to(99, 0)]);
    // Nonsense is bounded.
    mouse.ready.store(true, Ordering::Relaxed);
    tablet.ready.store(false, Ordering::Relaxed);
    seat.send(&[to(u32::MAX, 0)]);
    assert_eq!(mouse.got(), [by(1 << 20, 0)]);
}

#[test]
fn who_leaves_lets_go() {
    let seat = Seat::new();
    let (keyboard, mouse) = (Device::new(&seat, Class::Keyboard, true), Device::new(&seat, Class::Mouse, true));
    let mut hands = Hands::new(&seat);
    hands.send(&[key(A, true), key(31, true), key(31, false), Event::Button { button: Button::Right, down: true }]);
    keyboard.got();
    mouse.got();
    drop(hands);
    assert_eq!(keyboard.got(), [key(A, false)]);
    assert_eq!(mouse.got(), [Event::Button { button: Button::Right, down: false }]);
}
