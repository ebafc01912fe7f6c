//! One virtual machine: memory slots, interrupt chips, timer.

use super::{Vcpu, VideoSlot, advice, irq};
use crate::bus::{Door, Doorbells};
use crate::irq::{Line, Message, Messages};
use crate::mem::{Memory, Region, Video};
use crate::sys::EventFd;
use anyhow::{Context, Result};
use kvm_bindings::{KVM_MEM_READONLY, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config, kvm_userspace_memory_region};
use kvm_ioctls::{IoEventAddress, Kvm, NoDatamatch, VmFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Guest physical addresses that KVM on Intel takes for itself; both inside the hole below 4 GiB.
pub struct Reserved {
    pub identity_map: u64,
    pub tss: u64,
}

pub struct Vm {
    fd: Arc<VmFd>,
    routes: Arc<irq::Routes>,
    /// With their first slots.
    roms: Vec<(u32, Memory)>,
    /// The first that is free.
    next_slot: AtomicU32,
}

impl Vm {
    /// Complete, but for its vCPUs.
    pub fn new(kvm: &Kvm, memory: &Memory, reserved: &Reserved) -> Result<Vm> {
        let vm = Vm::without_chips(kvm, memory, &[], reserved)?;
        vm.add_chips()?;
        Ok(vm)
    }

    /// With its memory alone. The guest reads `roms` as they are; a store to one leaves the guest as a store to a device
    /// does (api.rst, KVM_MEM_READONLY).
    pub fn without_chips(kvm: &Kvm, memory: &Memory, roms: &[Memory], reserved: &Reserved) -> Result<Vm> {
        let fd = create(kvm)?;
        let mut slots = 0u32..;
        for (region, slot) in memory.regions().iter().zip(&mut slots) {
            set_slot(&fd, slot, region, 0).context("give the VM its memory")?;
        }
        let mut kept = Vec::new();
        for rom in roms {
            let regions = rom.regions();
            kept.extend(slots.clone().next().map(|first| (first, rom.clone())));
            for (region, slot) in regions.iter().zip(&mut slots) {
                set_slot(&fd, slot, region, KVM_MEM_READONLY).context("give the VM its read-only memory")?;
            }
        }
        fd.set_identity_map_address(reserved.identity_map).context("set identity map address")?;
        fd.set_tss_address(reserved.tss as usize).context("set TSS address")?;
        let fd = Arc::new(fd);
        let routes = Arc::new(irq::Routes::new(fd.clone()));
        let next_slot = AtomicU32::new(slots.start);
        Ok(Vm { fd, routes, roms: kept, next_slot })
    }

    /// Interrupt controllers and the timer, before the first vCPU. Memory slots come before them: each slot set later waits
    /// for an SRCU grace period, several milliseconds on some hosts.
    pub fn add_chips(&self) -> Result<()> {
        self.fd.create_irq_chip().context("create interrupt controllers")?;
        let pit = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
        self.fd.create_pit2(pit).context("create timer")
    }

    /// Shows the guest this ROM of [`Vm::without_chips`], or takes it away: then loads from there leave the guest as well.
    pub fn show_rom(&self, index: usize, on: bool) -> Result<()> {
        let (first, rom) = self.roms.get(index).with_context(|| format!("there is no ROM {index}"))?;
        for (region, slot) in rom.regions().iter().zip(*first..) {
            // A slot of no length is taken away.
            let region = if on { *region } else { Region { len: 0, ..*region } };
            set_slot(&self.fd, slot, &region, KVM_MEM_READONLY).context("change read-only memory")?;
        }
        Ok(())
    }

    /// A memory slot for video memory, which the guest does not see yet.
    pub fn video(&self, memory: &Video) -> VideoSlot {
        VideoSlot::new(self.fd.clone(), self.next_slot.fetch_add(1, Ordering::Relaxed), memory.clone())
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

/// The memory that `region` is of must live longer than the VM.
pub(super) fn set_slot(fd: &VmFd, slot: u32, region: &Region, flags: u32) -> Result<()> {
    let region = kvm_userspace_memory_region {
        slot,
        flags,
        guest_phys_addr: region.base,
        memory_size: region.len,
        userspace_addr: region.host,
    };
    // SAFETY: the region is mapped for as long as its memory lives: RAM is kept by the machine longer than the VM, ROMs
    // by the VM itself, and video memory by its slot, which takes it away at its end.
    unsafe { fd.set_user_memory_region(region) }.context("set a memory slot")
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
