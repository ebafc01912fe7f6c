//! The PC: where things are ([`layout`]), and what the guest finds there.

pub mod boot;
pub mod layout;
