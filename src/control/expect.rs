//! A guest that is ended when its screen shows what was expected of it.

use super::picture::Reference;
use super::wait::{Seen, wait};
use crate::event::Request;
use crate::machine::Front;
use crate::sys::process::pipe;
use anyhow::{Context, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{Builder, JoinHandle};

/// The thread that waits, and what it waits no longer without.
pub struct Expectation {
    thread: JoinHandle<Result<Seen>>,
    waits: OwnedFd,
}

impl Expectation {
    /// The machine is dismissed when its screen shows `reference`.
    pub fn start(front: Front, reference: Reference) -> Result<Expectation> {
        let (left, waits) = pipe().context("make a pipe")?;
        let look = move || {
            let seen = wait(&front.screen, &reference, left.as_fd(), None);
            if matches!(seen, Ok(Seen::Shown(_))) {
                front.ask(Request::Dismiss);
            }
            seen
        };
        let thread = Builder::new().name("await-screen".into()).stack_size(64 << 10).spawn(look);
        Ok(Expectation { thread: thread.context("start a thread")?, waits })
    }

    /// The guest has ended. `None`: its screen has shown the picture; otherwise what it showed last, in words.
    pub fn end(self) -> Option<String> {
        drop(self.waits);
        match self.thread.join() {
            Ok(Ok(Seen::Shown(_))) => None,
            Ok(Ok(Seen::Late(why) | Seen::Left(why))) => Some(why),
            Ok(Err(e)) => Some(format!("{e:#}")),
            Err(_) => Some("the thread that looked at it panicked".to_string()),
        }
    }
}
