//! Who gets in: one browser for each token, and only by the page itself.
//!
//! - A token has 128 random bits and is good for one visit; the browser that comes with it gets a cookie of as many.
//!   Both are compared in a time that says nothing of them. A right one is always let in, so wrong ones, however many,
//!   keep nobody out; they are told of in the log a few times.
//! - A page elsewhere may make the browser send requests here. Its cookie is `SameSite=Strict`, what is asked for with a
//!   wrong `Origin` is refused, and so are requests to a host by a name other than localhost: DNS may lead any name here.

use crate::host::http::Request;
use crate::sys::{Lock, random};
use anyhow::{Context, Result};
use std::net::IpAddr;

/// Bytes of a token.
const BYTES: usize = 16;
/// The most browsers that are let in; the oldest has to leave.
const BROWSERS: usize = 32;
/// Failures that are told of.
const TOLD: u32 = 10;

pub struct Gate {
    /// Cookies are one host's, whatever the port: the name tells several kilns apart.
    cookie: String,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    token: Option<String>,
    browsers: Vec<String>,
    failures: u32,
}

/// What a request is let do.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is a browser that we know.
    Known,
    /// It came with the token: the value of Set-Cookie that makes it known.
    New(String),
    No(&'static str),
}

impl Gate {
    /// Nobody has a token yet.
    pub fn new(port: u16) -> Gate {
        Gate { cookie: format!("kiln-{port}"), state: Lock::default() }
    }

    /// The token of one more browser, in place of one that has not been used.
    pub fn renew(&self) -> Result<String> {
        let token = secret()?;
        self.state.lock().token = Some(token.clone());
        Ok(token)
    }

    pub fn entry(&self, request: &Request) -> Entry {
        if !request.field("host").is_some_and(is_here) {
            return Entry::No("this is no name of this host: use its address, or localhost");
        }
        if !is_own(request) {
            return Entry::No("another page asks for this");
        }
        let cookies = request.all("cookie").flat_map(|c| c.split(';')).filter_map(|c| c.trim().split_once('='));
        let mine: Vec<&str> = cookies.filter(|(name, _)| *name == self.cookie).map(|(_, value)| value).take(4).collect();
        let mut state = self.state.lock();
        let known = state.browsers.iter().fold(false, |known, b| known | mine.iter().any(|m| same(m, b)));
        if known {
            return Entry::Known;
        }
        let Some(token) = request.asked("token").filter(|_| request.path == "/" && request.method == "GET") else {
            return Entry::No("open the link that kiln shows when it starts; `kiln link` makes another");
        };
        if !state.token.as_deref().is_some_and(|right| same(right, &token)) {
            state.failures += 1;
            if state.failures <= TOLD {
                log::warn!("web: a wrong token, or one that was used before");
            }
            return Entry::No("this link has been used, or is wrong: each works once; `kiln link` makes another");
        }
        let Ok(cookie) = secret() else { return Entry::No("there are no random numbers") };
        state.token = None;
        if state.browsers.len() >= BROWSERS {
            state.browsers.remove(0);
        }
        state.browsers.push(cookie.clone());
        Entry::New(format!("{}={cookie}; Path=/; HttpOnly; SameSite=Strict", self.cookie))
    }
}

/// Hexadecimal digits of 128 random bits.
fn secret() -> Result<String> {
    let mut bytes = [0; BYTES];
    random(&mut bytes).context("get random numbers")?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Takes as long whatever differs.
fn same(a: &str, b: &str) -> bool {
    let differ = a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differ) == 0
}

/// An address, or localhost; with any port, for connections may be forwarded.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Whether it does not come from another page. Browsers say where from with everything but a visit, and with every
/// WebSocket (RFC 6455, 10.2).
fn is_own(request: &Request) -> bool {
    let host = request.field("host").unwrap_or_default();
    let origins = request.all("origin").collect::<Vec<_>>();
    let own = |origin: &&str| ["http://", "https://"].iter().any(|s| origin.strip_prefix(s).is_some_and(|o| o == host));
    let asked = !origins.is_empty() || request.all("upgrade").next().is_some();
    !asked || matches!(&origins[..], [one] if own(one))
}
