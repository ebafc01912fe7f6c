//! The page in a real browser, that plays what a card plays.

use super::super::*;
use super::browser::Browser;
use crate::host::sound::{Format, Null, Sample, Sink};
use serde_json::json;
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Not the page's own rate.
const FORMAT: Format = Format { sample: Sample::Float, channels: 2, rate: 44100 };
const HERTZ: [f64; 2] = [441.0, 735.0];

/// Plays both tones, at the pace of a card, until it is told to end; and leaves out what it is told to.
fn play(card: &mut dyn Sink, end: &AtomicBool, mute: &AtomicBool) {
    const PERIOD: u32 = FORMAT.rate / 50;
    let begin = Instant::now();
    card.start(FORMAT);
    for period in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        let value = |n: u32, hertz: f64| 0.5 * (TAU * hertz * f64::from(n) / f64::from(FORMAT.rate)).sin();
        let frames = (period * PERIOD..(period + 1) * PERIOD).flat_map(|n| HERTZ.map(|hertz| value(n, hertz) as f32));
        if !mute.load(Ordering::Relaxed) {
            card.write(&frames.flat_map(f32::to_le_bytes).collect::<Vec<_>>());
        }
        let next = Duration::from_millis(20) * (period + 1);
        std::thread::sleep(next.saturating_sub(begin.elapsed()));
    }
    card.stop();
}

#[test]
fn a_browser_plays_what_the_guest_plays() {
    let room = super::room();
    let (mut card, end, mute) = (room.sound.card(Box::new(Null)), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| play(&mut card, &end, &mute));
        // Also when something here fails.
        let _end = Ending(&end);
        let web = Web::open(Place::default().0, &room, true).unwrap();
        let mut browser = Browser::start();
        browser.open(&web.link().unwrap());
        browser.until("document.body.dataset.state === 'connected'");
        browser.until("!document.getElementById('sound').hidden");
        let pressed = |is: bool| format!("document.getElementById('sound').ariaPressed === '{is}'");
        // Nobody has touched the page yet.
        browser.until(&pressed(false));
        assert_eq!(browser.value("typeof ears"), json!("undefined"));
        browser.key("KeyA", "a", 65);
        browser.until(&pressed(true));
        browser.hears(HERTZ, 0.5);

        // While there is nothing to play the browser rests too.
        mute.store(true, Ordering::Relaxed);
        browser.until("ears[0].context.state === 'suspended'");
        mute.store(false, Ordering::Relaxed);
        browser.hears(HERTZ, 0.5);

        let switch = "document.getElementById('sound').click()";
        browser.value(switch);
        browser.until(&pressed(false));
        browser.until("ears[0].context.state === 'suspended'");
        browser.value(switch);
        browser.hears(HERTZ, 0.5);

        // After a reload it is on again, when the page has been touched.
        browser.call("Page.reload", json!({}));
        browser.until("document.body?.dataset.state === 'connected' && typeof ears === 'undefined'");
        browser.click(500.0, 400.0);
        browser.hears(HERTZ, 0.5);
        assert_eq!(browser.complaints, Vec::<String>::new());
    });
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A page that comes over a network, unencrypted, may have no worklets: there is another way then.
#[test]
fn a_browser_without_worklets_plays_it_too() {
    let room = super::room();
    let (mut card, end, mute) = (room.sound.card(Box::new(Null)), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| play(&mut card, &end, &mute));
        let _end = Ending(&end);
        let web = Web::open(Place::default().0, &room, true).unwrap();
        let mut browser = Browser::start();
        let source = "Object.defineProperty(BaseAudioContext.prototype, 'audioWorklet', { value: undefined })";
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
        browser.open(&web.link().unwrap());
        browser.until("document.body.dataset.state === 'connected' && !document.getElementById('sound').hidden");
        browser.click(500.0, 400.0);
        browser.hears(HERTZ, 0.5);
    });
}
