//! Calls that look at the screen.

use super::{Answer, Desk, Refusal, Request, Response, Result, Stream, bad, cannot};
use crate::control::picture::{self, Reference};
use crate::control::wait::{Seen, wait};
use crate::host::screen::Picture;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The longest time that can be asked for, in seconds: ten years.
const LONGEST: f64 = 315_360_000.0;

pub fn png(desk: &Desk, request: &Request, _: &Stream) -> Result<Answer> {
    let screen = &desk.front.screen;
    let picture = match request.query.as_str() {
        "" | "pointer=off" => screen.picture(),
        "pointer=on" => screen.picture_with_pointer(),
        other => return Err(bad(format!("`{other}`: there is pointer=on"))),
    };
    file(&picture.ok_or_else(|| cannot("the screen shows nothing"))?)
}

fn file(picture: &Picture) -> Result<Answer> {
    let file = picture::png(picture).map_err(|e| Refusal(500, format!("{e:#}")))?;
    Ok(Response::new(200).body("image/png", file).into())
}

/// What is on the screen when it shows the picture in the body; 504 when it does not in time.
pub fn await_screen(desk: &Desk, request: &Request, from: &Stream) -> Result<Answer> {
    let known = |pair: &str| ["tolerance", "timeout"].contains(&pair.split_once('=').map_or(pair, |(name, _)| name));
    if let Some(unknown) = request.query.split('&').find(|pair| !pair.is_empty() && !known(pair)) {
        return Err(bad(format!("`{unknown}`: there are tolerance= and timeout=")));
    }
    let tolerance = number(request, "tolerance", 100.0)?.unwrap_or(0.0);
    let timeout = number(request, "timeout", LONGEST)?.map(Duration::from_secs_f64);
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let reference = Reference::parse(&request.body, tolerance).map_err(bad)?;
    match wait(&desk.front.screen, &reference, from.as_fd(), deadline) {
        Ok(Seen::Shown(picture)) => file(&picture),
        Ok(Seen::Late(why)) => Err(Refusal(504, why)),
        Ok(Seen::Left(_)) => Err(cannot("nobody waits any more")),
        Err(e) => Err(Refusal(500, format!("{e:#}"))),
    }
}

/// A number of the query, from 0 to `most`.
fn number(request: &Request, name: &str, most: f64) -> Result<Option<f64>> {
    let Some(text) = request.asked(name) else { return Ok(None) };
    let number = text.parse().ok().filter(|number| (0.0..=most).contains(number));
    number.map(Some).ok_or_else(|| bad(format!("`{name}={text}`: want a number from 0 to {most}")))
}
