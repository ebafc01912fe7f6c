//! The debugger's connection: a thread that accepts one client at a time and carries bytes both ways.
//!
//! A client gets no further than its answers: bytes are read only after the supervisor dealt with the last ones and the
//! client took what they brought. So nobody waits for a client that does not read, and nothing piles up.

use crate::config::Listen;
use crate::event::{Notify, Request};
use crate::host::stream;
use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, eventfd, fd};
use anyhow::{Context, Result};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// Clients are numbered: what is meant for one that left does not reach the next.
pub type Number = u64;

/// What a client did.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// To be answered by [`Line::done`].
    Said(Number, Vec<u8>),
    Left(Number),
}

enum Order {
    Send(Number, Vec<u8>),
    Done(Number),
    HangUp(Number),
    End,
}

impl Order {
    fn whom(&self) -> Option<Number> {
        match self {
            Order::Send(to, _) | Order::Done(to) | Order::HangUp(to) => Some(*to),
            Order::End => None,
        }
    }
}

pub struct Line {
    orders: mpsc::Sender<Order>,
    events: mpsc::Receiver<Event>,
    bell: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    /// What a user types to gdb to get here.
    pub command: String,
    /// A unix socket's file, removed at the end.
    file: Option<PathBuf>,
}

impl Line {
    /// Listens. Every event comes with [`Request::Debugger`].
    pub fn open(at: &Listen, notify: Notify) -> Result<Line> {
        let (listener, command) = Listener::open(at)?;
        let bell = Arc::new(eventfd().context("create an eventfd")?);
        let (orders, inbox) = mpsc::channel();
        let (outbox, events) = mpsc::channel();
        let far = FarEnd { listener, client: None, clients: 0, bell: bell.clone(), inbox, outbox, notify };
        let thread = std::thread::Builder::new().name("gdb".into()).stack_size(256 << 10).spawn(move || far.live());
        let file = if let Listen::Unix(path) = at { Some(path.clone()) } else { None };
        Ok(Line { orders, events, bell, thread: Some(thread.context("start a thread")?), command, file })
    }

    pub fn event(&self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    pub fn send(&self, to: Number, data: Vec<u8>) {
        self.order(Order::Send(to, data));
    }

    /// What was said is dealt with; the client may say more.
    pub fn done(&self, to: Number) {
        self.order(Order::Done(to));
    }

    /// Lets the next client in. What the client has not taken yet is lost.
    pub fn hang_up(&self, to: Number) {
        self.order(Order::HangUp(to));
    }

    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
        let _ = self.bell.write(1);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.order(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(path) = &self.file {
            let _ = std::fs::remove_file(path);
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn open(at: &Listen) -> Result<(Listener, String)> {
        match at {
            Listen::Tcp(address) => {
                let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
                let local = listener.local_addr().context("ask for the port")?;
                let place = if local.ip().is_loopback() { format!(":{}", local.port()) } else { local.to_string() };
                listener.set_nonblocking(true).context("prepare the socket")?;
                Ok((Listener::Tcp(listener), format!("target remote {place}")))
            }
            Listen::Unix(path) => {
                let listener = stream::bind(path)?;
                listener.set_nonblocking(true).context("prepare the socket")?;
                Ok((Listener::Unix(listener), format!("target remote {}", path.display())))
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }

    fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _): (TcpStream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                // Answers are short and each is waited for.
                stream.set_nodelay(true)?;
                Ok(stream.into())
            }
            Listener::Unix(listener) => {
                let (stream, _): (UnixStream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(stream.into())
            }
        }
    }
}

/// The thread's side.
struct FarEnd {
    listener: Listener,
    client: Option<Client>,
    /// How many there have been.
    clients: Number,
    bell: Arc<EventFd>,
    inbox: mpsc::Receiver<Order>,
    outbox: mpsc::Sender<Event>,
    notify: Notify,
}

struct Client {
    number: Number,
    socket: std::fs::File,
    /// Not taken by the client yet.
    output: Vec<u8>,
    /// The supervisor has what was said last.
    heard: bool,
}

impl FarEnd {
    fn live(mut self) {
        loop {
            let (listener, client) = match &self.client {
                Some(client) => (Watch::NONE, Watch::new(client.socket.as_fd(), client.reads(), client.writes())),
                None => (Watch::new(self.listener.fd(), true, false), Watch::NONE),
            };
            let mut watches = [Watch::new(fd::of(&self.bell), true, false), listener, client];
            if let Err(e) = readiness::wait(&mut watches, None) {
                return log::error!("wait for the debugger: {e}");
            }
            let [bell, knock, client] = watches;
            let (bell, knock) = (bell.readable(), knock.ready());
            let (readable, writable, gone) = (client.readable(), client.writable(), client.gone());
            if bell {
                let _ = self.bell.read();
                if !self.carry_out_orders() {
                    return;
                }
            }
            if knock {
                self.accept();
            }
            let alive = self.client.as_mut().is_none_or(|c| (!writable || c.flush()) && (!gone || c.reads()));
            if !alive {
                self.left();
            } else if readable || gone {
                self.hear();
            }
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.outbox.send(event);
        (self.notify)(Request::Debugger);
    }

    fn left(&mut self) {
        if let Some(client) = self.client.take() {
            self.tell(Event::Left(client.number));
        }
    }

    fn accept(&mut self) {
        match self.listener.accept() {
            Ok(socket) => {
                self.clients += 1;
                let number = self.clients;
                self.client = Some(Client { number, socket: socket.into(), output: Vec::new(), heard: false });
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {}
            Err(e) => {
                log::warn!("accept the debugger: {e}");
                // Out of descriptors, perhaps: it would knock without end.
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
        }
    }

    fn hear(&mut self) {
        let Some(client) = self.client.as_mut().filter(|c| c.reads()) else { return };
        let mut buffer = [0; 4096];
        match client.socket.read(&mut buffer) {
            Ok(0) => self.left(),
            Ok(n) => {
                client.heard = true;
                let number = client.number;
                self.tell(Event::Said(number, buffer.get(..n).unwrap_or_default().to_vec()));
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.left(),
        }
    }

    /// `false`: this was the last one.
    fn carry_out_orders(&mut self) -> bool {
        while let Ok(order) = self.inbox.try_recv() {
            let client = self.client.as_mut().filter(|client| order.whom() == Some(client.number));
            let alive = match (order, client) {
                (Order::End, _) => return false,
                (_, None) => true,
                (Order::Send(_, data), Some(client)) => {
                    client.output.extend(data);
                    client.flush()
                }
                (Order::Done(_), Some(client)) => {
                    client.heard = false;
                    true
                }
                (Order::HangUp(_), Some(_)) => {
                    self.client = None;
                    true
                }
            };
            if !alive {
                self.left();
            }
        }
        true
    }
}

impl Client {
    /// What it says is wanted: it has taken all that was for it, and was heard. Otherwise only its end is waited for.
    fn reads(&self) -> bool {
        self.output.is_empty() && !self.heard
    }

    fn writes(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends what the client takes now. `false`: it is gone.
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match fd::send_now(self.socket.as_fd(), &self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}
