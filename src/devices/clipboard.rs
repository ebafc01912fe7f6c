//! The clipboard that a desktop in the guest shares with those who look at it: a port (virtio 1.2, 5.3) that the desktop's
//! agent opens.

use super::console::{Console, Port};
use super::{Built, Kind};
use crate::host::clipboard::{Agent, PORT};

pub static KIND: Kind = Kind {
    name: "clipboard",
    about: "Shares text on the clipboard with a guest that runs spice-vdagent.",
    options: &[],
    bare: true,
    build: |options, host| {
        options.only(&[])?;
        Ok(Built::virtio(Console::without(vec![Port::new(PORT, Agent::new(host.seat.clipboard()))])))
    },
    sample: "",
};

#[cfg(test)]
mod tests;
