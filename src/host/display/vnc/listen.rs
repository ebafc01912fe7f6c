//! The socket that viewers connect to, and a thread for each of them.

use super::super::{Display, Entrance, Room, address};
use super::{Door, Socket, serve};
use crate::host::reception::{Guests, Hall, Listener, Reception, Stream};
use crate::host::stream;
use crate::sys::{EventFd, socket};
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{PathBuf, absolute};
use std::str::FromStr;
use std::sync::Arc;

/// Where VNC servers listen: display 0 to display 99.
const PORTS: std::ops::RangeInclusive<u16> = 5900..=5999;
/// Viewers at a time.
const MOST: usize = 16;

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

/// Listens there, and says where that is, as users write it.
fn listen(at: &Place) -> Result<(Listener, String)> {
    match at {
        Place::Tcp(ip, port) => {
            let listener = tcp(*ip, *port)?;
            let address = format!("vnc://{}", listener.local_addr().context("ask for the port")?);
            Ok((Listener::Tcp(listener), address))
        }
        Place::Unix(path) => {
            Ok((Listener::Unix(stream::bind(path)?), format!("unix:{}", absolute(path)?.display())))
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
    /// As users write it.
    pub address: String,
    reception: Option<Reception>,
    /// Of a unix socket.
    path: Option<PathBuf>,
}

impl Vnc {
    pub fn open(at: &Place, door: Door, room: &Room) -> Result<Vnc> {
        let (listener, address) = listen(at)?;
        let path = if let Place::Unix(path) = at { Some(path.clone()) } else { None };
        let (room, door, guests) = (room.clone(), Arc::new(door), Guests::new("vnc viewer"));
        let at = address.clone();
        let reception = Reception::open("vnc", listener, |stop| House { stop, room, door, at, guests })?;
        Ok(Vnc { address, reception: Some(reception), path })
    }
}

impl Display for Vnc {
    fn entrance(&self) -> Entrance {
        Entrance { address: Some(self.address.clone()), link: None }
    }
}

impl Drop for Vnc {
    fn drop(&mut self) {
        self.reception.take();
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// All viewers.
struct House {
    /// Ends what each of them is served.
    stop: Arc<EventFd>,
    room: Room,
    door: Arc<Door>,
    at: String,
    guests: Guests<()>,
}

impl Hall for House {
    fn admit(&mut self, stream: Stream) {
        let peer = stream.peer();
        let name = peer.map_or_else(|| format!("one at {}", self.at), |peer| peer.to_string());
        if self.guests.count() >= MOST {
            return log::warn!("vnc: {name} was turned away: {MOST} viewers are there");
        }
        let ready = stream.set_nonblocking().and_then(|()| match peer {
            Some(_) => socket::keep_alive(stream.as_fd()),
            None => Ok(()),
        });
        if let Err(e) = ready {
            return log::debug!("vnc: {name}: prepare the connection: {e}");
        }
        let wire = Socket::new(stream, peer.is_none_or(|peer| peer.ip().is_loopback()));
        let (room, door, stop) = (self.room.clone(), self.door.clone(), self.stop.clone());
        self.guests.add((), move || match serve(Box::new(wire), &room, &door, &stop) {
            Ok(()) => log::debug!("vnc: {name}: the guest has ended"),
            Err(e) => log::info!("vnc: {name} left: {e:#}"),
        });
    }

    /// All of them see `stop`.
    fn close(self) {
        self.guests.wait();
    }
}
