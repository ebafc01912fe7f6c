//! A command in a fresh kernel, on the host's own files: which kernel, which of its modules, the initramfs made of them,
//! and the run itself.

pub mod cmdline;
mod console;
pub mod initramfs;
pub mod kernel;
pub mod modules;
mod session;
pub mod times;
mod told;

pub use console::Target;
pub use modules::Wants;
pub use session::{Ending, Ran, Run};
