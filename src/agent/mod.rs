//! The guest agent: kiln itself as process 1 of a guest, and the host's end of the channel to it.

mod channel;
mod command;
mod guest;
mod init;
mod job;
mod protocol;
mod relay;
mod session;
mod user;

pub use init::{is_wanted as is_init, run as init};
pub use job::{Job, Share, Terminal};
pub use session::{End, Session, Streams, Times};
