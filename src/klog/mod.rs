//! What a kernel's log says: reports of panics, oopses, lock and memory errors, and how long initcalls took.
//!
//! Pure text, fed as it comes, in bounded memory. A program in the guest that writes such lines to the console or to
//! /dev/kmsg is believed: it makes its own run fail, nothing else.

mod block;
mod boot;
mod kept;
mod kind;
mod line;
mod pattern;
mod watcher;

pub use boot::Boot;
pub use kept::Kept;
pub use kind::{FailOn, Kind};
pub use line::{Line, Lines, message};
pub use watcher::{Report, Watcher};
