//! A small HTTP/1.1 server (RFC 9110, RFC 9112) for the machine's own pages and calls, and a client for the calls.
//! A thread for each connection, which waits in the kernel and nowhere else. Whoever connects is hostile: heads, bodies,
//! connections and the time for each are bounded, and a client that does not read is left.

mod client;
mod connection;
mod message;
mod stream;

pub use client::call;
pub use message::{Request, Response};
pub use stream::{Listener, Stream};

use crate::sys::{EventFd, Lock, eventfd, fd, readiness};
use anyhow::{Context, Result};
use connection::Connection;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A connection's thread calls a handler, which may have work to do.
const STACK: usize = 256 << 10;
/// What the kernel refuses now it may allow a little later.
const PAUSE: Duration = Duration::from_millis(100);

/// What a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once. One more ends the oldest whose request is not complete; where there is none, it is refused
    /// (503).
    pub connections: usize,
    /// Bytes of a request's line and fields; more is refused (431).
    pub head: usize,
    /// Bytes of a request's body; more is refused (413).
    pub body: usize,
    /// For a whole head, a whole body, or for a response to be read.
    pub time: Duration,
    /// How long a connection is kept for a further request.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let (time, idle) = (Duration::from_secs(20), Duration::from_secs(60));
        Limits { connections: 64, head: 16 << 10, body: 1 << 20, time, idle }
    }
}

/// What a request is answered with.
pub enum Answer {
    Reply(Response),
    /// After this response the connection is no more HTTP's. What the client had sent behind its request is the second
    /// argument. It runs on the connection's thread, and ends when the stream does.
    Upgrade(Response, Box<dyn FnOnce(Arc<Stream>, Vec<u8>) + Send>),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer::Reply(response)
    }
}

/// Answers requests, each on the thread of its connection. It must end soon after that connection has been shut down.
pub trait Handler: Send + Sync {
    fn answer(&self, request: &Request, from: &Stream) -> Answer;
}

impl<F: Fn(&Request, &Stream) -> Answer + Send + Sync> Handler for F {
    fn answer(&self, request: &Request, from: &Stream) -> Answer {
        self(request, from)
    }
}

/// Listens until it is dropped; then all its connections are closed, and its threads have ended.
pub struct Server {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// `name` is that of its threads.
    pub fn start(name: &'static str, listener: Listener, limits: Limits, handler: Arc<dyn Handler>) -> Result<Server> {
        listener.set_nonblocking().context("prepare the listening socket")?;
        let stop = Arc::new(eventfd().context("make an eventfd")?);
        let hall = Hall { name, limits, handler, guests: Vec::new() };
        let bell = stop.clone();
        let thread = Builder::new().name(name.into()).stack_size(STACK).spawn(move || hall.run(&listener, &bell));
        Ok(Server { stop, thread: Some(thread.context("start a thread")?) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only a full counter can fail, and then the bell has been rung.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The listening thread's own.
struct Hall {
    name: &'static str,
    limits: Limits,
    handler: Arc<dyn Handler>,
    guests: Vec<Guest>,
}

struct Guest {
    stream: Arc<Stream>,
    phase: Shared,
    thread: JoinHandle<()>,
}

/// What a connection's thread does. Only of one that waits for its client may others say that it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waits,
    Works,
    Ended,
}

type Shared = Arc<Lock<Phase>>;

impl Hall {
    fn run(mut self, listener: &Listener, stop: &EventFd) {
        while let Ok([false, _]) = fd::wait_readable([fd::of(stop), listener.as_fd()]) {
            match listener.accept() {
                Ok(stream) => self.admit(stream),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    log::warn!("{}: accept a connection: {e}", self.name);
                    self.make_room();
                    let _ = readiness::wait(&mut [readiness::Watch::new(fd::of(stop), true, false)], Some(PAUSE));
                }
            }
        }
        self.guests.iter().for_each(|g| g.stream.shutdown());
        self.guests.into_iter().for_each(|g| drop(g.thread.join()));
    }

    fn admit(&mut self, stream: Stream) {
        let (ended, guests) =
            std::mem::take(&mut self.guests).into_iter().partition(|g: &Guest| g.thread.is_finished());
        self.guests = guests;
        ended.into_iter().for_each(|g: Guest| drop(g.thread.join()));
        let stream = Arc::new(stream);
        let mut connection = Connection::new(stream.clone(), self.limits);
        if self.guests.len() >= self.limits.connections && !self.make_room() {
            return connection.refuse();
        }
        let (phase, handler) = (connection.phase(), self.handler.clone());
        let thread = Builder::new().name(self.name.into()).stack_size(STACK);
        match thread.spawn(move || connection.run(&*handler)) {
            Ok(thread) => self.guests.push(Guest { stream, phase, thread }),
            Err(e) => log::warn!("{}: start a thread for a connection: {e}", self.name),
        }
    }

    /// Ends the oldest connection that waits for its client. False: there is none.
    fn make_room(&mut self) -> bool {
        let ended = |guest: &Guest| {
            let mut phase = guest.phase.lock();
            let waits = *phase == Phase::Waits;
            if waits {
                *phase = Phase::Ended;
            }
            waits
        };
        let Some(at) = self.guests.iter().position(ended) else { return false };
        let guest = self.guests.remove(at);
        guest.stream.shutdown();
        // It waited for its client and nothing else.
        let _ = guest.thread.join();
        true
    }
}

#[cfg(test)]
mod tests;
