//! `--display vnc`: the screen over RFB 3.8 (RFC 6143 and the community's rfbproto), for any VNC viewer.
#![allow(dead_code, reason = "until it listens")]

mod wire;

pub use wire::Wire;

use super::Room;
use crate::sys::EventFd;
use anyhow::{Result, bail};

/// How a client gets in.
#[derive(Debug, Clone, Default)]
pub enum Door {
    /// Whoever comes this far may look: something else has asked who it is.
    #[default]
    Open,
}

/// Speaks RFB to one client until it leaves, errs or `stop` is readable. One thread for each client; it sleeps while
/// nothing happens. Whoever calls says how many there may be.
pub fn serve(_wire: Box<dyn Wire>, _room: &Room, _door: &Door, _stop: &EventFd) -> Result<()> {
    bail!("not yet")
}
