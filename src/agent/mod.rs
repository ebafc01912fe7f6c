//! The guest agent: kiln itself as process 1 of a guest, and the host's end of the channel to it.

mod job;
mod protocol;

pub use job::{Job, Share, Terminal};
