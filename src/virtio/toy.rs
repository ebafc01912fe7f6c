//! For tests: a device that writes down what is called, and does what a test tells it.

use super::{ConfigSpace, Device, Io};
use crate::sys::Lock;
use anyhow::Result;
use std::sync::Arc;

pub type Calls = Arc<Lock<Vec<String>>>;
pub type Action = Box<dyn FnMut(&mut Io) -> Result<()> + Send>;

pub struct Toy {
    pub id: u32,
    pub calls: Calls,
    pub queues: Vec<u16>,
    pub config: Vec<u8>,
    pub on_start: Action,
    pub on_queue: Action,
    pub on_fd: Action,
}

impl Toy {
    /// Two queues, eight bytes of configuration; of a kind that has no legacy interface.
    pub fn new() -> Toy {
        let nothing = || -> Action { Box::new(|_| Ok(())) };
        Toy {
            id: 4,
            calls: Calls::default(),
            queues: vec![64, 16],
            config: vec![1, 2, 3, 4, 5, 6, 7, 8],
            on_start: nothing(),
            on_queue: nothing(),
            on_fd: nothing(),
        }
    }

    fn note(&self, what: String) {
        self.calls.lock().push(what);
    }
}

impl Device for Toy {
    fn id(&self) -> u32 {
        self.id
    }

    fn queue_sizes(&self) -> Vec<u16> {
        self.queues.clone()
    }

    fn features(&self) -> u64 {
        0b101
    }

    fn config(&self) -> Vec<u8> {
        self.config.clone()
    }

    fn start(&mut self, io: &mut Io) -> Result<()> {
        self.note(format!("start {:#x} on {}", io.features, std::thread::current().name().unwrap_or("")));
        (self.on_start)(io)
    }

    fn queue_ready(&mut self, queue: usize, io: &mut Io) -> Result<()> {
        self.note(format!("queue {queue}"));
        (self.on_queue)(io)
    }

    fn fd_ready(&mut self, token: u32, io: &mut Io) -> Result<()> {
        self.note(format!("fd {token}"));
        (self.on_fd)(io)
    }

    fn config_written(&mut self, at: usize, data: &[u8], config: &ConfigSpace, io: Option<&mut Io>) {
        self.note(format!("config {at} {data:?} {}", if io.is_some() { "running" } else { "idle" }));
        config.store(at, data);
    }

    fn quiesce(&mut self, _io: &mut Io) -> Result<()> {
        self.note("quiesce".to_string());
        Ok(())
    }

    fn reset(&mut self) {
        self.note("reset".to_string());
    }
}
