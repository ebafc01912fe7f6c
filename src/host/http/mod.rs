//! A small HTTP/1.1 server (RFC 9110, RFC 9112) for the machine's own pages and calls, and a client for the calls.
//! A thread for each connection, which waits in the kernel and nowhere else. Whoever connects is hostile: heads, bodies,
//! connections and the time for each are bounded, and a client that does not read is left.

mod client;
mod connection;
mod message;

pub use super::reception::{Listener, Stream};
pub use client::call;
pub use message::{Request, Response};

use super::reception::{Guests, Hall, Reception};
use crate::sys::Lock;
use anyhow::Result;
use connection::Connection;
use std::sync::Arc;
use std::time::Duration;

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
    #[expect(dead_code, reason = "held to be dropped")]
    reception: Reception,
}

impl Server {
    /// `name` is that of its threads.
    pub fn start(name: &'static str, listener: Listener, limits: Limits, handler: Arc<dyn Handler>) -> Result<Server> {
        let house = House { limits, handler, guests: Guests::new(name) };
        Ok(Server { reception: Reception::open(name, listener, |_| house)? })
    }
}

/// All connections.
struct House {
    limits: Limits,
    handler: Arc<dyn Handler>,
    guests: Guests<Guest>,
}

struct Guest {
    stream: Arc<Stream>,
    phase: Shared,
}

/// What a connection's thread does. Only of one that waits for its client may others say that it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waits,
    Works,
    Ended,
}

type Shared = Arc<Lock<Phase>>;

impl Hall for House {
    fn admit(&mut self, stream: Stream) {
        let stream = Arc::new(stream);
        let mut connection = Connection::new(stream.clone(), self.limits);
        if self.guests.count() >= self.limits.connections && !self.end_oldest() {
            return connection.refuse();
        }
        let (phase, handler) = (connection.phase(), self.handler.clone());
        self.guests.add(Guest { stream, phase }, move || connection.run(&*handler));
    }

    fn make_room(&mut self) {
        self.end_oldest();
    }

    fn close(self) {
        self.guests.iter().for_each(|guest| guest.stream.shutdown());
        self.guests.wait();
    }
}

impl House {
    /// Ends the oldest connection that waits for its client. False: there is none.
    fn end_oldest(&mut self) -> bool {
        self.guests.wait_for(|guest| {
            let mut phase = guest.phase.lock();
            let waits = *phase == Phase::Waits;
            if waits {
                // Its thread waits for the client and nothing else, so it ends at once.
                *phase = Phase::Ended;
                guest.stream.shutdown();
            }
            waits
        })
    }
}

#[cfg(test)]
mod tests;
