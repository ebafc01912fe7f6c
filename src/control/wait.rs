//! Waiting for the screen to show a picture: it is looked at when it has changed, and otherwise nothing happens.

use super::picture::Reference;
use crate::host::screen::{Picture, Screen, Size};
use crate::sys::readiness::{self, Watch};
use anyhow::{Context, Result};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks, at least: a guest that draws without pause does not keep a processor of the host busy.
const PAUSE: Duration = Duration::from_millis(20);

/// How it ended.
#[derive(Debug)]
pub enum Seen {
    /// This was on the screen.
    Shown(Picture),
    /// It was not in time. What was there last, in words.
    Late(String),
    /// Whoever waited waits no more. The same.
    Left(String),
}

/// Waits until the screen shows `reference`, or until `deadline`, or until `left` is hung up.
pub fn wait(
    screen: &Arc<Screen>,
    reference: &Reference,
    left: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> Result<Seen> {
    let mut viewer = screen.watch().context("look at the screen")?;
    let (mut size, mut difference) = (Size::default(), None);
    let mut pixels = Vec::new();
    loop {
        let news = viewer.news();
        if news.resized || !news.damage.is_empty() {
            size = news.size;
            pixels.clear();
            difference = viewer.copy(size.whole(), &mut pixels).then(|| reference.difference(size, &pixels)).flatten();
        }
        if reference.allows(difference) {
            return Ok(Seen::Shown(Picture { size, pixels }));
        }
        let time = || deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if time().is_some_and(|time| time.is_zero()) {
            return Ok(Seen::Late(missed(reference, size, difference)));
        }
        let mut looked = [Watch::new(left, false, false), Watch::NONE];
        readiness::wait(&mut looked, Some(time().map_or(PAUSE, |time| time.min(PAUSE)))).context("wait")?;
        if !looked.iter().any(Watch::ready) {
            looked = [Watch::new(left, false, false), Watch::new(viewer.bell(), true, false)];
            readiness::wait(&mut looked, time()).context("wait")?;
        }
        if looked.first().is_some_and(Watch::ready) {
            return Ok(Seen::Left(missed(reference, size, difference)));
        }
    }
}

fn missed(reference: &Reference, size: Size, difference: Option<f64>) -> String {
    let Size { width, height } = reference.size();
    match difference {
        Some(share) => format!("{share:.2} percent of the pixels that count differ"),
        None if size.is_empty() => "the screen shows nothing".to_string(),
        None => format!("the screen has {}x{} pixels, the picture {width}x{height}", size.width, size.height),
    }
}

#[cfg(test)]
mod tests;
