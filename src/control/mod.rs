//! The control socket of a machine that runs: who may use it, what it can be asked, and how others find it.
//!
//! ```text
//!  kiln run  ── open ──▶ Control: a socket NAME.sock (place.rs), a thread that lets clients in (server.rs)
//!  kiln ps, screenshot, type, ..  ── Client ──▶ HTTP/1.1 and JSON over it ──▶ calls.rs ──▶ machine::Front
//! ```
//! docs/control.md describes the calls.

mod calls;
mod client;
mod expect;
mod picture;
mod place;
mod server;
mod vm;
mod wait;

pub use client::{Client, find, running};
pub use expect::Expectation;
pub use picture::Reference;
pub use place::Name;
pub use server::open;
pub use vm::{State, Vm};
