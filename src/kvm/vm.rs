//! One virtual machine: memory slots, interrupt chips, timer.

use super::{Vcpu, advice, irq};
use crate::bus::{Door, Doorbells};
use crate::irq::{Line, Message, Messages};
use crate::mem::Memory;
use crate::sys::EventFd;
use anyhow::{Context, Result};
use kvm_bindings::{KVM_PIT_SPEAKER_DUMMY, kvm_pit_config, kvm_userspace_memory_region};
use kvm_ioctls::{IoEventAddress, Kvm, NoDatamatch, VmFd};
use std::sync::Arc;

/// Guest physical addresses that KVM on Intel takes for itself; both inside the hole below 4 GiB.
pub struct Reserved {
    pub identity_map: u64,
    pub tss: u64,
}

pub struct Vm {
    fd: Arc<VmFd>,
    routes: Arc<irq::Routes>,
}

impl Vm {
    /// Memory slots come before the interrupt chips: each slot set later waits for an SRCU grace period,
    /// several milliseconds on some hosts.
    pub fn new(kvm: &Kvm, memory: &Memory, reserved: &Reserved) -> Result<Vm> {
        let fd = create(kvm)?;
        for (slot, r) in memory.regions().iter().enumerate() {
            let region = kvm_userspace_memory_region {
                slot: slot as u32,
                flags: 0,
                guest_phys_addr: r.base,
                memory_size: r.len,
                userspace_addr: r.host,
            };
            // SAFETY: the region is mapped for as long as `memory` lives, which the machine keeps longer than the VM.
            unsafe { fd.set_user_memory_region(region) }.context("give the VM its memory")?;
        }
        fd.set_identity_map_address(reserved.identity_map).context("set identity map address")?;
        fd.set_tss_address(reserved.tss as usize).context("set TSS address")?;
        fd.create_irq_chip().context("create interrupt controllers")?;
        let pit = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
        fd.create_pit2(pit).context("create timer")?;
        let fd = Arc::new(fd);
        let routes = Arc::new(irq::Routes::new(fd.clone()));
        Ok(Vm { fd, routes })
    }

    pub fn fd(&self) -> &VmFd {
        &self.fd
    }

    pub fn vcpu(&self, id: u8) -> Result<Vcpu> {
        Ok(Vcpu::new(self.fd.create_vcpu(u64::from(id)).with_context(|| format!("create vCPU {id}"))?))
    }

    /// The state of an interrupt chip (KVM_IRQCHIP_*) as the bytes KVM gives.
    #[cfg(test)]
    pub fn irqchip(&self, chip_id: u32) -> [u8; 512] {
        let mut chip = kvm_bindings::kvm_irqchip { chip_id, ..Default::default() };
        self.fd.get_irqchip(&mut chip).expect("get interrupt chip");
        // SAFETY: the union was zeroed, and this member covers it.
        unsafe { chip.chip.dummy }.map(|byte| byte as u8)
    }

    /// Input pin `gsi` of PIC and IOAPIC.
    pub fn line(&self, gsi: u32) -> Arc<dyn Line> {
        Arc::new(irq::Pin::new(self.fd.clone(), gsi))
    }
}

impl Messages for Vm {
    fn allocate(&self) -> Result<Arc<dyn Message>> {
        Ok(Arc::new(irq::Msi::new(self.fd.clone(), self.routes.clone())?))
    }
}

impl Doorbells for Vm {
    fn attach(&self, door: Door, bell: &EventFd) -> Result<()> {
        use IoEventAddress::{Mmio, Pio};
        match door {
            Door::Memory(at) => self.fd.register_ioevent(bell, &Mmio(at), NoDatamatch),
            Door::Word(at, value) => self.fd.register_ioevent(bell, &Mmio(at), value),
            Door::Port(port, value) => self.fd.register_ioevent(bell, &Pio(port), value),
        }
        .context("attach doorbell")
    }

    fn detach(&self, door: Door, bell: &EventFd) -> Result<()> {
        use IoEventAddress::{Mmio, Pio};
        match door {
            Door::Memory(at) => self.fd.unregister_ioevent(bell, &Mmio(at), NoDatamatch),
            Door::Word(at, value) => self.fd.unregister_ioevent(bell, &Mmio(at), value),
            Door::Port(port, value) => self.fd.unregister_ioevent(bell, &Pio(port), value),
        }
        .context("detach doorbell")
    }
}

/// A signal may interrupt the creation (it allocates a lot): then it is simply tried again.
fn create(kvm: &Kvm) -> Result<VmFd> {
    loop {
        match kvm.create_vm() {
            Err(e) if e.errno() == libc::EINTR => continue,
            other => return other.map_err(|e| advice::explain("create VM", e)),
        }
    }
}
