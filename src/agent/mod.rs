//! The guest agent: kiln itself as process 1 of a guest, and the host's end of the channel to it.

mod channel;
mod command;
mod guest;
mod job;
mod protocol;
mod relay;
mod session;
mod user;

pub use job::{Job, Share, Terminal};
pub use session::{End, Hello, Session, Streams, Times};
