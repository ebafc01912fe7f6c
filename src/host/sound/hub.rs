//! Where those who listen from elsewhere hear what the machine's sound cards play, whatever else is done with it.
//!
//! ```text
//!  a guest's card  --> Card --> its own sink: a WAV file, a player, nothing
//!                        '----> Hub --> Ear: a page in a browser
//!                                '----> Ear
//! ```
//!
//! While nobody listens nothing is converted, and while nothing is played nobody is woken up.

use super::convert::{Converter, FRAME, RATE};
use super::{Format, Sink};
use crate::sys::{EventFd, Lock, eventfd, fd};
use anyhow::{Context, Result};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Bytes that wait for one who listens: 200 ms. Who is slower loses the oldest.
pub const WAITING: usize = RATE as usize / 5 * FRAME;

#[derive(Default)]
pub struct Hub {
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    cards: usize,
    /// For cards and listeners.
    next_number: u64,
    heard: Option<Heard>,
    listeners: Vec<Listener>,
}

/// The card that is heard.
struct Heard {
    card: u64,
    /// When there is somebody for whom it is of use.
    converter: Option<Converter>,
}

struct Listener {
    number: u64,
    bell: Arc<EventFd>,
    waiting: Vec<u8>,
}

impl Hub {
    /// A sink that gives everything to `sink`, and to those who listen here. Of several that play at the same time one is heard: the one
    /// that began last, and when it stops, another.
    pub fn card(self: &Arc<Hub>, sink: Box<dyn Sink>) -> Card {
        let mut state = self.state.lock();
        state.cards += 1;
        Card { hub: self.clone(), number: state.number(), format: None, sink }
    }

    /// Whether there is a card that could be heard.
    pub fn has_card(&self) -> bool {
        self.state.lock().cards > 0
    }

    /// One more who listens, from now on.
    pub fn listen(self: &Arc<Hub>) -> Result<Ear> {
        let bell = Arc::new(eventfd().context("make an eventfd")?);
        let mut state = self.state.lock();
        let number = state.number();
        state.listeners.push(Listener { number, bell: bell.clone(), waiting: Vec::new() });
        Ok(Ear { hub: self.clone(), number, bell })
    }

    fn start(&self, card: u64) {
        self.state.lock().heard = Some(Heard { card, converter: None });
    }

    fn play(&self, card: u64, format: Format, bytes: &[u8]) {
        let State { heard, listeners, .. } = &mut *self.state.lock();
        let heard = heard.get_or_insert_with(|| Heard { card, converter: None });
        if heard.card != card {
            return;
        }
        if listeners.is_empty() {
            heard.converter = None;
            return;
        }
        let sound = heard.converter.get_or_insert_with(|| Converter::new(format)).convert(bytes);
        listeners.iter_mut().for_each(|listener| listener.put(&sound));
    }

    fn stop(&self, card: u64) {
        let heard = &mut self.state.lock().heard;
        if heard.as_ref().is_some_and(|heard| heard.card == card) {
            *heard = None;
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

impl Listener {
    fn put(&mut self, sound: &[u8]) {
        let sound = sound.get(sound.len().saturating_sub(WAITING)..).unwrap_or_default();
        let too_many = (self.waiting.len() + sound.len()).saturating_sub(WAITING);
        self.waiting.drain(..too_many.min(self.waiting.len()));
        self.waiting.extend_from_slice(sound);
        // Only a full counter can fail, and then the bell has been rung.
        let _ = self.bell.write(1);
    }
}

/// A guest's card.
pub struct Card {
    hub: Arc<Hub>,
    number: u64,
    format: Option<Format>,
    sink: Box<dyn Sink>,
}

impl Sink for Card {
    fn start(&mut self, format: Format) {
        self.format = Some(format);
        self.hub.start(self.number);
        self.sink.start(format);
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(format) = self.format {
            self.hub.play(self.number, format, bytes);
        }
        self.sink.write(bytes);
    }

    fn stop(&mut self) {
        self.format = None;
        self.hub.stop(self.number);
        self.sink.stop();
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.hub.stop(self.number);
        self.hub.state.lock().cards -= 1;
    }
}

/// One who listens, until it is dropped.
pub struct Ear {
    hub: Arc<Hub>,
    number: u64,
    bell: Arc<EventFd>,
}

impl Ear {
    /// Readable when there is something to hear that [`Ear::sound`] has not given.
    pub fn bell(&self) -> BorrowedFd<'_> {
        fd::of(&self.bell)
    }

    /// What has been played since this was last asked, at most [`WAITING`] bytes: whole frames of [`FRAME`] bytes, [`RATE`] a second.
    pub fn sound(&self) -> Vec<u8> {
        // It fails when it was not rung.
        let _ = self.bell.read();
        let mut state = self.hub.state.lock();
        let mine = state.listeners.iter_mut().find(|listener| listener.number == self.number);
        mine.map(|listener| std::mem::take(&mut listener.waiting)).unwrap_or_default()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.hub.state.lock().listeners.retain(|listener| listener.number != self.number);
    }
}

#[cfg(test)]
mod tests;
