//! The host's end of the protocol of spice-vdagent, which desktops in a guest run: the part of it that is about text on the
//! clipboard (spice-protocol, vd_agent.h).
//!
//! ```text
//! chunk    port u32, size u32, bytes of a message
//! message  protocol u32, type u32, opaque u64, size u32, data
//! ```

use super::{Clipboard, LIMIT, Party};
use crate::host::stream::{Ready, Stream};
use crate::sys::Lock;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// The name of the port that the guest's agent opens.
pub const PORT: &str = "com.redhat.spice.0";

/// VDP_CLIENT_PORT: messages between the agent and who looks.
const CLIENT: u32 = 1;
const PROTOCOL: u32 = 1;
/// Bytes of a chunk's and a message's header.
const CHUNK_HEADER: usize = 8;
const HEADER: usize = 20;
/// Bytes that agents take in one chunk.
const CHUNK: usize = 2048;

/// Types of messages.
const CLIPBOARD: u32 = 4;
const CAPABILITIES: u32 = 6;
const GRAB: u32 = 7;
const REQUEST: u32 = 8;

/// What both sides can: text that is sent when it is asked for, and several selections.
const BY_DEMAND: u32 = 1 << 5;
const SELECTION: u32 = 1 << 6;
/// The guest's lines end with a carriage return, too.
const CRLF: u32 = 1 << 9;

/// Types of what is on a clipboard.
const NOTHING: u32 = 0;
const TEXT: u32 = 1;

/// Bytes of the longest message of the guest that is looked at.
const LONGEST: usize = LIMIT + 64;
/// Bytes that wait for the guest at most: beyond, answers are left out.
const BACKLOG: usize = 4 * LIMIT;

/// A stream, for the port.
pub struct Agent {
    party: Party,
    session: Lock<Session>,
    ready: Lock<Option<Ready>>,
}

/// What is known of the guest's agent since it opened the port.
#[derive(Default)]
struct Session {
    /// Of a chunk: its header as far as it is here, and how many bytes of it are to come.
    chunk: Vec<u8>,
    chunk_left: u32,
    /// They are no message for us.
    other: bool,
    message: Vec<u8>,
    /// Bytes of a message that is too long.
    skip: u64,
    /// `None`: the agent has not said yet what it can.
    capabilities: Option<u32>,
    /// What the guest was told is there.
    offered: Option<Arc<str>>,
    /// It was another agent that was told.
    again: bool,
    out: VecDeque<u8>,
}

impl Agent {
    pub fn new(clipboard: &Arc<Clipboard>) -> Arc<Agent> {
        Arc::new_cyclic(|agent: &Weak<Agent>| {
            let agent = agent.clone();
            let ring = move || drop(agent.upgrade().inspect(|agent| agent.told()));
            Agent { party: clipboard.join(Arc::new(ring)), session: Lock::default(), ready: Lock::default() }
        })
    }

    /// There may be news for the guest.
    fn told(&self) {
        let mut session = self.session.lock();
        let waits = !session.out.is_empty();
        session.offer(&self.party);
        let more = !waits && !session.out.is_empty();
        drop(session);
        if more {
            self.ring();
        }
    }

    fn ring(&self) {
        let ready = self.ready.lock().clone();
        ready.inspect(|ready| ready());
    }
}

impl Stream for Agent {
    fn write(&self, data: &[u8]) {
        let mut session = self.session.lock();
        let texts = session.feed(data);
        drop(session);
        // Without the lock: the others are told at once.
        for text in texts {
            self.party.put(&text);
        }
        let mut session = self.session.lock();
        session.offer(&self.party);
        let any = !session.out.is_empty();
        drop(session);
        if any {
            self.ring();
        }
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        let mut session = self.session.lock();
        let n = buf.len().min(session.out.len());
        for (to, from) in buf.iter_mut().zip(session.out.drain(..n)) {
            *to = from;
        }
        n
    }

    fn listen(&self, ready: Ready) {
        *self.ready.lock() = Some(ready);
    }

    /// The next agent says anew what it can. What is on the clipboard is news to it.
    fn hung_up(&self) {
        let mut session = self.session.lock();
        let offered = session.offered.take();
        *session = Session { again: offered.is_some(), offered, ..Session::default() };
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

impl Session {
    /// Takes bytes of the guest; gives the texts that were in them.
    fn feed(&mut self, mut data: &[u8]) -> Vec<String> {
        let mut texts = Vec::new();
        while !data.is_empty() {
            if self.chunk_left == 0 {
                let n = data.len().min(CHUNK_HEADER - self.chunk.len());
                let (head, rest) = data.split_at(n);
                self.chunk.extend(head);
                data = rest;
                if let (Some(port), Some(size)) = (word(&self.chunk, 0), word(&self.chunk, 4)) {
                    (self.other, self.chunk_left) = (port != CLIENT, size);
                    self.chunk.clear();
                }
                continue;
            }
            let n = data.len().min(usize::try_from(self.chunk_left).unwrap_or(usize::MAX));
            let (bytes, rest) = data.split_at(n);
            data = rest;
            self.chunk_left = self.chunk_left.saturating_sub(n as u32);
            if !self.other {
                self.message(bytes, &mut texts);
            }
        }
        texts
    }

    /// Takes bytes of messages.
    fn message(&mut self, mut data: &[u8], texts: &mut Vec<String>) {
        while !data.is_empty() {
            if self.skip > 0 {
                let n = data.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                self.skip -= n as u64;
                data = data.get(n..).unwrap_or_default();
                continue;
            }
            let size = word(&self.message, HEADER - 4).map(|size| size as usize);
            let whole = HEADER.saturating_add(size.unwrap_or(0));
            let n = data.len().min(whole.saturating_sub(self.message.len()));
            let (head, rest) = data.split_at(n);
            self.message.extend(head);
            data = rest;
            let Some(size) = word(&self.message, HEADER - 4) else { continue };
            if size as usize > LONGEST || word(&self.message, 0) != Some(PROTOCOL) {
                self.skip = size.into();
                self.message.clear();
            } else if self.message.len() == HEADER + size as usize {
                let message = std::mem::take(&mut self.message);
                let body = message.get(HEADER..).unwrap_or_default();
                texts.extend(self.hear(word(&message, 4).unwrap_or_default(), body));
            }
        }
    }

    /// Whether the agent can do this.
    fn can(&self, what: u32) -> bool {
        self.capabilities.is_some_and(|all| all & what != 0)
    }

    /// The text of a message that has one.
    fn hear(&mut self, kind: u32, body: &[u8]) -> Option<String> {
        if kind == CAPABILITIES {
            self.capabilities = Some(word(body, 4).unwrap_or_default());
            if word(body, 0) != Some(0) {
                self.say(CAPABILITIES, &[0u32.to_le_bytes(), (BY_DEMAND | SELECTION).to_le_bytes()].concat());
            }
            return None;
        }
        let body = match (self.can(SELECTION), body) {
            // The selection, of which the clipboard is the first, and three bytes of nothing.
            (true, [0, _, _, _, rest @ ..]) => rest,
            (true, _) => return None,
            (false, body) => body,
        };
        match kind {
            GRAB => {
                let types = body.chunks(4).map_while(|_type| word(_type, 0));
                if types.into_iter().any(|kind| kind == TEXT) {
                    self.say_of_clipboard(REQUEST, &TEXT.to_le_bytes());
                }
                None
            }
            REQUEST => {
                self.answer(word(body, 0)?);
                None
            }
            CLIPBOARD if word(body, 0) == Some(TEXT) => {
                let text = String::from_utf8_lossy(body.get(4..)?);
                self.offered = None;
                Some(text.trim_end_matches('\0').to_string())
            }
            _ => None,
        }
    }

    /// Sends what was offered.
    fn answer(&mut self, kind: u32) {
        let text = self.offered.clone().filter(|_| kind == TEXT);
        let body = match text {
            Some(text) if self.can(CRLF) => [&TEXT.to_le_bytes(), text.replace('\n', "\r\n").as_bytes()].concat(),
            Some(text) => [&TEXT.to_le_bytes(), text.as_bytes()].concat(),
            None => NOTHING.to_le_bytes().to_vec(),
        };
        self.say_of_clipboard(CLIPBOARD, &body);
    }

    /// Tells the guest that others have put something there.
    fn offer(&mut self, party: &Party) {
        if !self.can(BY_DEMAND) {
            return;
        }
        let again = std::mem::take(&mut self.again);
        if let Some(text) = party.news().or_else(|| self.offered.clone().filter(|_| again)) {
            self.offered = Some(text);
            self.say_of_clipboard(GRAB, &TEXT.to_le_bytes());
        }
    }

    fn say_of_clipboard(&mut self, kind: u32, body: &[u8]) {
        let selection: &[u8] = if self.can(SELECTION) { &[0; 4] } else { &[] };
        self.say(kind, &[selection, body].concat());
    }

    fn say(&mut self, kind: u32, body: &[u8]) {
        if self.out.len() + body.len() > BACKLOG {
            return log::debug!("clipboard: the guest's agent does not read what it is sent");
        }
        let size = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let head = [&PROTOCOL.to_le_bytes()[..], &kind.to_le_bytes(), &[0; 8], &size.to_le_bytes()].concat();
        for piece in [&head[..], body].concat().chunks(CHUNK) {
            self.out.extend(CLIENT.to_le_bytes());
            self.out.extend((piece.len() as u32).to_le_bytes());
            self.out.extend(piece);
        }
    }
}
