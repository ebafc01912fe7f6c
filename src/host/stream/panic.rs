//! Watches a kernel's console for the lines that Linux writes when it panics.
//! User space can write the same lines; it can also panic the kernel, so nothing is gained by that.

use super::{Ready, Stream};
use crate::event::{Notify, Request};
use crate::sys::Lock;
use std::sync::Arc;

/// Visible bytes of a line that are looked at: room for the timestamp, the caller and the longer of the two phrases.
const LOOK: usize = 120;
const FIRST: &[u8] = b"Kernel panic - not syncing";
const LAST: &[u8] = b"---[ end Kernel panic - not syncing";

pub struct PanicWatch {
    stream: Arc<dyn Stream>,
    notify: Notify,
    line: Lock<Line>,
}

impl PanicWatch {
    pub fn new(stream: Arc<dyn Stream>, notify: Notify) -> PanicWatch {
        PanicWatch { stream, notify, line: Lock::default() }
    }
}

impl Stream for PanicWatch {
    fn write(&self, data: &[u8]) {
        self.stream.write(data);
        let mut line = self.line.lock();
        for request in data.iter().filter_map(|b| line.add(*b)) {
            (self.notify)(request);
        }
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        self.stream.read(buf)
    }

    fn listen(&self, ready: Ready) {
        self.stream.listen(ready);
    }

    fn hung_up(&self) {
        self.stream.hung_up();
    }

    fn size(&self) -> Option<(u16, u16)> {
        self.stream.size()
    }
}

/// The line that is being written, without its colours.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    escape: Escape,
}

/// Where we are in a control sequence (ECMA-48, 5.4: ESC [ parameters final).
#[derive(Default)]
enum Escape {
    #[default]
    Text,
    Started,
    Sequence,
}

impl Line {
    fn add(&mut self, byte: u8) -> Option<Request> {
        match (&self.escape, byte) {
            // A line end ends whatever was cut off before it.
            (_, b'\n' | b'\r') => {
                let request = meaning(&self.text);
                *self = Line { text: std::mem::take(&mut self.text), escape: Escape::Text };
                self.text.clear();
                return request;
            }
            (_, 0x1b) => self.escape = Escape::Started,
            (Escape::Started, b'[') => self.escape = Escape::Sequence,
            (Escape::Started, _) => self.escape = Escape::Text,
            (Escape::Sequence, 0x40..=0x7e) => self.escape = Escape::Text,
            (Escape::Sequence, _) => {}
            (Escape::Text, _) if self.text.len() < LOOK => self.text.push(byte),
            (Escape::Text, _) => {}
        }
        None
    }
}

fn meaning(line: &[u8]) -> Option<Request> {
    let text = message(line);
    if text.starts_with(LAST) {
        Some(Request::Panicked)
    } else if text.starts_with(FIRST) {
        Some(Request::Panicking)
    } else {
        None
    }
}

/// Without what printk puts before a message: `<0>`, `[    1.234567] `, `[    T1] `.
fn message(mut line: &[u8]) -> &[u8] {
    if let [b'<', level, b'>', rest @ ..] = line
        && level.is_ascii_digit()
    {
        line = rest;
    }
    loop {
        let prefix = match line {
            [b' ', ..] => 1,
            [b'[', rest @ ..] => match rest.iter().position(|b| *b == b']') {
                // A timestamp, or a caller: T or C and a number.
                Some(end) if rest.iter().take(end).all(|b| b.is_ascii_digit() || b" .TC".contains(b)) => end + 2,
                _ => return line,
            },
            _ => return line,
        };
        line = line.get(prefix..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
