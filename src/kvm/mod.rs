//! Thin over KVM's ioctls (kvm-ioctls): the VM with its memory slots and interrupt chips, vCPUs and their exits,
//! interrupts and doorbells. Nobody above writes an ioctl.

pub mod advice;
pub mod backend;
pub mod debug;
pub mod fault;
mod irq;
mod vcpu;
mod video;
mod vm;

pub use vcpu::{Exit, ImmediateExit, Vcpu};
pub use video::VideoSlot;
pub use vm::{Reserved, Vm};

use anyhow::{Result, ensure};
use kvm_ioctls::Kvm;

/// The only stable version there is (Documentation/virt/kvm/api.rst, 4.1).
const API_VERSION: i32 = 12;

/// Opens /dev/kvm. The error says what is wrong and what to do, in one line.
pub fn open() -> Result<Kvm> {
    let kvm = Kvm::new().map_err(|e| advice::explain("open /dev/kvm", e))?;
    let version = kvm.get_api_version();
    ensure!(version >= 0, "open /dev/kvm: {}", advice::WRONG_FILE);
    ensure!(version == API_VERSION, "/dev/kvm speaks API version {version}, kiln speaks {API_VERSION}");
    Ok(kvm)
}
