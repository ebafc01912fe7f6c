//! Ways to look at the screen, in one table: `--display KIND[=...]`. Adding one: a file, a word here, a row in docs/desktop.md.

use super::screen::Screen;
use super::seat::Seat;
use super::sound::Hub;
use crate::config::{OptionDoc, Options};
use anyhow::{Context, Result};
use std::sync::Arc;

mod address;

macro_rules! displays {
    ($($module:ident),* $(,)?) => {
        $(pub mod $module;)*
        pub static KINDS: &[&Kind] = &[$(&$module::KIND),*];
    };
}
displays![none, vnc, web, window];

/// What a display shows, where what is typed at it goes, and what may be heard through it.
#[derive(Clone)]
pub struct Room {
    pub screen: Arc<Screen>,
    pub seat: Arc<Seat>,
    pub sound: Arc<Hub>,
}

/// A way to look that is open. Dropped, it is closed; its threads have ended then.
pub trait Display: Send {
    /// For those who want to come in; it may be kept longer than the display is.
    fn entrance(&self) -> Entrance {
        Entrance::default()
    }
}

/// How to come to an open display.
#[derive(Clone, Default)]
pub struct Entrance {
    /// Where it listens, as viewers write it, and nothing that is secret; `None`: nowhere.
    pub address: Option<String>,
    /// What makes links, where nobody comes in without one.
    pub link: Option<Link>,
}

/// Makes a link that lets one more viewer in. The one before, if nobody has used it, is good for nothing then.
pub type Link = Arc<dyn Fn() -> Result<String> + Send + Sync>;

pub struct Kind {
    /// What follows `--display`, and the name of its file.
    pub name: &'static str,
    pub about: &'static str,
    /// The first is the one that `KIND=VALUE` is for.
    pub options: &'static [OptionDoc],
    /// Whether the guest is heard there.
    pub heard: fn(&Options) -> Result<bool>,
    pub open: fn(&Options, &Room) -> Result<Box<dyn Display>>,
}

impl Kind {
    pub fn positional(&self) -> Option<&'static str> {
        self.options.first().map(|o| o.name)
    }
}

pub fn find(name: &str) -> Result<&'static Kind> {
    let names = || KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ");
    let kind = KINDS.iter().copied().find(|k| k.name == name);
    kind.with_context(|| format!("no display is called `{name}`; there are: {}", names()))
}

#[cfg(test)]
mod fakes;
