//! kiln, a virtual machine monitor on Linux KVM.
//!
//! This file names the modules and turns the command's result into an exit status; nothing else.
//! The order below is the order of layers: a module imports only modules of earlier rows
//! (checked by tests/structure.rs).

mod sys;

mod bus;
mod config;
mod event;
mod irq;
mod klog;
mod ktap;
mod part;

mod mem;

mod agent;
mod boot;
mod host;
mod kvm;
mod pci;
mod printk;

mod bootable;
mod platform;
mod virtio;

mod arch;
mod devices;

mod machine;

mod control;

mod ci;
mod exec;
mod selftest;

mod cli;

fn main() -> std::process::ExitCode {
    if agent::is_init() {
        agent::init()
    }
    cli::main()
}
