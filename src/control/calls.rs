//! What can be asked over the socket: one table of calls.

mod hands;
mod screen;

use super::vm::About;
use crate::event::Request as Wish;
use crate::host::http::{Answer, Request, Response, Stream};
use crate::host::seat::Hands;
use crate::machine::Front;
use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, Lock, dir, fd, socket};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// What the calls are about.
pub struct Desk {
    about: About,
    front: Front,
    /// Of all who use the socket: what one call holds down, another lets go.
    hands: Lock<Hands>,
    /// Rings when the machine has ended.
    ended: Arc<EventFd>,
}

impl Desk {
    pub fn new(about: About, front: Front, ended: Arc<EventFd>) -> Desk {
        let hands = Lock::new(Hands::new(&front.seat));
        Desk { about, front, hands, ended }
    }
}

/// Why a call is not done: an HTTP status, and what to tell.
#[derive(Debug)]
pub struct Refusal(pub u16, pub String);

/// What was sent is wrong.
fn bad(error: impl std::fmt::Display) -> Refusal {
    Refusal(400, format!("{error:#}"))
}

/// It cannot be done as things are.
fn cannot(why: &str) -> Refusal {
    Refusal(409, why.to_string())
}

/// The most bytes of a body that is JSON.
const LONGEST: usize = 1 << 20;

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// A call in the table.
struct Call {
    method: &'static str,
    path: &'static str,
    /// What `GET /` says of it.
    about: &'static str,
    run: fn(&Desk, &Request, &Stream) -> Result<Answer>,
}

static CALLS: &[Call] = &[
    Call { method: "GET", path: "/", about: "The calls there are", run: |_, _, _| Ok(list()) },
    Call { method: "GET", path: "/v1/vm", about: "What the machine is and does", run: |desk, _, _| Ok(vm(desk)) },
    Call {
        method: "GET",
        path: "/v1/screen.png",
        about: "What the screen shows, as a PNG (?pointer=on: with the pointer in it)",
        run: screen::png,
    },
    Call {
        method: "POST",
        path: "/v1/await-screen",
        about: "Wait until the screen shows the PNG in the body (?tolerance=PERCENT, ?timeout=SECONDS); what it showed then",
        run: screen::await_screen,
    },
    Call {
        method: "POST",
        path: "/v1/input",
        about: "Keys, buttons and movements: {\"events\": [{\"down\": \"ctrl\"}, {\"move-to\": [10, 20]}, ...]}",
        run: hands::input,
    },
    Call { method: "POST", path: "/v1/type", about: "Type: {\"text\": \"ls\\n\"}", run: hands::type_text },
    Call {
        method: "POST",
        path: "/v1/keys",
        about: "Press keys together, one chord after the other: {\"keys\": [\"ctrl-alt-f2\"]}",
        run: hands::keys,
    },
    Call {
        method: "POST",
        path: "/v1/click",
        about: "Click: {\"x\": 10, \"y\": 20, \"button\": \"left\", \"double\": false}",
        run: hands::click,
    },
    Call {
        method: "POST",
        path: "/v1/link",
        about: "Make a link for one more browser; the one before, if it was not used, works no more",
        run: link,
    },
    Call {
        method: "POST",
        path: "/v1/power-button",
        about: "Press the power button; what that means is the guest's affair",
        run: |desk, request, _| wish(desk, request, Wish::PowerButton),
    },
    Call {
        method: "POST",
        path: "/v1/shutdown",
        about: "Press the power button, and end a guest that has not ended so many seconds later: {\"timeout\": 30}",
        run: shutdown,
    },
    Call {
        method: "POST",
        path: "/v1/quit",
        about: "End the guest at once; kiln's status is 130",
        run: |desk, request, _| wish(desk, request, Wish::UserQuit),
    },
];

/// Answers whoever may ask: the machine's own user, and root.
pub fn answer(desk: &Desk, request: &Request, from: &Stream) -> Answer {
    let user = socket::peer(from.as_fd()).map(|peer| peer.user);
    let allowed = user.is_ok_and(|user| user == 0 || user == dir::effective_user());
    let done =
        if allowed { call(desk, request, from) } else { Err(Refusal(403, "this is another user's".to_string())) };
    done.unwrap_or_else(|Refusal(status, text)| json(status, &json!({ "error": text })).into())
}

fn call(desk: &Desk, request: &Request, from: &Stream) -> Result<Answer> {
    let same: Vec<_> = CALLS.iter().filter(|call| call.path == request.path).collect();
    match same.iter().find(|call| call.method == request.method) {
        Some(call) => (call.run)(desk, request, from),
        None if same.is_empty() => Err(Refusal(404, "there is no such call; GET / tells which there are".to_string())),
        None => {
            let methods: Vec<_> = same.iter().map(|call| call.method).collect();
            Err(Refusal(405, format!("this call is made with {}", methods.join(", "))))
        }
    }
}

pub fn json(status: u16, value: &impl Serialize) -> Response {
    // What is answered are structures of ours with names for keys.
    let text = serde_json::to_string(value).unwrap_or_default() + "\n";
    Response::new(status).body("application/json", text.into_bytes())
}

fn list() -> Answer {
    let calls = CALLS.iter().map(|c| json!({ "method": c.method, "path": c.path, "about": c.about }));
    json(200, &json!({ "calls": calls.collect::<Vec<_>>() })).into()
}

fn vm(desk: &Desk) -> Answer {
    json(200, &desk.about.now(&desk.front)).into()
}

/// New links to all displays that are opened by one.
fn link(desk: &Desk, request: &Request, _: &Stream) -> Result<Answer> {
    no_body(request)?;
    let makers: Vec<_> = desk.front.entrances.iter().filter_map(|entrance| entrance.link.as_ref()).collect();
    if makers.is_empty() {
        return Err(cannot("no link leads to its screen: start it with --display web"));
    }
    let links = makers.iter().map(|make| make()).collect::<anyhow::Result<Vec<_>>>();
    let links = links.map_err(|e| Refusal(500, format!("{e:#}")))?;
    Ok(json(200, &json!({ "links": links })).into())
}

/// What stands in the body.
fn argument<T: DeserializeOwned>(request: &Request) -> Result<T> {
    if request.body.len() > LONGEST {
        return Err(Refusal(413, format!("the body has more than {LONGEST} bytes")));
    }
    serde_json::from_slice(&request.body).map_err(|e| bad(format!("the body: {e}")))
}

/// A call that takes no argument: its body is empty, or an empty object.
fn no_body(request: &Request) -> Result<()> {
    match request.body.trim_ascii() {
        b"" | b"{}" => Ok(()),
        _ => Err(bad("this call takes no body")),
    }
}

fn done() -> Answer {
    json(200, &json!({})).into()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shutdown {
    /// Seconds.
    timeout: u32,
}

fn shutdown(desk: &Desk, request: &Request, _: &Stream) -> Result<Answer> {
    let Shutdown { timeout } = argument(request)?;
    let (front, ended) = (desk.front.clone(), desk.ended.clone());
    let press = move |_, _| {
        front.ask(Wish::PowerButton);
        let mut ended = [Watch::new(fd::of(&ended), true, false)];
        let waited = readiness::wait(&mut ended, Some(Duration::from_secs(timeout.into())));
        if waited.is_err() || !ended.iter().any(Watch::ready) {
            front.ask(Wish::UserQuit);
        }
    };
    Ok(Answer::Upgrade(json(200, &json!({})), Box::new(press)))
}

/// The answer is on its way before the machine may be gone.
fn wish(desk: &Desk, request: &Request, wish: Wish) -> Result<Answer> {
    no_body(request)?;
    let front = desk.front.clone();
    Ok(Answer::Upgrade(json(200, &json!({})), Box::new(move |_, _| front.ask(wish))))
}

#[cfg(test)]
mod tests;
