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

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// With the page of a machine whose card plays meanwhile, and may be muted; and a browser that has not opened it yet.
fn beside_a_card(test: impl FnOnce(&Web, &mut Browser, &AtomicBool)) {
    let room = super::room();
    let (mut card, end, mute) = (room.sound.card(Box::new(Null)), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| play(&mut card, &end, &mute));
        // Also when something here fails.
        let _end = Ending(&end);
        let web = Web::open(Place::default().0, &room, true).unwrap();
        test(&web, &mut Browser::start(), &mute);
    });
}

#[test]
fn a_browser_plays_what_the_guest_plays() {
    beside_a_card(|web, browser, mute| {
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

/// A page that comes over a network, unencrypted, may have no worklets: there is another way then.
#[test]
fn a_browser_without_worklets_plays_it_too() {
    beside_a_card(|web, browser, _| {
        let source = "Object.defineProperty(BaseAudioContext.prototype, 'audioWorklet', { value: undefined })";
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
        browser.open(&web.link().unwrap());
        browser.until("document.body.dataset.state === 'connected' && !document.getElementById('sound').hidden");
        browser.click(500.0, 400.0);
        browser.hears(HERTZ, 0.5);
    });
}

/// What the page does with sound that comes too late, too early, or all at once: steps between samples are no larger than those of the tone, but for
/// what one place that becomes another adds.
const RING: &str = "
    (async () => {
      const { Ring } = await import('/speaker.js');
      const ring = new Ring();
      let [now, last, steps, most] = [0, 0, 0, 0];
      const put = count => {
        const frames = new Int16Array(2 * count);
        for (let n = 0; n < count; n++, now++) {
          frames[2 * n] = 16384 * Math.sin(2 * Math.PI * 480 * now / 48000);
          frames[2 * n + 1] = -frames[2 * n];
        }
        ring.put(frames);
        most = Math.max(most, ring.count);
      };
      // How loud it was.
      const take = count => {
        const [left, right] = [new Float32Array(count), new Float32Array(count)];
        ring.take(left, right);
        let loud = 0;
        left.forEach((value, n) => {
          steps = Math.max(steps, Math.abs(value - last), Math.abs(value + right[n]));
          last = value;
          loud = Math.max(loud, Math.abs(value));
        });
        return loud;
      };
      const before = take(128);
      // It ends where it is loudest.
      put(2425);
      const lead = take(2880);
      const first = take(2425);
      // There is nothing more, so it fades.
      take(300);
      const after = take(128);
      // Much too much, and then a piece for each that is taken.
      for (let n = 0; n < 100; n++) put(960);
      put(9600);
      const flood = most;
      for (let n = 0; n < 300; n++) { put(960); take(960); }
      return { before, lead, first, after, flood, late: ring.count, steps };
    })()";

#[test]
fn what_comes_late_or_at_once_makes_no_clicks_and_is_not_kept() {
    let web = Web::open(Place::default().0, &super::room(), true).unwrap();
    let mut browser = Browser::start();
    browser.open(&web.link().unwrap());
    browser.until("document.body.dataset.state === 'connected'");
    let ring = browser.value(RING);
    let of = |name: &str| ring[name].as_f64().unwrap();
    assert_eq!((of("before"), of("lead")), (0.0, 0.0), "{ring}");
    assert!((of("first") - 0.5).abs() < 0.001 && of("after") < 0.001, "{ring}");
    assert!(of("flood") <= 17280.0, "more than 360 ms wait: {ring}");
    assert!(of("late") < 5000.0, "what is not needed is still there: {ring}");
    assert!(of("steps") < 0.05, "it clicks: {ring}");
}
