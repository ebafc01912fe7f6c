//! `--display web`: a page that kiln serves itself, with noVNC, which any browser shows; RFB comes to it over a WebSocket.
//!
//! Whoever has the link gets in, once: it has a token that is used up by the browser that opens it, which has a cookie
//! from then on. Other pages in that browser do not get in, nor names that lead here (see `gate`).
//! What the guest plays comes over a second WebSocket (see `listen`).

mod archive;
mod gate;
mod listen;
mod site;
mod socket;

use super::{Display, Entrance, Kind, Room, address};
use crate::config::values::{Maybe, Switch};
use crate::host::http::{Limits, Listener, Server};
use crate::spec;
use crate::sys::term::Stderr;
use anyhow::{Context, Result, ensure};
use gate::Gate;
use site::Site;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::Arc;

spec! {
    struct Spec {
        /// Where browsers connect: ADDRESS, ADDRESS:PORT or PORT; without it 127.0.0.1, and a port that is free
        address: Maybe<Place> = "",
        /// Whether an address of the network is allowed: what goes over it is not encrypted
        plain: Switch = "off",
        /// Whether the page plays what the guest plays; a guest without a sound card gets one for that
        sound: Switch = "on",
    }
}

pub static KIND: Kind = Kind {
    name: "web",
    about: "For a browser: kiln serves a page, and prints a link that works once.",
    options: Spec::OPTIONS,
    heard: |options| Ok(Spec::parse(options)?.sound.0),
    open: |options, room| {
        let spec = Spec::parse(options)?;
        let place = spec.address.0.unwrap_or_default();
        ensure!(
            place.0.ip().is_loopback() || spec.plain.0,
            "{} is no address of this host alone, and the page is not encrypted: have it on 127.0.0.1 and come by ssh -L, or say plain=on",
            place.0.ip()
        );
        let web = Web::open(place.0, room, spec.sound.0)?;
        let _ = writeln!(Stderr, "kiln: screen at {}", web.link()?);
        Ok(Box::new(web))
    },
};

/// `ADDRESS[:PORT]` or `PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place(SocketAddr);

impl Default for Place {
    fn default() -> Place {
        Place((Ipv4Addr::LOCALHOST, 0).into())
    }
}

impl FromStr for Place {
    type Err = String;
    fn from_str(text: &str) -> Result<Place, String> {
        let place = address::parse(text).map(|(ip, port)| Place(SocketAddr::new(ip, port.unwrap_or(0))));
        place.ok_or_else(|| "want ADDRESS, ADDRESS:PORT or PORT".into())
    }
}

/// The open page.
struct Web {
    site: Arc<Site>,
    server: Option<Server>,
    /// `http://ADDRESS:PORT/`
    address: String,
}

impl Web {
    fn open(address: SocketAddr, room: &Room, sound: bool) -> Result<Web> {
        let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let mut at = listener.local_addr().context("ask for the port")?;
        if at.ip().is_unspecified() {
            at.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let site = Arc::new(Site::new(room, at.port(), sound)?);
        // What a browser asks for has no body.
        let limits = Limits { body: 0, ..Limits::default() };
        let server = Server::start("web", Listener::Tcp(listener), limits, site.clone())?;
        Ok(Web { site, server: Some(server), address: format!("http://{at}/") })
    }

    /// For one browser; the one before lets nobody in any more.
    fn link(&self) -> Result<String> {
        link(&self.address, &self.site.gate)
    }
}

fn link(address: &str, gate: &Gate) -> Result<String> {
    Ok(format!("{address}?token={}", gate.renew()?))
}

impl Display for Web {
    fn entrance(&self) -> Entrance {
        let (address, gate) = (self.address.clone(), self.site.gate.clone());
        Entrance { address: Some(address.clone()), link: Some(Arc::new(move || link(&address, &gate))) }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // Those who look are told why, before their connections are closed.
        self.site.end();
        self.server.take();
    }
}

#[cfg(test)]
mod tests;
