use super::super::tests::{Rig, rig};
use crate::host::seat::{Button, Class, Event, Input};
use crate::sys::Lock;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A device that keeps what it is given.
struct Device {
    class: Class,
    ready: AtomicBool,
    /// It says that many times that the guest has not been told yet.
    slow: AtomicU32,
    got: Lock<Vec<Event>>,
}

impl Input for Device {
    fn class(&self) -> Class {
        self.class
    }
    fn ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }
    fn settled(&self) -> bool {
        self.slow.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
    fn put(&self, events: &[Event]) {
        assert_eq!(self.slow.load(Ordering::SeqCst), 0, "it is given more than it takes");
        self.got.lock().extend(events);
    }
}

impl Device {
    fn on(rig: &Rig, class: Class) -> Arc<Device> {
        let device = Arc::new(Device { class, ready: true.into(), slow: 0.into(), got: Lock::default() });
        rig.seat.attach(device.clone());
        device
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.got.lock())
    }
}

/// With the screen that [`Rig::paint`] makes: 4 by 2 pixels.
fn desk() -> (Rig, Arc<Device>, Arc<Device>) {
    let rig = rig();
    rig.paint(1);
    let (keyboard, tablet) = (Device::on(&rig, Class::Keyboard), Device::on(&rig, Class::Tablet));
    (rig, keyboard, tablet)
}

fn key(code: u16, down: bool) -> Event {
    Event::Key { code, down }
}

fn stroke(code: u16) -> [Event; 2] {
    [key(code, true), key(code, false)]
}

#[test]
fn text_is_typed_as_keys() {
    let (rig, keyboard, _) = desk();
    assert_eq!(rig.call("POST", "/v1/type", br#"{"text": "aB\n", "pace": 0}"#).0, 200);
    let mut expected = stroke(30).to_vec();
    expected.extend([key(42, true), key(48, true), key(48, false), key(42, false)]);
    expected.extend(stroke(28));
    assert_eq!(keyboard.take(), expected);
    let (status, why) = rig.refused("POST", "/v1/type", "{\"text\": \"a\u{6f22}\"}".as_bytes());
    assert_eq!((status, why.contains('\u{6f22}')), (400, true), "{why}");
    assert!(keyboard.take().is_empty(), "all of it or nothing");
}

#[test]
fn chords_are_pressed_one_after_the_other() {
    let (rig, keyboard, _) = desk();
    assert_eq!(rig.call("POST", "/v1/keys", br#"{"keys": ["ctrl-alt-f2", "enter"], "pace": 0}"#).0, 200);
    let mut expected = [29, 56, 60].map(|code| key(code, true)).to_vec();
    expected.extend([60, 56, 29].map(|code| key(code, false)));
    expected.extend(stroke(28));
    assert_eq!(keyboard.take(), expected);
    assert_eq!(rig.refused("POST", "/v1/keys", br#"{"keys": ["enter", "hyperspace"]}"#).0, 400);
    assert!(keyboard.take().is_empty());
}

#[test]
fn a_slow_guest_is_given_time() {
    let (rig, keyboard, _) = desk();
    keyboard.slow.store(3, Ordering::SeqCst);
    // The first event finds it busy; nothing is sent before it is not.
    let events = r#"{"events": ["let-go", {"down": "a"}, {"up": "a"}]}"#;
    assert_eq!(rig.call("POST", "/v1/input", events.as_bytes()).0, 200);
    assert_eq!(keyboard.take(), stroke(30));
}

#[test]
fn clicks_are_where_the_screen_is() {
    let (rig, _, tablet) = desk();
    assert_eq!(
        rig.call("POST", "/v1/click", br#"{"x": 3, "y": 1, "button": "right", "double": true, "pace": 0}"#).0,
        200
    );
    let got = tablet.take();
    assert!(matches!(got[0], Event::MoveTo { x: 3, y: 1, screen } if (screen.width, screen.height) == (4, 2)));
    let click = [true, false].map(|down| Event::Button { button: Button::Right, down });
    assert_eq!(got[1..], [click, click].concat());
    for outside in [r#"{"x": 4, "y": 1}"#, r#"{"x": 0, "y": 2}"#, r#"{"x": 4294967295, "y": 0}"#] {
        assert_eq!(rig.refused("POST", "/v1/click", outside.as_bytes()).0, 400, "{outside}");
    }
    rig.brush.hide();
    assert_eq!(rig.refused("POST", "/v1/click", br#"{"x": 0, "y": 0}"#).0, 409);
    assert!(tablet.take().is_empty());
}

#[test]
fn events_come_as_they_are_given_and_what_is_held_stays_held() {
    let (rig, keyboard, tablet) = desk();
    let send = |events: &str| rig.call("POST", "/v1/input", format!("{{\"events\": [{events}]}}").as_bytes()).0;
    let events =
        r#"{"down": "shift"}, {"down": 30}, {"pause": 1}, {"up": 30}, {"move-to": [1, 1]}, {"button-down": "left"}"#;
    assert_eq!(send(events), 200);
    assert_eq!(keyboard.take(), [key(42, true), key(30, true), key(30, false)]);
    assert_eq!(tablet.take()[1..], [Event::Button { button: Button::Left, down: true }]);
    assert_eq!(send(r#"{"wheel": [0, -1]}, {"move-by": [-5, 5]}, "let-go""#), 200);
    assert_eq!(keyboard.take(), [key(42, false)]);
    let button = Event::Button { button: Button::Left, down: false };
    let got = tablet.take();
    assert_eq!(got[0], Event::Wheel { x: 0, y: -1 });
    assert!(matches!(got[1], Event::MoveTo { x: 0, y: 1, .. }), "a tablet is told where, not how far: {:?}", got[1]);
    assert_eq!(got[2..], [button]);
}

#[test]
fn what_nobody_listens_to_is_not_done() {
    let (rig, keyboard, tablet) = desk();
    keyboard.ready.store(false, Ordering::SeqCst);
    tablet.ready.store(false, Ordering::SeqCst);
    assert!(rig.refused("POST", "/v1/type", br#"{"text": "a"}"#).1.contains("keyboard"));
    assert!(rig.refused("POST", "/v1/click", br#"{"x": 0, "y": 0}"#).1.contains("mouse"));
    assert!(keyboard.take().is_empty() && tablet.take().is_empty());
}

#[test]
fn more_than_is_sensible_is_refused() {
    let (rig, keyboard, _) = desk();
    let many = "a".repeat(16385);
    let events = vec![r#"{"down": 30}"#; 16385].join(",");
    for (path, body) in [
        ("/v1/type", format!("{{\"text\": \"{many}\"}}")),
        ("/v1/type", r#"{"text": "a", "pace": 10001}"#.to_string()),
        ("/v1/type", r#"{"text": "a", "speed": 1}"#.to_string()),
        ("/v1/input", format!("{{\"events\": [{events}]}}")),
        ("/v1/input", r#"{"events": [{"pause": 18446744073709551615}]}"#.to_string()),
        ("/v1/input", r#"{"events": [{"down": 0}]}"#.to_string()),
        ("/v1/input", r#"{"events": [{"down": 768}]}"#.to_string()),
        ("/v1/input", r#"{"events": [{"down": "ctrl-a"}]}"#.to_string()),
        ("/v1/input", r#"{"events": [{"down": "a", "up": "a"}]}"#.to_string()),
        ("/v1/input", r#"{"events": [{"move-to": [0]}]}"#.to_string()),
        ("/v1/click", r#"{"x": -1, "y": 0}"#.to_string()),
        ("/v1/click", r#"{"x": 0, "y": 0, "button": "nose"}"#.to_string()),
        ("/v1/input", "[".repeat(100_000)),
    ] {
        let (status, why) = rig.refused("POST", path, body.as_bytes());
        assert_eq!(status, 400, "{path}: {why}");
    }
    let long = format!("{{\"text\": \"{}\"}}", "a".repeat(1 << 20));
    assert_eq!(rig.refused("POST", "/v1/type", long.as_bytes()).0, 413);
    assert!(keyboard.take().is_empty());
}

fn event() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u16..0x310).prop_map(|code| format!("{{\"down\": {code}}}")),
        (0u16..0x310).prop_map(|code| format!("{{\"up\": {code}}}")),
        "[ -~]{0,8}".prop_map(|name| serde_json::json!({ "down": name }).to_string()),
        (any::<u32>(), 0u32..6).prop_map(|(x, y)| format!("{{\"move-to\": [{x}, {y}]}}")),
        (any::<i32>(), any::<i16>()).prop_map(|(x, y)| format!("{{\"move-by\": [{x}, {y}]}}")),
        any::<i16>().prop_map(|y| format!("{{\"wheel\": [0, {y}]}}")),
        Just("\"let-go\"".to_string()),
        Just("{\"button-down\": \"middle\"}".to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_asked_for_nothing_stays_held_that_was_let_go(events in prop::collection::vec(event(), 0..40)) {
        let (rig, keyboard, tablet) = desk();
        let body = format!("{{\"events\": [{}]}}", events.join(","));
        let status = rig.call("POST", "/v1/input", body.as_bytes()).0;
        prop_assert!(status == 200 || status == 400);
        let before = keyboard.take().len() + tablet.take().len();
        prop_assert!(status == 200 || before == 0, "all of it or nothing");
        prop_assert_eq!(rig.call("POST", "/v1/input", b"{\"events\": [\"let-go\"]}").0, 200);
        prop_assert_eq!(rig.call("POST", "/v1/input", b"{\"events\": [\"let-go\"]}").0, 200);
        let ups = keyboard.take();
        let is_up = |event: &Event| matches!(event, Event::Key { down: false, .. });
        prop_assert!(ups.iter().all(is_up));
    }
}
