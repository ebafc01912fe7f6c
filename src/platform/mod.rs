//! The devices of the board that are not virtio. Each answers port accesses ([`crate::bus::Mmio`]) and is a [`crate::part::Part`].

pub mod cmos;
pub mod debug_console;
pub mod debug_exit;
pub mod e1000;
pub mod fw_cfg;
pub mod i440fx;
pub mod i8042;
pub mod ide;
pub mod pflash;
pub mod piix;
pub mod piix4;
pub mod port92;
pub mod power;
pub mod ps2;
pub mod pvpanic;

#[cfg(test)]
mod rig;
pub mod serial;
pub mod vga;
