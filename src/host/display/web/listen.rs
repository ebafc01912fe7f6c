//! What the guest plays, in the messages of a WebSocket: sound as `host::sound::hub` has it, whatever the borders of messages are. The page
//! answers with how many frames it has had in all (32 bits, little-endian), and half a second at most is on its way unanswered:
//! where the way is too narrow the oldest is lost here, instead of everything coming later and later.

use super::socket::Socket;
use crate::host::display::vnc::Wire;
use crate::host::sound::{FRAME, Hub, RATE};
use crate::sys::readiness::{self, Watch};
use crate::sys::{EventFd, fd};
use anyhow::{Context, Result, ensure};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// Frames that are sent before the page has said that it had those before.
const UNDER_WAY: u32 = RATE / 2;
/// Answers that are read before something else is seen to.
const ANSWERS: usize = 64;

/// Until the page leaves or errs, or the guest has ended.
pub fn serve(socket: &mut Socket, hub: &Arc<Hub>, stop: &EventFd) -> Result<()> {
    let ear = hub.listen()?;
    let mut way = Way::default();
    loop {
        let Some(mut busy) = way.hear(socket)? else { return Ok(()) };
        let kept = is_kept(socket.flush())?;
        let may = !kept && way.under_way() < UNDER_WAY;
        if may {
            let sound = ear.sound();
            if !sound.is_empty() {
                // A message is taken whole, as it is shorter than what a carrier takes at once.
                let taken = socket.write(&sound).context("write")?;
                way.sent = way.sent.wrapping_add((taken / FRAME) as u32);
                busy = true;
            }
        }
        let bell = if may && !busy { Watch::new(ear.bell(), true, false) } else { Watch::NONE };
        let mut watches = [Watch::new(fd::of(stop), true, false), Watch::new(socket.fd(), true, kept), bell];
        readiness::wait(&mut watches, busy.then_some(Duration::ZERO)).context("wait for a listener")?;
        if watches.first().is_some_and(Watch::ready) {
            return Ok(());
        }
    }
}

/// Whether something is still there.
fn is_kept(flushed: std::io::Result<()>) -> Result<bool> {
    match flushed {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(true),
        other => other.map(|()| false).context("write"),
    }
}

/// Frames, modulo 2^32.
#[derive(Default)]
struct Way {
    sent: u32,
    had: u32,
}

impl Way {
    fn under_way(&self) -> u32 {
        self.sent.wrapping_sub(self.had)
    }

    /// Reads the page's answers; says whether there may be more. `None`: it has left.
    fn hear(&mut self, socket: &mut Socket) -> Result<Option<bool>> {
        for _ in 0..ANSWERS {
            let mut answer = [0; 4];
            match socket.read(&mut answer) {
                Ok(0) => return Ok(None),
                Ok(n) => ensure!(n == answer.len(), "an answer of {n} bytes"),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(Some(false)),
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e).context("read"),
            }
            let had = u32::from_le_bytes(answer);
            let new = had.wrapping_sub(self.had);
            ensure!((1..=self.under_way()).contains(&new), "it says that it had what it was not sent");
            self.had = had;
        }
        Ok(Some(true))
    }
}
