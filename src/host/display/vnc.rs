//! `--display vnc`: the screen over RFB 3.8 (RFC 6143 and the community's rfbproto), for any VNC viewer.

mod certificate;
mod clip;
mod door;
mod encode;
mod greet;
mod keys;
mod lights;
mod line;
mod listen;
mod message;
mod options;
mod pixel;
mod pointer;
mod session;
mod tls;
mod update;
mod wire;

pub use door::Door;
pub use wire::{Socket, Wire};

use super::{Kind, Room};
use crate::sys::EventFd;
use crate::sys::term::Stderr;
use anyhow::Result;
use line::Line;
use listen::Vnc;
use options::Spec;
use session::{NOTHING, Session};
use std::io::Write;

pub static KIND: Kind = Kind {
    name: "vnc",
    about: "For a VNC viewer, such as TigerVNC or Remmina.",
    options: Spec::OPTIONS,
    heard: |_| Ok(false),
    open: |options, room| {
        let spec = Spec::parse(options)?;
        let door = spec.door()?;
        let fingerprint = match &door {
            Door::Locked(lock) => lock.tls.as_ref().map(|keys| keys.fingerprint.clone()),
            Door::Open => None,
        };
        let vnc = Vnc::open(&spec.place(), door, room)?;
        let _ = writeln!(Stderr, "kiln: screen at {}", vnc.address);
        if let Some(fingerprint) = fingerprint {
            let _ = writeln!(Stderr, "kiln: by TLS; the SHA-256 fingerprint of its certificate is {fingerprint}");
        }
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
    Session::new(line, room, room.screen.watch()?, size, stop)?.live()
}

#[cfg(test)]
mod tests;
