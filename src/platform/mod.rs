//! The devices of the board that are not virtio. Each answers port accesses ([`crate::bus::Mmio`]) and is a [`crate::part::Part`].

pub mod cmos;
pub mod debug_exit;
pub mod i8042;
#[allow(dead_code)] // the board gets it with its IDE controller, and for firmware
pub mod piix;
pub mod power;
pub mod pvpanic;

#[cfg(test)]
mod rig;
pub mod serial;
