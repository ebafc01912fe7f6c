//! The thread that talks to the agent: everything that is to be said goes out as the channel takes it, everything that
//! comes in is held against the order of the protocol first.

use super::super::protocol::{CREDIT_STEP, Ending, Incoming, Key, MAX_PAYLOAD, Outgoing, Stream, ToGuest, ToHost};
use super::input::Input;
use super::order::{Last, Order, one_line};
use super::outlet::{Broken, Outlet};
use super::{End, Hello, Shared, Streams};
use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, fd, term};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub struct Conversation {
    shared: Arc<Shared>,
    channel: UnixStream,
    incoming: Incoming,
    outgoing: Outgoing,
    order: Order,
    /// What of the encoded job is still to be sent; `None` when its end was.
    job: Option<Vec<u8>>,
    stdin: Option<OwnedFd>,
    input: Option<Arc<Input>>,
    input_ended: bool,
    outlets: [Arc<Outlet>; 2],
    /// Streams of the command that ended, or that it was told to close.
    closed: [bool; 2],
    resized: Option<(Option<OwnedFd>, EventFd)>,
    /// The channel takes nothing any more; what it still gives counts.
    mute: bool,
}

/// Why the conversation is over, if not by its last word.
enum Stop {
    Lost(String),
    /// By our own side.
    Stopped,
}

impl Conversation {
    pub fn new(
        shared: Arc<Shared>,
        channel: UnixStream,
        (key, job): (Key, Vec<u8>),
        streams: Streams,
        resized: Option<(Option<OwnedFd>, EventFd)>,
    ) -> Conversation {
        let outlet = |to, stream: Stream| Outlet::new(to, stream.name(), shared.bell.clone());
        Conversation {
            incoming: Incoming::new(),
            outgoing: Outgoing::new(),
            order: Order::new(key),
            job: Some(job),
            stdin: streams.stdin,
            input: None,
            input_ended: false,
            outlets: [outlet(streams.stdout, Stream::Out), outlet(streams.stderr, Stream::Err)],
            closed: [false; 2],
            resized,
            mute: false,
            shared,
            channel,
        }
    }

    pub fn run(mut self, on_end: Box<dyn FnOnce(End) + Send>) {
        let last = self.converse();
        if let Some(input) = &self.input {
            input.close();
        }
        let end = match last {
            Err(Stop::Stopped) => None,
            Ok(last) => self.written().then(|| self.verdict(last)),
            Err(Stop::Lost(why)) => self.written().then_some(End::Lost(why)),
        };
        self.outlets.iter().for_each(|o| o.stop());
        if let Some(end) = end {
            on_end(end);
        }
    }

    fn converse(&mut self) -> Result<Last, Stop> {
        let lost = |e: io::Error| Stop::Lost(format!("wait for the guest's agent: {e}"));
        loop {
            self.speak();
            let resized = match &self.resized {
                Some((_, bell)) => Watch::new(fd::of(bell), true, false),
                None => Watch::NONE,
            };
            let channel = Watch::new(self.channel.as_fd(), true, !self.outgoing.is_empty());
            let mut watches = [channel, Watch::new(fd::of(&self.shared.bell), true, false), resized];
            readiness::wait(&mut watches, None).map_err(lost)?;
            let [channel, bell, resized] = watches.map(|w| w.ready());
            if bell {
                let _ = self.shared.bell.read();
            }
            if self.shared.stopped.load(Ordering::SeqCst) {
                return Err(Stop::Stopped);
            }
            if resized && let Some((_, bell)) = &self.resized {
                let _ = bell.read();
                self.shared.resized.store(true, Ordering::SeqCst);
            }
            if channel && let Some(last) = self.hear()? {
                self.shared.seen.lock().0.ended = Some(Instant::now());
                return Ok(last);
            }
        }
    }

    /// Takes what came. The last word, if it did.
    fn hear(&mut self) -> Result<Option<Last>, Stop> {
        let closed = || Err(Stop::Lost(format!("the channel to the guest closed {}", self.order.place())));
        match self.incoming.fill(&self.channel) {
            Ok(0) => return closed(),
            // The same, with something of ours on the way.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return closed(),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Ok(None),
            Err(e) => return Err(Stop::Lost(format!("read from the guest's agent: {e}"))),
            Ok(_) => {}
        }
        let malformed = |e| Stop::Lost(format!("the guest's agent sent {e}"));
        loop {
            let Some((kind, payload)) = self.incoming.next().map_err(malformed)? else { return Ok(None) };
            let frame = ToHost::read(kind, payload).map_err(malformed)?;
            let last = self.order.accept(&frame).map_err(Stop::Lost)?;
            let failed = |what: &str, e: io::Error| Stop::Lost(format!("start a thread for standard {what}: {e}"));
            match frame {
                ToHost::Data(stream, data) => {
                    self.outlets[stream.index()].put(data).map_err(|e| failed("output", e))?;
                }
                ToHost::End(stream) => self.closed[stream.index()] = true,
                ToHost::Started { .. } => {
                    let input = Input::start(self.stdin.take(), self.shared.bell.clone());
                    self.input = Some(input.map_err(|e| failed("input", e))?);
                }
                ToHost::StdinClosed => {
                    if let Some(input) = &self.input {
                        input.close();
                    }
                    self.input_ended = true;
                }
                _ => {}
            }
            if !matches!(frame, ToHost::Data(..)) {
                note(&self.shared, &frame);
            }
            if last.is_some() {
                return Ok(last);
            }
        }
    }

    /// Says what there is to say, until there is nothing or the channel takes no more.
    fn speak(&mut self) {
        loop {
            self.fill_outgoing();
            if self.outgoing.is_empty() {
                return;
            }
            if self.mute {
                self.outgoing.clear();
            } else if let Err(e) = self.outgoing.flush(&self.channel) {
                log::debug!("write to the guest's agent: {e}");
                self.mute = true;
            }
            // Once it is empty there may be room for what there was none for.
            if !self.outgoing.is_empty() && !self.mute {
                return;
            }
        }
    }

    /// Puts what is to be said into the outgoing buffer, as far as there is room.
    fn fill_outgoing(&mut self) {
        if self.shared.seen.lock().1.is_some() {
            self.speak_job();
        }
        if let Some(input) = self.input.clone() {
            self.speak_control();
            self.speak_input(&input);
        }
    }

    fn speak_job(&mut self) {
        while let Some(job) = &mut self.job {
            let room = self.outgoing.room();
            if room == 0 {
                return;
            }
            let rest = job.split_off(room.min(job.len()));
            self.outgoing.put(|to| ToGuest::Job(job).put(to));
            *job = rest;
            if job.is_empty() {
                self.outgoing.put(|to| ToGuest::JobEnd.put(to));
                self.job = None;
            }
        }
    }

    fn speak_control(&mut self) {
        if self.outgoing.room() == 0 {
            return;
        }
        for stream in Stream::ALL {
            let outlet = &self.outlets[stream.index()];
            if self.closed[stream.index()] {
                continue;
            }
            if outlet.is_broken() {
                self.closed[stream.index()] = true;
                self.outgoing.put(|to| ToGuest::Close(stream).put(to));
            } else if let Some(bytes) = outlet.credit(CREDIT_STEP) {
                self.order.gave_credit(stream, bytes);
                self.outgoing.put(|to| ToGuest::Credit(stream, bytes).put(to));
            }
        }
        let signals = self.shared.signals.swap(0, Ordering::SeqCst);
        for number in (1..=64u8).filter(|n| signals >> (n - 1) & 1 == 1) {
            self.outgoing.put(|to| ToGuest::Signal(number).put(to));
        }
        if self.shared.resized.swap(false, Ordering::SeqCst)
            && let Some((Some(terminal), _)) = &self.resized
            && let Some((columns, rows)) = term::size(terminal.as_fd())
        {
            self.outgoing.put(|to| ToGuest::Resize { columns, rows }.put(to));
        }
    }

    fn speak_input(&mut self, input: &Input) {
        loop {
            let limit = self.outgoing.room().min(self.order.input_window() as usize).min(MAX_PAYLOAD);
            let n = input.take(limit, |data| self.outgoing.put(|to| ToGuest::Stdin(data).put(to)));
            if n == 0 {
                break;
            }
            self.order.sent_input(n as u32);
        }
        if !self.input_ended && input.is_at_end() {
            self.input_ended = true;
            self.outgoing.put(|to| ToGuest::StdinEnd.put(to));
        }
    }

    /// Waits until all output is written, or cannot be. `false`: the session was stopped.
    fn written(&self) -> bool {
        while !self.outlets.iter().all(|o| o.is_idle()) {
            let mut watches = [Watch::new(fd::of(&self.shared.bell), true, false)];
            let waited = readiness::wait(&mut watches, None);
            let _ = self.shared.bell.read();
            if waited.is_err() || self.shared.stopped.load(Ordering::SeqCst) {
                return false;
            }
        }
        !self.shared.stopped.load(Ordering::SeqCst)
    }

    fn verdict(&self, last: Last) -> End {
        let ending = match last {
            Last::Ended(ending) => ending,
            Last::NotFound(why) => return End::NotFound(why),
            Last::NotRunnable(why) => return End::NotRunnable(why),
            Last::Failed(why) => return End::Failed(why),
        };
        let mut no_reader = false;
        for outlet in &self.outlets {
            match outlet.verdict() {
                Err(Broken::Failed(why)) => return End::Failed(why),
                Err(Broken::NoReader) => no_reader = true,
                Ok(()) => {}
            }
        }
        match ending {
            // What it wrote last was on the way when the reader left: here it would have been killed.
            Ending::Code(0) if no_reader => End::Signalled(128 + libc::SIGPIPE as u8),
            Ending::Code(code) => End::Exited(code),
            Ending::Signal(number) => End::Signalled(128_u8.saturating_add(number)),
        }
    }
}

/// Keeps what the guest says of itself for whoever asks.
fn note(shared: &Shared, frame: &ToHost<'_>) {
    let (now, guest) = (Some(Instant::now()), |ns| Some(Duration::from_nanos(ns)));
    let mut seen = shared.seen.lock();
    match *frame {
        ToHost::Hello { uptime_ns, release, vmcoreinfo, .. } => {
            (seen.0.hello, seen.0.guest_hello) = (now, guest(uptime_ns));
            seen.1 = Some(Hello { release: one_line(release), vmcoreinfo: vmcoreinfo.to_vec() });
        }
        ToHost::Started { uptime_ns } => (seen.0.started, seen.0.guest_started) = (now, guest(uptime_ns)),
        ToHost::Exit(exit) => seen.0.guest_ended = guest(exit.uptime_ns),
        _ => {}
    }
}
