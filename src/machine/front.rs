//! The side of a machine that faces those who use it while it runs.

use super::Machine;
use crate::config::Config;
use crate::event::{Notify, Request};
use crate::host::display::Entrance;
use crate::host::screen::Screen;
use crate::host::seat::Seat;
use std::sync::Arc;

/// To look at a machine and to ask something of it, from other threads.
#[derive(Clone)]
pub struct Front {
    pub screen: Arc<Screen>,
    pub seat: Arc<Seat>,
    /// The machine's supervisor does what it is asked in its own time.
    pub notify: Notify,
    /// Whether its vCPUs may run; false: a debugger has stopped it, or a disk waits for room on the host.
    pub runs: Arc<dyn Fn() -> bool + Send + Sync>,
    /// One for each `--display`, in their order.
    pub entrances: Arc<[Entrance]>,
}

impl Front {
    pub fn ask(&self, request: Request) {
        (self.notify)(request);
    }
}

impl Machine {
    pub fn front(&self) -> Front {
        let board = self.board.clone();
        Front {
            screen: self.screen.clone(),
            seat: self.seat.clone(),
            notify: board.notify.clone(),
            runs: Arc::new(move || board.gate.is_open()),
            entrances: self.displays.iter().map(|display| display.entrance()).collect(),
        }
    }

    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
