//! One client's connection: reads a request, has it answered, and the next.

use super::message::Refusal;
use super::{Answer, Handler, Limits, Phase, Request, Response, Shared, Stream};
use crate::sys::Lock;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const PIECE: usize = 8 << 10;
/// What a refused client still sends is read for at most this long: a socket closed with unread input would throw away
/// the answer too.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    stream: Arc<Stream>,
    limits: Limits,
    phase: Shared,
    /// Read, and not used yet.
    buffer: Vec<u8>,
}

/// Why there is no request.
enum Stop {
    /// The client has gone, or was too slow for an answer to be of use.
    Gone,
    Refused(Refusal),
}

impl From<Refusal> for Stop {
    fn from(status: Refusal) -> Stop {
        Stop::Refused(status)
    }
}

impl Connection {
    pub(super) fn new(stream: Arc<Stream>, limits: Limits) -> Connection {
        Connection { stream, limits, phase: Arc::new(Lock::new(Phase::Waits)), buffer: Vec::new() }
    }

    pub(super) fn phase(&self) -> Shared {
        self.phase.clone()
    }

    /// False: this connection has been ended from outside.
    fn set(&self, now: Phase) -> bool {
        let mut phase = self.phase.lock();
        if *phase != Phase::Ended {
            *phase = now;
        }
        *phase == now
    }

    /// Until the client leaves, or what it sends is no HTTP.
    pub(super) fn run(mut self, handler: &dyn Handler) {
        let mut patience = self.limits.time;
        loop {
            let request = match self.request(patience) {
                Ok(request) => request,
                Err(Stop::Gone) => break,
                Err(Stop::Refused(status)) => {
                    self.answer_last(&Response::text(status, "this request is not taken"));
                    break;
                }
            };
            if !self.set(Phase::Works) {
                break;
            }
            let keeps = request.keeps();
            match handler.answer(&request, &self.stream) {
                Answer::Reply(response) => {
                    let wire = response.wire(request.method == "HEAD", !keeps);
                    if !self.write(&wire) || !keeps {
                        break;
                    }
                }
                Answer::Upgrade(response, then) => {
                    if self.write(&response.wire(false, false)) {
                        then(self.stream.clone(), std::mem::take(&mut self.buffer));
                    }
                    break;
                }
            }
            self.set(Phase::Waits);
            patience = self.limits.idle;
        }
        self.stream.shutdown();
    }

    /// There is no room for this client. It is not waited for.
    pub(super) fn refuse(&mut self) {
        if self.stream.set_nonblocking().is_ok() {
            let response = Response::text(503, "too many connections").field("Retry-After", "1");
            let _ = (&*self.stream).write(&response.wire(false, true));
        }
        self.stream.shutdown();
    }

    /// The next request. Its first byte may take `patience`.
    fn request(&mut self, patience: Duration) -> Result<Request, Stop> {
        let end = self.head(patience)?;
        let mut request = Request::parse(self.buffer.get(..end).unwrap_or_default())?;
        self.buffer.drain(..end);
        let length = request.length(self.limits.body)?;
        if length > 0 {
            self.body(length, &request)?;
            request.body = self.buffer.drain(..length).collect();
        }
        Ok(request)
    }

    /// Reads a whole head; says where it ends.
    fn head(&mut self, patience: Duration) -> Result<usize, Stop> {
        let mut deadline = Instant::now() + patience;
        let mut looked = 0;
        loop {
            if looked == 0 {
                // RFC 9112, 2.2: empty lines before a request do not count.
                let blank = self.buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                self.buffer.drain(..blank);
            }
            if let Some(end) = end_of_head(&self.buffer, looked) {
                return if end <= self.limits.head { Ok(end) } else { Err(Stop::Refused(431)) };
            }
            if self.buffer.len() > self.limits.head {
                return Err(Stop::Refused(431));
            }
            looked = self.buffer.len();
            let began = !self.buffer.is_empty();
            if !self.read(deadline) {
                return Err(if began { Stop::Refused(408) } else { Stop::Gone });
            }
            if !began {
                deadline = Instant::now() + self.limits.time;
            }
        }
    }

    /// Reads until `length` bytes are there.
    fn body(&mut self, length: usize, request: &Request) -> Result<(), Stop> {
        // RFC 9110, 10.1.1.
        if self.buffer.len() < length && request.lists("expect", "100-continue") && !request.old {
            let go_on = Response::new(100).wire(true, false);
            if !self.write(&go_on) {
                return Err(Stop::Gone);
            }
        }
        let deadline = Instant::now() + self.limits.time;
        while self.buffer.len() < length {
            if !self.read(deadline) {
                return Err(Stop::Refused(408));
            }
        }
        Ok(())
    }

    /// Reads what comes next to the end of the buffer. False: nothing did in time, or the client has gone.
    fn read(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.stream.set_read_timeout(left).is_err() {
            return false;
        }
        let had = self.buffer.len();
        self.buffer.resize(had + PIECE, 0);
        let read = loop {
            match (&*self.stream).read(self.buffer.get_mut(had..).unwrap_or_default()) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => break other.unwrap_or(0),
            }
        };
        self.buffer.truncate(had + read);
        read > 0
    }

    /// Writes all of it; false: the client does not take it in time.
    fn write(&self, mut data: &[u8]) -> bool {
        let deadline = Instant::now() + self.limits.time;
        while !data.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_write_timeout(left).is_err() {
                return false;
            }
            match (&*self.stream).write(data) {
                Ok(0) => return false,
                Ok(n) => data = data.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn answer_last(&mut self, response: &Response) {
        if !self.write(&response.wire(false, true)) {
            return;
        }
        self.stream.end_output();
        let deadline = Instant::now() + LINGER;
        while self.read(deadline) {
            self.buffer.clear();
        }
    }
}

/// Where the empty line behind a head ends; the first `looked` bytes have none.
fn end_of_head(data: &[u8], looked: usize) -> Option<usize> {
    let from = looked.saturating_sub(3);
    let data = data.get(from..)?;
    let end =
        |pattern: &[u8]| data.windows(pattern.len()).position(|w| w == pattern).map(|at| from + at + pattern.len());
    match (end(b"\n\r\n"), end(b"\n\n")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
