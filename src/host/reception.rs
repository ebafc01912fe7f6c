//! Where clients come in: a socket that is listened on, the thread that lets them in, and a thread for each of them.
//!
//! ```text
//!  Listener --accept--> Reception's thread --Hall::admit--> Guests: one thread each
//! ```
//! What a full house means is each hall's own affair.

mod stream;

pub use stream::{Listener, Stream};

use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, eventfd, fd};
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Of the thread that lets clients in, and of theirs.
const STACK: usize = 256 << 10;
/// What the kernel refuses now it may allow a little later.
const BREATH: Duration = Duration::from_millis(100);

/// Where those who come are led.
pub trait Hall: Send {
    /// Somebody has come. Called on the thread that lets them in, so it does not wait for them.
    fn admit(&mut self, stream: Stream);
    /// The system has no descriptors or memory for one more: somebody may be asked to leave.
    fn make_room(&mut self) {}
    /// Nobody else comes. Returns when all have left.
    fn close(self);
}

/// Lets clients in until it is dropped; then its hall is closed.
pub struct Reception {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Reception {
    /// `name` is that of its thread. `hall` is given what is readable from when it is to close.
    pub fn open<H: Hall + 'static>(
        name: &'static str,
        listener: Listener,
        hall: impl FnOnce(Arc<EventFd>) -> H,
    ) -> Result<Reception> {
        listener.set_nonblocking().context("prepare the listening socket")?;
        let stop = Arc::new(eventfd().context("make an eventfd")?);
        let (bell, mut hall) = (stop.clone(), hall(stop.clone()));
        let live = move || {
            serve(name, &listener, &bell, &mut hall);
            drop(listener);
            hall.close();
        };
        let thread = Builder::new().name(name.into()).stack_size(STACK).spawn(live);
        Ok(Reception { stop, thread: Some(thread.context("start a thread")?) })
    }
}

impl Drop for Reception {
    fn drop(&mut self) {
        // Only a full counter can fail, and then the bell has been rung.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Until `stop` is readable.
fn serve(name: &str, listener: &Listener, stop: &EventFd, hall: &mut impl Hall) {
    loop {
        match fd::wait_readable([fd::of(stop), listener.as_fd()]) {
            Ok([false, _]) => {}
            Ok([true, _]) => return,
            Err(e) => return log::error!("{name}: wait for clients: {e}; there will be no more"),
        }
        match listener.accept() {
            Ok(stream) => hall.admit(stream),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => {
                log::warn!("{name}: accept a connection: {e}; it has to wait");
                hall.make_room();
                let _ = readiness::wait(&mut [Watch::new(fd::of(stop), true, false)], Some(BREATH));
            }
        }
    }
}

/// Those who are in a hall, the oldest first: what is known of each, and its thread.
pub struct Guests<T> {
    /// Of their threads.
    name: &'static str,
    all: Vec<(T, JoinHandle<()>)>,
}

impl<T> Guests<T> {
    pub fn new(name: &'static str) -> Guests<T> {
        Guests { name, all: Vec::new() }
    }

    /// How many there are.
    pub fn count(&mut self) -> usize {
        self.all.retain(|(_, thread)| !thread.is_finished());
        self.all.len()
    }

    /// One more, who does `live`. A thread that cannot be started is told of, and `live` is dropped.
    pub fn add(&mut self, guest: T, live: impl FnOnce() + Send + 'static) {
        match Builder::new().name(self.name.into()).stack_size(STACK).spawn(live) {
            Ok(thread) => self.all.push((guest, thread)),
            Err(e) => log::warn!("{}: a client was turned away: start a thread: {e}", self.name),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter().map(|(guest, _)| guest)
    }

    /// Waits until the first of whom `leaves` is true has left. False: it is true of nobody.
    pub fn wait_for(&mut self, leaves: impl FnMut(&T) -> bool) -> bool {
        let Some(at) = self.iter().position(leaves) else { return false };
        drop(self.all.remove(at).1.join());
        true
    }

    /// Waits until all have left.
    pub fn wait(self) {
        self.all.into_iter().for_each(|(_, thread)| drop(thread.join()));
    }
}
