//! The architecture. Only x86-64 exists; another one would export the same names.

pub mod x86_64;

pub use x86_64::*;
