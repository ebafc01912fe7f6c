use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver};
use crate::host::screen;
use crate::host::seat::{Button, Hands, Seat};
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};

struct Rig {
    seat: Arc<Seat>,
    device: Box<dyn Device>,
    driver: Driver,
    posted: u64,
}

fn build(options: &str, host: &Host) -> Box<dyn Device> {
    (KIND.build)(&Options::parse(options, KIND.positional()).unwrap(), host).unwrap().into_virtio()
}

impl Rig {
    /// The driver gives so many buffers.
    fn new(kind: &str, buffers: u64) -> Rig {
        let host = Host::new(Arc::new(|_| {}));
        let mut device = build(kind, &host);
        let driver = Driver::new(&mut *device, u64::MAX);
        let mut rig = Rig { seat: host.seat, device, driver, posted: 0 };
        rig.post(buffers);
        rig
    }

    fn post(&mut self, buffers: u64) {
        for _ in 0..buffers {
            self.driver.post(EVENTS, &[(DATA + self.posted % 64 * 8, 8, true)]);
            self.posted += 1;
        }
        self.driver.kick(&mut *self.device, EVENTS).unwrap();
    }

    /// What the driver is told: type, code, value. Its buffers are used up by that.
    fn told(&mut self) -> Vec<(u16, u16, i32)> {
        self.driver.poll(&mut *self.device).unwrap();
        let used = self.driver.used(EVENTS);
        let all = used.iter().map(|(head, len)| {
            assert_eq!(*len, 8);
            let [a, b, c, d, e, f, g, h] = self.driver.mem.read(DATA + u64::from(*head) * 8).unwrap();
            (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]), i32::from_le_bytes([e, f, g, h]))
        });
        all.collect()
    }

    fn query(&mut self, select: u8, subsel: u8) -> Vec<u8> {
        let config = self.driver.io.config.clone();
        self.device.config_written(0, &[select], &config, None);
        self.device.config_written(1, &[subsel], &config, None);
        let mut out = [0; 136];
        config.read(0, &mut out);
        assert_eq!(out[..2], [select, subsel]);
        out[8..8 + usize::from(out[2])].to_vec()
    }
}

fn key(code: u16, down: bool) -> Event {
    Event::Key { code, down }
}

fn has(bits: &[u8], code: u16) -> bool {
    bits.get(usize::from(code / 8)).is_some_and(|b| b >> (code % 8) & 1 == 1)
}

#[test]
fn it_says_what_it_is() {
    for (kind, name, product) in
        [("keyboard", "kiln keyboard", 1), ("tablet", "kiln tablet", 2), ("mouse", "kiln mouse", 3)]
    {
        let mut rig = Rig::new(kind, 0);
        assert_eq!(rig.query(1, 0), name.as_bytes());
        assert_eq!(rig.query(3, 0), [6, 0, 0xf4, 0x1a, product, 0, 1, 0]);
        let keys = rig.query(0x11, 1);
        assert_eq!((has(&keys, 30), has(&keys, 0x110), has(&keys, 255)), (kind == "keyboard", kind != "keyboard", false));
        assert_eq!(rig.query(0x11, 0x11), if kind == "keyboard" { vec![7] } else { vec![] });
        assert_eq!(rig.query(0x11, 0x14).len(), usize::from(kind == "keyboard"));
        assert_eq!(rig.query(0x11, 3), if kind == "tablet" { vec![3] } else { vec![] });
        let axis = rig.query(0x12, 1);
        assert_eq!(axis.len(), if kind == "tablet" { 20 } else { 0 });
        assert_eq!(axis.get(4..8), (kind == "tablet").then_some(&[0xff, 0x7f, 0, 0][..]));
        let relative = rig.query(0x11, 2);
        assert_eq!((has(&relative, 0), has(&relative, 8)), (kind == "mouse", kind != "keyboard"));
        for (select, subsel) in [(0, 0), (1, 1), (2, 0), (3, 1), (0x10, 0), (0x11, 0xff), (0x12, 2), (0xff, 0)] {
            assert!(rig.query(select, subsel).is_empty(), "{kind} {select:#x} {subsel}");
        }
    }
    assert!("joystick".parse::<What>().is_err());
}

#[test]
fn keys_are_told_one_by_one() {
    let mut rig = Rig::new("keyboard", 16);
    rig.seat.send(&[key(30, true), key(30, true), key(999, true), key(31, true), key(30, false), key(32, false)]);
    let expected = [(1, 30, 1), (0, 0, 0), (1, 31, 1), (0, 0, 0), (1, 30, 0), (0, 0, 0)];
    assert_eq!(rig.told(), expected, "neither a repetition nor an unknown key");
    assert_eq!(rig.driver.interrupts(), 1);
    assert_eq!(rig.told(), []);
}

#[test]
fn a_report_is_told_whole_or_not_yet() {
    let mut rig = Rig::new("tablet", 2);
    let at = |x, y| Event::MoveTo { x, y, screen: screen::Size { width: 101, height: 51 } };
    rig.seat.send(&[at(50, 50)]);
    assert_eq!(rig.told(), [], "two of three");
    // The place changes while it waits.
    rig.seat.send(&[at(100, 0)]);
    rig.seat.send(&[Event::Button { button: Button::Left, down: true }]);
    rig.post(1);
    assert_eq!(rig.told(), [(3, 0, 0x7fff), (3, 1, 0), (0, 0, 0)]);
    rig.post(61);
    assert_eq!(rig.told(), [(1, 0x110, 1), (0, 0, 0)]);
    rig.seat.send(&[at(50, 25), Event::Wheel { x: -1, y: 2 }]);
    let wheel = [(2, 8, -2), (2, 11, -240), (2, 6, -1), (2, 12, -120), (0, 0, 0)];
    assert_eq!(rig.told(), [&[(3, 0, 0x4000), (3, 1, 0x4000), (0, 0, 0)][..], &wheel].concat());
}

#[test]
fn a_mouse_goes_as_far_as_it_was_moved() {
    let mut rig = Rig::new("mouse", 0);
    for _ in 0..10 {
        rig.seat.send(&[Event::MoveBy { x: 3, y: -1 }]);
    }
    rig.post(32);
    assert_eq!(rig.told(), [(2, 0, 30), (2, 1, -10), (0, 0, 0)]);
}

#[test]
fn what_waits_is_bounded_and_nothing_stays_pressed() {
    let mut rig = Rig::new("keyboard", 0);
    let mut hands = Hands::new(&rig.seat);
    for round in 0..3000u16 {
        hands.send(&[key(1 + round % 83, true)]);
        hands.send(&[key(1 + round % 83, false)]);
    }
    hands.send(&[key(97, true)]);
    drop(hands);
    let mut held = std::collections::BTreeSet::new();
    let mut count = 0;
    loop {
        rig.post(64);
        let told = rig.told();
        if told.is_empty() {
            break;
        }
        for (_, code, down) in told.into_iter().filter(|(kind, ..)| *kind == 1) {
            assert!(if down == 1 { held.insert(code) } else { held.remove(&code) });
            count += 1;
        }
    }
    assert!(held.is_empty());
    assert!((MOST..=MOST + 600).contains(&count), "{count}");
}

#[test]
fn lights_are_known_and_forgotten_with_the_driver() {
    let mut rig = Rig::new("keyboard", 0);
    let rung = Arc::new(AtomicU32::new(0));
    let count = rung.clone();
    let _watcher = rig.seat.lights().watch(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(rig.seat.leds(), None);
    let event = |code: u8, value: u8| [0x11, 0, code, 0, value, 0, 0, 0];
    rig.driver.mem.write(DATA, &[event(1, 1), event(0, 1), event(9, 1), event(0, 0), [0; 8]].concat()).unwrap();
    rig.driver.post(STATUS, &[(DATA, 40, false)]);
    rig.driver.kick(&mut *rig.device, STATUS).unwrap();
    assert_eq!(rig.driver.used(STATUS).len(), 1);
    assert_eq!(rig.seat.leds(), Some(Leds { caps_lock: true, ..Leds::default() }));
    assert_eq!(rung.load(Ordering::Relaxed), 1);
    // The same once more is no change.
    rig.driver.post(STATUS, &[(DATA, 8, false)]);
    rig.driver.kick(&mut *rig.device, STATUS).unwrap();
    assert_eq!(rung.load(Ordering::Relaxed), 1);
    rig.device.quiesce(&mut rig.driver.io).unwrap();
    rig.device.reset();
    assert_eq!(rig.seat.leds(), None);
    rig.seat.send(&[key(30, true)]);
    assert_eq!(rig.told(), [], "nobody listens");
}

fn events() -> impl Strategy<Value = Event> {
    let size = (any::<u32>(), any::<u32>()).prop_map(|(width, height)| screen::Size { width, height });
    prop_oneof![
        (0..300u16, any::<bool>()).prop_map(|(code, down)| key(code, down)),
        (any::<u32>(), any::<u32>(), size).prop_map(|(x, y, screen)| Event::MoveTo { x, y, screen }),
        (any::<i32>(), any::<i32>()).prop_map(|(x, y)| Event::MoveBy { x, y }),
        (any::<i32>(), any::<i32>()).prop_map(|(x, y)| Event::Wheel { x, y }),
        any::<bool>().prop_map(|down| Event::Button { button: Button::Back, down }),
    ]
}

proptest! {
    /// Buffers of any size on both queues, any configuration access, and whatever people do.
    #[test]
    fn no_driver_and_no_person_harms_it(
        kind in prop::sample::select(&["keyboard", "tablet", "mouse"][..]),
        steps in prop::collection::vec((prop::collection::vec(events(), 0..6), 0..2usize, prop::collection::vec((0..24u32, any::<bool>()), 1..4),
            0..200usize, any::<[u8; 4]>()), 0..24),
    ) {
        let mut rig = Rig::new(kind, 0);
        for (events, queue, parts, at, data) in steps {
            rig.seat.send(&events);
            let mut parts: Vec<_> = parts.into_iter().map(|(len, write)| (DATA, len, write)).collect();
            parts.sort_by_key(|p| p.2);
            rig.driver.post(queue, &parts);
            rig.driver.kick(&mut *rig.device, queue).unwrap();
            rig.driver.poll(&mut *rig.device).unwrap();
            let config = rig.driver.io.config.clone();
            rig.device.config_written(at, &data, &config, None);
            let mut out = [0; 136];
            config.read(0, &mut out);
            prop_assert!(usize::from(out[2]) <= 128 && out[3..8] == [0; 5]);
            for (_, len) in rig.driver.used(EVENTS) {
                prop_assert!(len <= 8);
            }
        }
    }
}
