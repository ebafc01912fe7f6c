//! The clipboard that the guest and all who look at it share: text, of which each hears what the others put there.
//!
//! ```text
//!  a viewer  --put--> Clipboard --news--> Agent --> port com.redhat.spice.0 --> spice-vdagent in the guest
//!  a viewer  <--news--    "     <--put--    "   <--          "
//! ```

mod agent;

pub use agent::{Agent, PORT};

use crate::sys::Lock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of the longest text; a longer one is not passed on.
pub const LIMIT: usize = 1 << 20;

/// Called when there is news, from the thread of whoever brought it, with no lock of the clipboard held.
pub type Ring = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub struct Clipboard {
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    parties: Vec<(u64, Ring)>,
    next_party: u64,
    /// Whose it is, and the text. Lines end with `\n`.
    text: Option<(u64, Arc<str>)>,
    /// How often it has changed.
    serial: u64,
}

impl Clipboard {
    /// One more who puts text there and hears of others'; `ring` is called when there is some.
    pub fn join(self: &Arc<Clipboard>, ring: Ring) -> Party {
        let mut state = self.state.lock();
        let id = state.next_party;
        state.next_party += 1;
        state.parties.push((id, ring));
        Party { clipboard: self.clone(), id, seen: AtomicU64::new(0) }
    }
}

/// One of those who share the clipboard, until it is dropped.
pub struct Party {
    clipboard: Arc<Clipboard>,
    id: u64,
    seen: AtomicU64,
}

impl Party {
    /// Puts `text` there, and tells the others. False, and nothing: it is longer than [`LIMIT`].
    pub fn put(&self, text: &str) -> bool {
        if text.len() > LIMIT {
            return false;
        }
        let text = text.replace("\r\n", "\n");
        let mut state = self.clipboard.state.lock();
        // Programs that watch a clipboard say it again when they are told: that is no news.
        if state.text.as_ref().is_some_and(|(_, now)| **now == *text) {
            return true;
        }
        state.text = Some((self.id, text.into()));
        state.serial += 1;
        let rings: Vec<_> =
            state.parties.iter().filter(|(id, _)| *id != self.id).map(|(_, ring)| ring.clone()).collect();
        drop(state);
        rings.iter().for_each(|ring| ring());
        true
    }

    /// What somebody else has put there since this was last asked.
    pub fn news(&self) -> Option<Arc<str>> {
        let state = self.clipboard.state.lock();
        let (owner, text) = state.text.as_ref()?;
        let new = self.seen.swap(state.serial, Ordering::Relaxed) != state.serial;
        (new && *owner != self.id).then(|| text.clone())
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.clipboard.state.lock().parties.retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests;
