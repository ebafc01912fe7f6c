//! A machine's own side of its socket.

use super::calls::{self, Desk};
use super::place::{Held, Places};
use super::vm::About;
use crate::host::http::{Limits, Listener, Request, Server, Stream};
use crate::machine::Machine;
use crate::sys::{EventFd, eventfd};
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;

/// A call's body may be a picture.
const LIMITS: Limits = Limits {
    connections: 16,
    head: 8 << 10,
    body: 32 << 20,
    time: Duration::from_secs(20),
    idle: Duration::from_secs(60),
};

/// The control socket of a machine. Dropped when the machine has ended, it is gone, and its threads have ended.
pub struct Control {
    ended: Arc<EventFd>,
    #[expect(dead_code, reason = "held to be dropped, before the server: nobody is to find it then")]
    held: Held,
    #[expect(dead_code, reason = "held to be dropped")]
    server: Server,
}

impl Drop for Control {
    fn drop(&mut self) {
        // Only a full counter can fail, and then it has been rung.
        let _ = self.ended.write(1);
    }
}

/// Opens the socket of a machine that is about to run. One that was given no name runs without where there is no place
/// for a socket; `kiln ps` says why then.
pub fn open(machine: &Machine) -> Result<Option<Control>> {
    let name = machine.config().name.as_deref();
    let opened = listen(name, machine);
    match (opened, name) {
        (Ok(control), _) => Ok(Some(control)),
        (Err(e), Some(name)) => Err(e.context(format!("--name {name}"))),
        (Err(e), None) => {
            log::info!("no control socket: {e:#}");
            Ok(None)
        }
    }
}

fn listen(name: Option<&str>, machine: &Machine) -> Result<Control> {
    let (listener, held) = Places::ours().bind(name)?;
    let ended = Arc::new(eventfd().context("make an eventfd")?);
    let front = machine.front();
    let desk = Desk::new(About::new(&held.0.name, machine.config(), &front), front, ended.clone());
    let handler = move |request: &Request, from: &Stream| calls::answer(&desk, request, from);
    let server = Server::start("control", Listener::Unix(listener), LIMITS, Arc::new(handler));
    Ok(Control { ended, held, server: server.context("serve the control socket")? })
}
