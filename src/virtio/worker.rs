//! The thread that owns a running device: kicks, the device's own descriptors and orders all arrive here, one at a time.
//! It starts with DRIVER_OK and ends with a reset, so when [`Worker::stop`] has returned, nothing of the device runs.
//! It is started by a vCPU's thread, whose signal mask it inherits.

use super::{Device, Io};
use crate::sys::{EventFd, Token, eventfd};
use anyhow::{Context, Error, Result};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Tokens below are queues; from here on they are the device's own ([`super::Io::watch`]).
pub(super) const DEVICE_TOKEN: Token = 1 << 32;
const ORDER_TOKEN: Token = 1 << 33;

/// Bytes. Touched page by page, so a small device costs 8 or 12 KiB.
const STACK: usize = 256 << 10;

enum Order {
    Stop,
    /// The driver wrote to the configuration space. Dropping the sender is the answer.
    ConfigWrite {
        at: usize,
        data: Vec<u8>,
        _done: mpsc::Sender<()>,
    },
}

/// A device and what it works with, as they go to the thread and come back.
pub(super) type Running = (Box<dyn Device>, Io);

/// A handle on the thread. Dropping it stops the device.
pub(super) struct Worker {
    orders: mpsc::Sender<Order>,
    bell: Arc<EventFd>,
    thread: Option<JoinHandle<Running>>,
}

impl Worker {
    /// `kicks` has an eventfd for each queue of `io`. `on_broken` is called on the new thread when the device reports
    /// an error: it has stopped by then, and waits for [`Worker::stop`].
    /// When no thread could be started, the device comes back with the error.
    pub fn start(
        name: &str,
        device: Box<dyn Device>,
        io: Io,
        kicks: &[Arc<EventFd>],
        on_broken: impl FnOnce() + Send + 'static,
    ) -> Result<Worker, (Box<dyn Device>, Error)> {
        // Over a channel, because a closure that could not be spawned is lost, and the device must not be.
        let (hand, take) = mpsc::channel::<Run>();
        let body = move || take.recv().expect("whoever starts the thread sends").run();
        let thread = watch(&io, kicks).and_then(|bell| {
            let thread = std::thread::Builder::new().name(name.to_string()).stack_size(STACK).spawn(body);
            Ok((bell, thread.context("start the device's thread")?))
        });
        let (bell, thread) = match thread {
            Ok((bell, thread)) => (Arc::new(bell), thread),
            Err(e) => return Err((device, e)),
        };
        let (orders, inbox) = mpsc::channel();
        let name = name.to_string();
        let (kicks, on_broken) = (kicks.to_vec(), Box::new(on_broken));
        let _ = hand.send(Run { name, device, io, _kicks: kicks, inbox, bell: bell.clone(), on_broken });
        Ok(Worker { orders, bell, thread: Some(thread) })
    }

    /// Calls [`Device::config_written`] on the thread; returns when it has.
    pub fn config_written(&self, at: usize, data: &[u8]) {
        let (done, answer) = mpsc::channel();
        self.order(Order::ConfigWrite { at, data: data.to_vec(), _done: done });
        let _ = answer.recv();
    }

    /// Returns when the device touches nothing any more.
    pub fn stop(mut self) -> Running {
        self.order(Order::Stop);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(running)) => running,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => unreachable!("a worker is stopped once"),
        }
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_ok()
            && let Err(e) = self.bell.write(1)
        {
            log::error!("call a device's thread: {e}");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.order(Order::Stop);
            let _ = thread.join();
        }
    }
}

/// The eventfd that announces orders, watched as the kicks are.
fn watch(io: &Io, kicks: &[Arc<EventFd>]) -> Result<EventFd> {
    let bell = eventfd().context("create an eventfd")?;
    io.poll.add_event(&bell, ORDER_TOKEN)?;
    for (queue, kick) in kicks.iter().enumerate() {
        io.poll.add_signal(kick, queue as Token)?;
    }
    Ok(bell)
}

/// What the thread owns.
struct Run {
    name: String,
    device: Box<dyn Device>,
    io: Io,
    /// Open as long as they are watched.
    _kicks: Vec<Arc<EventFd>>,
    inbox: mpsc::Receiver<Order>,
    bell: Arc<EventFd>,
    on_broken: Box<dyn FnOnce() + Send>,
}

enum Next {
    Go,
    Stop,
}

impl Run {
    /// One policy for every device that reports an error: it stops, the driver is told, the machine lives on.
    fn run(mut self) -> Running {
        let result = self.work();
        if let Err(e) = self.device.quiesce(&mut self.io) {
            log::error!("{}: stop: {e:#}", self.name);
        }
        if let Err(e) = result {
            log::error!("{}: {e:#}", self.name);
            (self.on_broken)();
            let config = self.io.config.clone();
            while let Ok(Order::ConfigWrite { at, data, .. }) = self.inbox.recv() {
                self.device.config_written(at, &data, &config, None);
            }
        }
        (self.device, self.io)
    }

    /// Returns when it is told to stop.
    fn work(&mut self) -> Result<()> {
        self.device.start(&mut self.io)?;
        // What the driver queued before it said DRIVER_OK, whether it kicked or not.
        for queue in 0..self.io.queues.len() {
            self.queue(queue)?;
        }
        let mut ready = Vec::new();
        loop {
            let again = self.io.queues.iter().any(|q| q.again());
            self.io.poll.wait(&mut ready, again.then_some(Duration::ZERO)).context("wait for the driver")?;
            // First silence the bell, then look: an order given in between rings it again.
            if ready.contains(&ORDER_TOKEN) {
                clear(&self.bell);
            }
            if let Next::Stop = self.orders() {
                return Ok(());
            }
            for token in ready.iter().filter(|t| **t != ORDER_TOKEN) {
                self.event(*token)?;
            }
            for queue in 0..self.io.queues.len() {
                if self.io.queues.get(queue).is_some_and(|q| q.again()) {
                    self.queue(queue)?;
                }
            }
        }
    }

    fn event(&mut self, token: Token) -> Result<()> {
        if token >= DEVICE_TOKEN {
            self.io.queues.iter_mut().for_each(|q| q.refill());
            return self.device.fd_ready((token - DEVICE_TOKEN) as u32, &mut self.io);
        }
        self.queue(token as usize)
    }

    fn queue(&mut self, queue: usize) -> Result<()> {
        if let Some(q) = self.io.queues.get_mut(queue) {
            q.refill();
            q.begin();
        }
        self.device.queue_ready(queue, &mut self.io)
    }

    fn orders(&mut self) -> Next {
        loop {
            match self.inbox.try_recv() {
                Ok(Order::ConfigWrite { at, data, .. }) => {
                    let config = self.io.config.clone();
                    self.device.config_written(at, &data, &config, Some(&mut self.io));
                }
                Ok(Order::Stop) | Err(mpsc::TryRecvError::Disconnected) => return Next::Stop,
                Err(mpsc::TryRecvError::Empty) => return Next::Go,
            }
        }
    }
}

/// Sets the counter back to 0. It may be 0 already: then there is nothing to read.
fn clear(bell: &EventFd) {
    let _ = bell.read();
}

#[cfg(test)]
mod tests;
