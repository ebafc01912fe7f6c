//! Who asks: the other side of the socket.

use super::place::{self, Place, Places};
use super::vm::Vm;
use crate::host::http;
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A machine that only looks into its own memory for an answer has given it by then.
const PATIENCE: Duration = Duration::from_secs(10);

/// A machine that was found.
pub struct Client(Place);

/// Finds a machine by its name, or by the number of its process.
pub fn find(name: &str) -> Result<Client> {
    Places::ours().find(name).map(|(_, place)| Client(place))
}

/// All machines of this user, in the order of their names. A warning tells of those that do not answer.
pub fn running() -> Result<Vec<Vm>> {
    let mut all = Vec::new();
    for place in Places::ours().all()? {
        let Ok(stream) = place::connect(&place).inspect_err(|e| log::debug!("{e:#}")) else { continue };
        let vm = ask(stream, &place, Some(PATIENCE), "GET", "/v1/vm", &[]).and_then(|reply| parsed(&place, reply));
        all.extend(vm.inspect_err(|e| log::warn!("{e:#}")));
    }
    Ok(all)
}

impl Client {
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Makes a call that is answered at once; the answer's body.
    pub fn call(&self, method: &str, target: &str, body: &[u8]) -> Result<Vec<u8>> {
        ask(place::connect(&self.0)?, &self.0, Some(PATIENCE), method, target, body)?.map_err(|e| self.refused(&e))
    }

    /// Makes a call that takes its time.
    pub fn call_slowly(&self, target: &str, body: &[u8]) -> Result<Vec<u8>> {
        self.wait(target, body)?.map_err(|why| anyhow!("`{}`: {why}", self.0.name))
    }

    /// Makes a call that takes its time; an error within is why it was not done in the time that it was given.
    pub fn wait(&self, target: &str, body: &[u8]) -> Result<Result<Vec<u8>, String>> {
        match ask(place::connect(&self.0)?, &self.0, None, "POST", target, body)? {
            Err(Refused { status: TOO_LATE, why }) => Ok(Err(why)),
            Err(refused) => Err(self.refused(&refused)),
            Ok(body) => Ok(Ok(body)),
        }
    }

    fn refused(&self, refused: &Refused) -> anyhow::Error {
        anyhow!("`{}`: {}", self.0.name, refused.why)
    }
}

const TOO_LATE: u16 = 504;

struct Refused {
    status: u16,
    why: String,
}

#[derive(Deserialize)]
struct Why {
    error: String,
}

fn ask(
    stream: UnixStream,
    place: &Place,
    patience: Option<Duration>,
    method: &str,
    target: &str,
    body: &[u8],
) -> Result<Result<Vec<u8>, Refused>> {
    let name = || format!("`{}`", place.name);
    stream.set_read_timeout(patience).with_context(name)?;
    stream.set_write_timeout(patience).with_context(name)?;
    let reply = http::call(&stream, method, target, body).with_context(name)?;
    if reply.status < 300 {
        return Ok(Ok(reply.body));
    }
    let why = serde_json::from_slice(&reply.body).map(|Why { error }| error);
    Ok(Err(Refused { status: reply.status, why: why.unwrap_or_else(|_| format!("status {}", reply.status)) }))
}

fn parsed(place: &Place, reply: Result<Vec<u8>, Refused>) -> Result<Vm> {
    let body = reply.map_err(|refused| anyhow!("`{}`: {}", place.name, refused.why))?;
    serde_json::from_slice(&body).with_context(|| format!("`{}` says what this kiln does not understand", place.name))
}
