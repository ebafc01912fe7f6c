//! The PC: where things are ([`layout`]), and what the guest finds there.

pub mod boot;
pub mod layout;

pub mod acpi;
pub mod cpuid;
pub mod irqchip;
pub mod msr;
pub mod vcpu;
