//! Calls that press keys and buttons and move the pointer.

use super::{Answer, Desk, Request, Result, Stream, argument, bad, cannot, done};
use crate::host::screen::Size;
use crate::host::seat::keymap;
use crate::host::seat::{Button, Class, Event};
use crate::sys::readiness::{self, Watch};
use serde::Deserialize;
use std::os::fd::AsFd;
use std::time::Duration;

/// The most events, or characters, of one call.
const MOST: usize = 16384;
/// Milliseconds that a call may ask to wait between two events.
const LONGEST_PAUSE: u64 = 10_000;
/// Linux's codes of keys go so far (linux/input-event-codes.h, KEY_MAX).
const LAST_KEY: u16 = 0x2ff;

/// What hands do.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Do(Event),
    Pause(Duration),
    LetGo,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    events: Vec<InputEvent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum InputEvent {
    Down(Key),
    Up(Key),
    ButtonDown(Name),
    ButtonUp(Name),
    /// Pixels of the screen, from the top left corner.
    MoveTo([u32; 2]),
    /// Pixels, right and down.
    MoveBy([i16; 2]),
    /// Steps, right and down.
    Wheel([i8; 2]),
    /// Milliseconds.
    Pause(u64),
    /// All that is held.
    LetGo,
}

/// A key by its name, or by Linux's code.
#[derive(Deserialize)]
#[serde(untagged)]
enum Key {
    Code(u16),
    Name(String),
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Name {
    #[default]
    Left,
    Middle,
    Right,
    Back,
    Forward,
}

impl From<Name> for Button {
    fn from(name: Name) -> Button {
        match name {
            Name::Left => Button::Left,
            Name::Middle => Button::Middle,
            Name::Right => Button::Right,
            Name::Back => Button::Back,
            Name::Forward => Button::Forward,
        }
    }
}

/// Milliseconds between two events: slow enough for a PS/2 keyboard, which keeps a handful of them.
fn pace() -> u64 {
    10
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
    #[serde(default = "pace")]
    pace: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    keys: Vec<String>,
    #[serde(default = "pace")]
    pace: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Click {
    x: u32,
    y: u32,
    #[serde(default)]
    button: Name,
    #[serde(default)]
    double: bool,
    #[serde(default = "pace")]
    pace: u64,
}

pub fn input(desk: &Desk, request: &Request, from: &Stream) -> Result<Answer> {
    let Input { events } = argument(request)?;
    bounded(events.len())?;
    let steps = events.into_iter().map(|event| step(desk, event)).collect::<Result<Vec<_>>>()?;
    play(desk, from, &steps)
}

pub fn type_text(desk: &Desk, request: &Request, from: &Stream) -> Result<Answer> {
    let Text { text, pace } = argument(request)?;
    bounded(text.chars().count())?;
    let events = keymap::events_of_text(desk.front.seat.layout(), &text).map_err(bad)?;
    play(desk, from, &paced(&events, pace)?)
}

pub fn keys(desk: &Desk, request: &Request, from: &Stream) -> Result<Answer> {
    let Keys { keys, pace } = argument(request)?;
    bounded(keys.len())?;
    let mut events = Vec::new();
    for text in &keys {
        events.extend(keymap::chord(&keymap::parse_keys(desk.front.seat.layout(), text).map_err(bad)?));
    }
    play(desk, from, &paced(&events, pace)?)
}

pub fn click(desk: &Desk, request: &Request, from: &Stream) -> Result<Answer> {
    let Click { x, y, button, double, pace } = argument(request)?;
    let button = button.into();
    let once = [Event::Button { button, down: true }, Event::Button { button, down: false }];
    let mut events = vec![place(desk, x, y)?];
    events.extend(once);
    events.extend(once.into_iter().filter(|_| double));
    play(desk, from, &paced(&events, pace)?)
}

fn bounded(number: usize) -> Result<()> {
    if number > MOST { Err(bad(format!("{number} are more than {MOST}, the most in one call"))) } else { Ok(()) }
}

fn pause(milliseconds: u64) -> Result<Duration> {
    match milliseconds {
        0..=LONGEST_PAUSE => Ok(Duration::from_millis(milliseconds)),
        _ => Err(bad(format!("a pause of {milliseconds} ms: want at most {LONGEST_PAUSE}"))),
    }
}

fn paced(events: &[Event], pace: u64) -> Result<Vec<Step>> {
    let pause = Step::Pause(pause(pace)?);
    Ok(events.iter().flat_map(|event| [Step::Do(*event), pause]).collect())
}

fn step(desk: &Desk, event: InputEvent) -> Result<Step> {
    Ok(Step::Do(match event {
        InputEvent::Down(key) => Event::Key { code: code(desk, key)?, down: true },
        InputEvent::Up(key) => Event::Key { code: code(desk, key)?, down: false },
        InputEvent::ButtonDown(name) => Event::Button { button: name.into(), down: true },
        InputEvent::ButtonUp(name) => Event::Button { button: name.into(), down: false },
        InputEvent::MoveTo([x, y]) => place(desk, x, y)?,
        InputEvent::MoveBy([x, y]) => Event::MoveBy { x: x.into(), y: y.into() },
        InputEvent::Wheel([x, y]) => Event::Wheel { x: x.into(), y: y.into() },
        InputEvent::Pause(milliseconds) => return Ok(Step::Pause(pause(milliseconds)?)),
        InputEvent::LetGo => return Ok(Step::LetGo),
    }))
}

fn code(desk: &Desk, key: Key) -> Result<u16> {
    match key {
        Key::Code(code @ 1..=LAST_KEY) => Ok(code),
        Key::Code(code) => Err(bad(format!("key {code}: want a code from 1 to {LAST_KEY}"))),
        Key::Name(name) => match keymap::parse_keys(desk.front.seat.layout(), &name).map_err(bad)?[..] {
            [code] => Ok(code),
            _ => Err(bad(format!("`{name}`: want one key"))),
        },
    }
}

/// The pointer is to be put there.
fn place(desk: &Desk, x: u32, y: u32) -> Result<Event> {
    let screen = desk.front.screen.size();
    let Size { width, height } = screen;
    match (x, y) {
        _ if screen.is_empty() => Err(cannot("the screen shows nothing")),
        _ if x < width && y < height => Ok(Event::MoveTo { x, y, screen }),
        _ => Err(bad(format!("there is no pixel ({x}, {y}) on a screen of {width}x{height}"))),
    }
}

/// A guest that takes its keys more slowly than they come has so much more time for each: a PS/2 keyboard keeps a handful.
const TURNS: u32 = 100;
const TURN: Duration = Duration::from_millis(5);

/// Does one step after the other, until the client leaves. Who comes meanwhile waits.
fn play(desk: &Desk, from: &Stream, steps: &[Step]) -> Result<Answer> {
    listened_to(desk, steps)?;
    let mut hands = desk.hands.lock();
    for step in steps {
        let time = if let Step::Pause(time) = step { *time } else { Duration::ZERO };
        for turn in 0..=TURNS {
            let mut left = [Watch::new(from.as_fd(), false, false)];
            let waited = readiness::wait(&mut left, Some(if turn == 0 { time } else { TURN }));
            if waited.is_err() || left.iter().any(Watch::ready) {
                // Nobody is there to let go what is held half-way.
                hands.release();
                return Err(cannot("nobody waits any more"));
            }
            if desk.front.seat.settled() {
                break;
            }
        }
        match step {
            Step::Do(event) => hands.send(&[*event]),
            Step::Pause(_) => {}
            Step::LetGo => hands.release(),
        }
    }
    Ok(done())
}

/// What nobody listens to would be lost without a word.
fn listened_to(desk: &Desk, steps: &[Step]) -> Result<()> {
    let key = |step: &Step| matches!(step, Step::Do(Event::Key { .. }));
    let pointer = |step: &Step| matches!(step, Step::Do(event) if !matches!(event, Event::Key { .. }));
    let hears = |class| desk.front.seat.hears(class);
    if steps.iter().any(key) && !hears(Class::Keyboard) {
        return Err(cannot("the guest listens to no keyboard"));
    }
    if steps.iter().any(pointer) && !hears(Class::Tablet) && !hears(Class::Mouse) {
        return Err(cannot("the guest listens to no mouse and no tablet"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
