//! The socket that viewers connect to, and a thread for each of them.

use super::super::{Display, Entrance, Room, address};
use super::{Door, Socket, Wire, serve};
use crate::host::stream;
use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, eventfd, fd, socket};
use anyhow::{Context, Result};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::{PathBuf, absolute};
use std::str::FromStr;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Where VNC servers listen: display 0 to display 99.
const PORTS: std::ops::RangeInclusive<u16> = 5900..=5999;
/// Viewers at a time.
const MOST: usize = 16;
const STACK: usize = 256 << 10;
/// Until there are descriptors again.
const BREATH: Duration = Duration::from_millis(100);

/// `ADDRESS[:PORT]`, `PORT` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Without a port: the first of 5900 to 5999 that is free.
    Tcp(IpAddr, Option<u16>),
    Unix(PathBuf),
}

impl Default for Place {
    fn default() -> Place {
        Place::Tcp(Ipv4Addr::LOCALHOST.into(), None)
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Place, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err("a path is missing".into()) } else { Ok(Place::Unix(path.into())) };
        }
        let parsed = address::parse(text).map(|(ip, port)| Place::Tcp(ip, port));
        parsed.ok_or_else(|| "want ADDRESS, ADDRESS:PORT, PORT or unix:PATH".into())
    }
}

impl Place {
    /// Whether others than this host's users can come there.
    pub fn is_far(&self) -> bool {
        matches!(self, Place::Tcp(ip, _) if !ip.is_loopback())
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// With its address as users write it.
    fn open(at: &Place) -> Result<(Listener, String)> {
        match at {
            Place::Tcp(ip, port) => {
                let listener = tcp(*ip, *port)?;
                listener.set_nonblocking(true).context("prepare the socket")?;
                let address = format!("vnc://{}", listener.local_addr().context("ask for the port")?);
                Ok((Listener::Tcp(listener), address))
            }
            Place::Unix(path) => {
                let listener = stream::bind(path)?;
                listener.set_nonblocking(true).context("prepare the socket")?;
                Ok((Listener::Unix(listener, path.clone()), format!("unix:{}", absolute(path)?.display())))
            }
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        }
    }

    /// The next viewer, and who it is.
    fn accept(&self) -> io::Result<(Box<dyn Wire>, String)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                // What is typed is short, and its echo is waited for.
                stream.set_nodelay(true)?;
                socket::keep_alive(stream.as_fd())?;
                Ok((Box::new(Socket::new(stream, peer.ip().is_loopback())), peer.to_string()))
            }
            Listener::Unix(listener, path) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Box::new(Socket::new(stream, true)), format!("one at {}", path.display())))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tcp(ip: IpAddr, port: Option<u16>) -> Result<TcpListener> {
    if let Some(port) = port {
        let address = SocketAddr::new(ip, port);
        return TcpListener::bind(address).with_context(|| format!("listen on {address}"));
    }
    for port in PORTS {
        match TcpListener::bind(SocketAddr::new(ip, port)) {
            Err(e) if e.kind() == ErrorKind::AddrInUse => {}
            other => return other.with_context(|| format!("listen on {}", SocketAddr::new(ip, port))),
        }
    }
    anyhow::bail!("listen on {ip}: the ports {} to {} are all in use", PORTS.start(), PORTS.end())
}

/// The open socket.
pub struct Vnc {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
    /// As users write it.
    pub address: String,
}

impl Vnc {
    pub fn open(at: &Place, door: Door, room: &Room) -> Result<Vnc> {
        let (listener, address) = Listener::open(at)?;
        let stop = Arc::new(eventfd().context("create an eventfd")?);
        let house = House { listener, stop: stop.clone(), room: room.clone(), door: Arc::new(door) };
        let thread = Builder::new().name("vnc".into()).stack_size(STACK).spawn(move || house.live());
        Ok(Vnc { stop, thread: Some(thread.context("start a thread")?), address })
    }
}

impl Display for Vnc {
    fn entrance(&self) -> Entrance {
        Entrance { address: Some(self.address.clone()), link: None }
    }
}

impl Drop for Vnc {
    fn drop(&mut self) {
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct House {
    listener: Listener,
    stop: Arc<EventFd>,
    room: Room,
    door: Arc<Door>,
}

impl House {
    fn live(&self) {
        let mut guests: Vec<JoinHandle<()>> = Vec::new();
        loop {
            let mut watches = [Watch::new(fd::of(&self.stop), true, false), Watch::new(self.listener.fd(), true, false)];
            if let Err(e) = readiness::wait(&mut watches, None) {
                log::error!("vnc: wait for viewers: {e}; there will be no more");
                break;
            }
            let [stop, knock] = &watches;
            if stop.ready() {
                break;
            }
            if knock.ready() {
                guests.retain(|guest| !guest.is_finished());
                self.let_in(&mut guests);
            }
        }
        // All of them see `stop`.
        guests.into_iter().for_each(|guest| drop(guest.join()));
    }

    fn let_in(&self, guests: &mut Vec<JoinHandle<()>>) {
        let (wire, peer) = match self.listener.accept() {
            Ok(accepted) => accepted,
            Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)) => {
                log::warn!("vnc: {e}: a viewer has to wait");
                let _ = readiness::wait(&mut [Watch::new(fd::of(&self.stop), true, false)], Some(BREATH));
                return;
            }
            Err(e) => return log::debug!("vnc: accept: {e}"),
        };
        if guests.len() >= MOST {
            return log::warn!("vnc: {peer} was turned away: {MOST} viewers are there");
        }
        let (room, door, stop) = (self.room.clone(), self.door.clone(), self.stop.clone());
        let name = peer.clone();
        let live = move || match serve(wire, &room, &door, &stop) {
            Ok(()) => log::debug!("vnc: {name}: the guest has ended"),
            Err(e) => log::info!("vnc: {name} left: {e:#}"),
        };
        match Builder::new().name("vnc viewer".into()).stack_size(STACK).spawn(live) {
            Ok(thread) => guests.push(thread),
            Err(e) => log::warn!("vnc: {peer} was turned away: start a thread: {e}"),
        }
    }
}
