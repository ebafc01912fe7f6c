//! What there is to ask for: the page, noVNC, and two WebSockets: the screen's and the sound's.

use super::super::{Room, vnc};
use super::archive::{self, Files};
use super::gate::{Entry, Gate};
use super::listen;
use super::socket::Socket;
use crate::host::http::{Answer, Handler, Request, Response, Stream};
use crate::host::sound::Hub;
use crate::sys::{EventFd, Lock, eventfd, socket};
use anyhow::{Context, Result};
use serde_json::json;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tungstenite::handshake::derive_accept_key;

/// Browsers that look at a time, and that listen.
const MOST: usize = 16;
/// How long those who look have to leave at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Only what comes from here, and pictures that noVNC makes itself (the pointer); in no frame of others.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// By name, with their types.
const PAGE: &[(&str, &str, &[u8])] = &[
    ("/", HTML, include_bytes!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_bytes!("page/page.css")),
    ("/page.js", SCRIPT, include_bytes!("page/page.js")),
    ("/sound.js", SCRIPT, include_bytes!("page/sound.js")),
    ("/speaker.js", SCRIPT, include_bytes!("page/speaker.js")),
];
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

pub struct Site {
    pub gate: Arc<Gate>,
    novnc: Files,
    room: Room,
    /// `None`: the page plays nothing.
    sound: Option<Arc<Hub>>,
    /// Readable when the guest has ended.
    stop: Arc<EventFd>,
    /// Each who looks or listens has a copy of the sender, and the receiver sees when all have left.
    looks: Lock<Option<Sender<()>>>,
    gone: Lock<Receiver<()>>,
    /// Those who look, and those who listen.
    count: Arc<()>,
    listen_count: Arc<()>,
}

impl Site {
    pub fn new(room: &Room, port: u16, sound: bool) -> Result<Site> {
        let (looks, gone) = channel();
        Ok(Site {
            gate: Arc::new(Gate::new(port)),
            novnc: archive::open()?,
            room: room.clone(),
            sound: sound.then(|| room.sound.clone()),
            stop: Arc::new(eventfd().context("make an eventfd")?),
            looks: Lock::new(Some(looks)),
            gone: Lock::new(gone),
            count: Arc::new(()),
            listen_count: Arc::new(()),
        })
    }

    /// Tells all who look that the guest has ended, and waits until they know.
    pub fn end(&self) {
        // Only a full counter can fail, and then it has been said.
        let _ = self.stop.write(1);
        drop(self.looks.lock().take());
        // What does not arrive in time was no farewell; what comes is an error, as nobody sends.
        let _ = self.gone.lock().recv_timeout(FAREWELL);
    }

    fn find(&self, path: &str) -> Response {
        if let Some((_, kind, body)) = PAGE.iter().find(|(name, ..)| *name == path) {
            return Response::new(200).body(kind, *body);
        }
        let file = path.strip_prefix("/novnc/").and_then(|name| Some((name, self.novnc.get(name)?)));
        match file {
            Some((name, body)) => {
                let kind = if name.ends_with(".js") { SCRIPT } else { "text/plain; charset=utf-8" };
                Response::new(200).body(kind, body.clone())
            }
            None => Response::text(404, "there is nothing of this name"),
        }
    }

    fn screen(&self, request: &Request) -> Answer {
        if is_full(&self.count) {
            return full().into();
        }
        let room = self.room.clone();
        self.upgrade(request, &self.count, move |socket, stop| vnc::serve(Box::new(socket), &room, &vnc::Door::Open, stop))
    }

    fn hearing(&self, request: &Request) -> Answer {
        let Some(hub) = self.hub() else { return Response::text(404, "there is no sound").into() };
        if is_full(&self.listen_count) {
            return Response::text(503, "as many listen as may").into();
        }
        self.upgrade(request, &self.listen_count, move |mut socket, stop| listen::serve(&mut socket, &hub, stop))
    }

    /// Where the page hears what the guest plays.
    fn hub(&self) -> Option<Arc<Hub>> {
        self.sound.clone().filter(|hub| hub.has_card())
    }

    /// A WebSocket (RFC 6455, 4.2), which is served until they leave or the guest ends.
    fn upgrade(
        &self,
        request: &Request,
        count: &Arc<()>,
        serve: impl FnOnce(Socket, &EventFd) -> Result<()> + Send + 'static,
    ) -> Answer {
        let key = request.field("sec-websocket-key").filter(|key| key.len() == 24);
        let is = request.lists("upgrade", "websocket") && request.lists("connection", "upgrade");
        let Some(key) = key.filter(|_| is && request.field("sec-websocket-version") == Some("13")) else {
            let response = Response::text(426, "this is a WebSocket").field("Upgrade", "websocket");
            return response.field("Sec-WebSocket-Version", "13").into();
        };
        let Some(looks) = self.looks.lock().clone() else { return Response::text(503, "the guest has ended").into() };
        let accept = derive_accept_key(key.as_bytes());
        let response = Response::new(101).field("Upgrade", "websocket").field("Connection", "Upgrade");
        let (stop, count) = (self.stop.clone(), count.clone());
        let then = move |stream: Arc<Stream>, early: Vec<u8>| {
            let _here = (looks, count);
            let who = stream.peer().map_or(String::new(), |p| format!("{p}: "));
            let near = stream.peer().is_some_and(|p| p.ip().is_loopback());
            // A browser whose machine is gone is found out by the kernel.
            if let Err(e) = stream.set_nonblocking().and_then(|()| socket::keep_alive(stream.as_fd())) {
                return log::warn!("web: {who}prepare the connection: {e}");
            }
            let socket = Socket::new(stream.clone(), early, near, stop.clone());
            if let Err(e) = serve(socket, &stop) {
                log::info!("web: {who}{e:#}");
            }
        };
        Answer::Upgrade(response.field("Sec-WebSocket-Accept", &accept), Box::new(then))
    }

    /// What the page asks before it shows what it can do.
    fn about(&self) -> Response {
        let about = json!({ "sound": self.hub().is_some() });
        Response::new(200).body("application/json", about.to_string().into_bytes())
    }
}

/// Whether nobody else may look, or listen: each has a copy of what counts them.
fn is_full(count: &Arc<()>) -> bool {
    Arc::strong_count(count) > MOST
}

fn full() -> Response {
    Response::text(503, "all places in front of this screen are taken")
}

impl Handler for Site {
    fn answer(&self, request: &Request, _: &Stream) -> Answer {
        let cookie = match self.gate.entry(request) {
            Entry::Known => None,
            Entry::New(cookie) => Some(cookie),
            Entry::No(why) => return guarded(Response::text(403, why)).into(),
        };
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return guarded(Response::text(405, "only GET is of use here").field("Allow", "GET, HEAD")).into();
        }
        let response = match request.path.as_str() {
            "/screen" => return self.screen(request),
            "/sound" => return self.hearing(request),
            "/about" => self.about(),
            "/alive" if is_full(&self.count) => full(),
            "/alive" => Response::new(204),
            path => self.find(path),
        };
        let response = guarded(response);
        match cookie {
            Some(cookie) => response.field("Set-Cookie", &cookie).into(),
            None => response.into(),
        }
    }
}

/// With what keeps other pages out, and the token out of what others see.
fn guarded(response: Response) -> Response {
    (response.field("Content-Security-Policy", POLICY))
        .field("X-Content-Type-Options", "nosniff")
        .field("Referrer-Policy", "no-referrer")
        .field("Cross-Origin-Opener-Policy", "same-origin")
        .field("Cross-Origin-Resource-Policy", "same-origin")
        .field("Cache-Control", "no-store")
}
