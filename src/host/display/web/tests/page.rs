//! The page in a real browser, in front of a screen that the test draws.


use super::super::*;
use crate::host::screen::{Brush, Rank, Screen, Size, Source};
use crate::host::display::fakes::{Card, Desk};
use crate::host::seat::{Button, Class, Event, Seat};
use crate::sys::Lock;
use super::browser::Browser;
use serde_json::json;
use std::sync::Weak;

/// Every pixel is another, as far as that goes.
fn pixel(x: u32, y: u32, seed: u32) -> u32 {
    (x * 7 + y * 131 + seed).wrapping_mul(0x9e_3779) & 0xff_ffff
}

fn draw(brush: &Brush, size: Size, seed: u32) -> Vec<u32> {
    brush.show(size);
    let fill = |y: u32, row: &mut [u32]| (0..).zip(row).for_each(|(x, p)| *p = pixel(x, y, seed));
    brush.draw(size.whole(), fill);
    (0..size.height).flat_map(|y| (0..size.width).map(move |x| pixel(x, y, seed))).collect()
}

/// Until the browser shows this picture.
fn shows(browser: &mut Browser, size: Size, want: &[u32]) {
    browser.until(&format!("document.querySelector('#screen canvas')?.width === {}", size.width));
    for _ in 0..200 {
        let (width, have) = browser.screen();
        if (width as u32, &have[..]) == (size.width, want) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the browser never shows the picture; complaints: {:?}", browser.complaints);
}

/// Waits until the test's device has heard what `seen` looks for.
#[track_caller]
fn hears<T: Clone + std::fmt::Debug>(list: &Lock<Vec<T>>, seen: impl Fn(&[T]) -> bool) -> Vec<T> {
    for _ in 0..400 {
        let now = list.lock().clone();
        if seen(&now) {
            return now;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it never came: {:?}", list.lock());
}

#[test]
fn a_browser_shows_the_screen_and_its_keys_and_clicks_arrive() {
    let (screen, seat, card) = (Screen::new(), Seat::new(), Arc::new(Card::default()));
    let keyboard = Arc::new(Desk(Class::Keyboard, Lock::default()));
    let tablet = Arc::new(Desk(Class::Tablet, Lock::default()));
    seat.attach(keyboard.clone());
    seat.attach(tablet.clone());
    let source: Weak<dyn Source> = Arc::downgrade(&card) as _;
    let brush = screen.attach(Rank::Driver, source);
    let small = Size { width: 320, height: 200 };
    let first = draw(&brush, small, 1);

    let web = Web::open(Place::default().0, &Room { screen, seat, sound: Arc::default() }, true).unwrap();
    let mut browser = Browser::start();
    browser.open(&web.link().unwrap());
    browser.until("document.body.dataset.state === 'connected'");
    assert_eq!(browser.value("location.search"), json!(""), "the token stays in sight");
    shows(&mut browser, small, &first);
    let second = draw(&brush, small, 2);
    shows(&mut browser, small, &second);

    browser.key("KeyA", "a", 65);
    let key = |code, down| Event::Key { code, down };
    let keys = hears(&keyboard.1, |e| e.contains(&key(30, false)));
    assert_eq!(keys, [key(30, true), key(30, false)]);
    browser.value("(() => { const k = document.getElementById('keys'); k.value = 'ctrl-alt-f2'; k.dispatchEvent(new Event('change')) })()");
    let keys = hears(&keyboard.1, |e| e.len() >= 8);
    let chord = [(29, true), (56, true), (60, true), (60, false), (56, false), (29, false)];
    assert_eq!(keys[2..], chord.map(|(code, down)| key(code, down)));

    let place = browser.value("(() => { const r = document.querySelector('#screen canvas').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()");
    browser.click(place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    let released = Event::Button { button: Button::Left, down: false };
    let events = hears(&tablet.1, |e| e.contains(&released));
    assert!(events.contains(&Event::Button { button: Button::Left, down: true }), "{events:?}");
    let near = |e: &Event| matches!(e, Event::MoveTo { x, y, screen } if x.abs_diff(160) < 3 && y.abs_diff(100) < 3 && *screen == small);
    assert!(events.iter().any(near), "{events:?}");

    // The window has another size, and so the guest is asked for one.
    card.0.lock().clear();
    browser.call("Emulation.setDeviceMetricsOverride", json!({"width": 700, "height": 500, "deviceScaleFactor": 1, "mobile": false}));
    let asked = hears(&card.0, |a| a.iter().any(|s| s.width == 700));
    let large = *asked.last().unwrap();
    assert!(large.height > 400 && large.height < 500, "{large:?}");
    let third = draw(&brush, large, 3);
    shows(&mut browser, large, &third);

    // A second page of the same browser needs no link, and after a reload it is the same again.
    browser.page();
    browser.open(&web.address);
    shows(&mut browser, large, &third);
    browser.call("Page.reload", json!({}));
    browser.until("document.body?.dataset.state === 'connected'");
    shows(&mut browser, large, &third);
    assert_eq!(browser.complaints, Vec::<String>::new());

    drop(web);
    browser.until("document.body.dataset.state === 'ended'");
    assert_eq!(browser.value("document.getElementById('words').textContent"), json!("The guest has ended."));
}

#[test]
fn a_link_that_was_used_shows_another_browser_nothing() {
    let web = Web::open(Place::default().0, &super::room(), true).unwrap();
    let (address, token) = super::parts(&web);
    assert_eq!(super::status(&super::get(&address, &format!("/?token={token}"), "")), 200);
    let mut browser = Browser::start();
    browser.open(&format!("{}?token={token}", web.address));
    browser.until("document.body.innerText.includes('this link has been used')");
    assert_eq!(browser.value("document.querySelectorAll('script').length"), json!(0));
}
