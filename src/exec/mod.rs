//! A command in a fresh kernel, on the host's own files: which kernel, which of its modules, and the initramfs made of them.

pub mod cmdline;
pub mod initramfs;
pub mod kernel;
pub mod modules;
pub mod times;
