//! What the guest may say when: every frame is held against what was said before. The guest is hostile; what passes here
//! is a session that an agent could have had.

use super::super::protocol::{Ending, Exit, Key, Stream, ToHost, VERSION, WINDOW, seal};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before its hello.
    Greeting,
    /// Before the command runs.
    Preparing,
    Running,
    /// It said its last word.
    Over,
}

pub struct Order {
    phase: Phase,
    key: Key,
    /// Of the output streams: bytes that came, bytes that may come, whether the end came.
    came: [u64; 2],
    windows: [u32; 2],
    ended: [bool; 2],
    /// Bytes of input that were sent and not credited.
    input: u32,
    input_closed: bool,
}

/// The last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Last {
    Ended(Ending),
    NotFound(String),
    NotRunnable(String),
    Failed(String),
}

impl Order {
    pub fn new(key: Key) -> Order {
        Order {
            phase: Phase::Greeting,
            key,
            came: [0; 2],
            windows: [WINDOW; 2],
            ended: [false; 2],
            input: 0,
            input_closed: false,
        }
    }

    /// So many bytes of input are sent; the caller has asked [`Order::input_window`].
    pub fn sent_input(&mut self, bytes: u32) {
        self.input = self.input.saturating_add(bytes);
    }

    /// Bytes of input that may be sent.
    pub fn input_window(&self) -> u32 {
        if self.phase == Phase::Running && !self.input_closed { WINDOW.saturating_sub(self.input) } else { 0 }
    }

    /// So many bytes of credit are sent for a stream.
    pub fn gave_credit(&mut self, stream: Stream, bytes: u32) {
        let window = &mut self.windows[stream.index()];
        *window = window.saturating_add(bytes);
    }

    /// The last word if `frame` is it; an error if it is out of order.
    pub fn accept(&mut self, frame: &ToHost<'_>) -> Result<Option<Last>, String> {
        let wrong = |what: &str| Err(format!("the guest's agent sent {what}"));
        if self.phase == Phase::Over {
            return wrong("more after its last word");
        }
        match (*frame, self.phase) {
            (ToHost::Failed(why), _) => return self.over(Last::Failed(one_line(why))),
            (ToHost::Hello { version: VERSION, .. }, Phase::Greeting) => self.phase = Phase::Preparing,
            (ToHost::Hello { version, .. }, Phase::Greeting) => {
                return Err(format!("the guest's agent speaks version {version} of the protocol, kiln {VERSION}"));
            }
            (_, Phase::Greeting) => return wrong("something else than its hello"),
            (ToHost::Started { .. }, Phase::Preparing) => self.phase = Phase::Running,
            (ToHost::NotFound(why), Phase::Preparing) => return self.over(Last::NotFound(one_line(why))),
            (ToHost::NotRunnable(why), Phase::Preparing) => return self.over(Last::NotRunnable(one_line(why))),
            (_, Phase::Preparing) => return wrong("output of a command that does not run"),
            (ToHost::Data(stream, data), _) => return self.data(stream, data).map(|()| None),
            (ToHost::End(stream), _) => {
                if std::mem::replace(&mut self.ended[stream.index()], true) {
                    return Err(format!("the guest's agent ended {} twice", stream.name()));
                }
            }
            (ToHost::StdinClosed, _) => {
                if std::mem::replace(&mut self.input_closed, true) {
                    return wrong("the end of standard input twice");
                }
            }
            (ToHost::Credit(bytes), _) => match self.input.checked_sub(bytes) {
                Some(input) => self.input = input,
                None => return wrong("credit for input it never got"),
            },
            (ToHost::Exit(exit), _) => return self.exit(&exit),
            _ => return wrong("a greeting while the command runs"),
        }
        Ok(None)
    }

    fn data(&mut self, stream: Stream, data: &[u8]) -> Result<(), String> {
        let i = stream.index();
        let fits = u32::try_from(data.len()).ok().and_then(|len| self.windows[i].checked_sub(len));
        match fits {
            _ if self.ended[i] => Err(format!("the guest's agent sent more of {} after its end", stream.name())),
            None => Err(format!("the guest's agent sent more of {} than its window allows", stream.name())),
            Some(window) => {
                self.windows[i] = window;
                self.came[i] = self.came[i].saturating_add(data.len() as u64);
                Ok(())
            }
        }
    }

    fn exit(&mut self, exit: &Exit) -> Result<Option<Last>, String> {
        if self.ended != [true; 2] {
            return Err("the guest's agent told the command's end before that of its output".into());
        }
        if exit.totals != self.came {
            let (sent, came) = (exit.totals[0].wrapping_add(exit.totals[1]), self.came[0].wrapping_add(self.came[1]));
            return Err(format!("output was lost: the guest's agent sent {sent} bytes, {came} came"));
        }
        if exit.seal != seal(&self.key, &exit.sealed_part()) {
            return Err("the end of the command was told by somebody else than its agent".into());
        }
        self.over(Last::Ended(exit.ending))
    }

    fn over(&mut self, last: Last) -> Result<Option<Last>, String> {
        self.phase = Phase::Over;
        Ok(Some(last))
    }

    /// How far the session got, for messages.
    pub fn place(&self) -> &'static str {
        match self.phase {
            Phase::Greeting => "before its agent said hello",
            Phase::Preparing => "before the command was started",
            Phase::Running | Phase::Over => "before the command's end was told",
        }
    }
}

/// A text of the guest that may be shown on a terminal: one line, no control characters.
pub fn one_line(text: &[u8]) -> String {
    const LONGEST: usize = 1000;
    let text = String::from_utf8_lossy(text);
    let clean = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST).collect()
}
