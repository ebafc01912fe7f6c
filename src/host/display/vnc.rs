//! `--display vnc`: the screen over RFB 3.8 (RFC 6143 and the community's rfbproto), for any VNC viewer.

mod door;
mod encode;
mod greet;
mod keys;
mod line;
mod listen;
mod message;
mod pixel;
mod pointer;
mod session;
mod update;
mod wire;

pub use door::Door;
pub use wire::{Socket, Wire};

use super::{Kind, Room};
use crate::config::values::Maybe;
use crate::spec;
use crate::sys::EventFd;
use crate::sys::term::Stderr;
use anyhow::Result;
use line::Line;
use listen::{Place, Vnc};
use session::{NOTHING, Session};
use std::io::Write;

spec! {
    struct Spec {
        /// Where viewers connect: ADDRESS, ADDRESS:PORT, PORT, or unix:PATH; without it 127.0.0.1, and the first port from 5900 on that is free
        address: Maybe<Place> = "",
    }
}

pub static KIND: Kind = Kind {
    name: "vnc",
    about: "For a VNC viewer, such as TigerVNC or Remmina.",
    options: Spec::OPTIONS,
    open: |options, room| {
        let place = Spec::parse(options)?.address.0.unwrap_or_default();
        anyhow::ensure!(!place.is_far(), "not yet on the network: use an address of this host, such as 127.0.0.1");
        let vnc = Vnc::open(&place, Door::Open, room)?;
        let _ = writeln!(Stderr, "kiln: screen at {}", vnc.url);
        Ok(Box::new(vnc))
    },
};

/// What a client may call the screen.
const NAME: &str = "kiln";

/// Speaks RFB to one client until it leaves, errs or `stop` is readable. One thread for each client; it sleeps while
/// nothing happens. Whoever calls says how many there may be.
pub fn serve(wire: Box<dyn Wire>, room: &Room, door: &Door, stop: &EventFd) -> Result<()> {
    let size = room.screen.size();
    let size = if size.is_empty() { NOTHING } else { size };
    let line = greet::greet(Line::new(wire), door, size, NAME, stop)?;
    Session::new(line, room, room.screen.watch()?, size, stop).live()
}

#[cfg(test)]
mod tests;
