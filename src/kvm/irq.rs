//! Interrupts into the guest: pins of the interrupt controllers, and messages by irqfd.

use crate::irq::{Interrupt, Line, Message};
use crate::sys::{EventFd, Lock, eventfd};
use anyhow::{Context, Result, ensure};
use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KvmIrqRouting, kvm_irq_routing_entry,
};
use kvm_ioctls::VmFd;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Pins of the IOAPIC, which are GSIs 0 and up; messages have the GSIs above.
const PINS: u32 = 24;
/// KVM_MAX_IRQ_ROUTES on x86.
const GSIS: u32 = 4096;

pub struct Pin {
    vm: Arc<VmFd>,
    gsi: u32,
}

impl Pin {
    pub fn new(vm: Arc<VmFd>, gsi: u32) -> Pin {
        Pin { vm, gsi }
    }
}

impl Line for Pin {
    fn set(&self, asserted: bool) {
        if let Err(e) = self.vm.set_irq_line(self.gsi, asserted) {
            log::error!("set interrupt line {}: {e}", self.gsi);
        }
    }
}

/// The table of KVM_SET_GSI_ROUTING, which is always set whole. It is left as KVM made it until a guest uses a message.
pub struct Routes {
    vm: Arc<VmFd>,
    messages: Lock<BTreeMap<u32, (u64, u32)>>,
}

impl Routes {
    pub fn new(vm: Arc<VmFd>) -> Routes {
        Routes { vm, messages: Lock::new(BTreeMap::new()) }
    }

    fn allocate(&self) -> Result<u32> {
        let mut messages = self.messages.lock();
        let gsi = (PINS..GSIS).find(|gsi| !messages.contains_key(gsi)).context("no interrupt message is left")?;
        messages.insert(gsi, (0, 0));
        Ok(gsi)
    }

    /// True when the route is new.
    fn set(&self, gsi: u32, address: u64, data: u32) -> Result<bool> {
        let mut messages = self.messages.lock();
        if messages.insert(gsi, (address, data)) == Some((address, data)) {
            return Ok(false);
        }
        let mut entries = pins();
        entries.extend(messages.iter().filter(|(_, m)| **m != (0, 0)).map(|(gsi, m)| message(*gsi, *m)));
        let table = KvmIrqRouting::from_entries(&entries).map_err(|e| anyhow::anyhow!("{e:?}"))?;
        self.vm.set_gsi_routing(&table).context("route interrupts")?;
        Ok(true)
    }

    fn free(&self, gsi: u32) {
        self.messages.lock().remove(&gsi);
    }
}

/// What KVM_CREATE_IRQCHIP sets up: ISA lines reach both chips, and each interrupt has the IOAPIC's pin of its number
/// (also 0, the PIT, which many PCs have on pin 2).
fn pins() -> Vec<kvm_irq_routing_entry> {
    let mut entries = Vec::new();
    for gsi in 0..PINS {
        if gsi < 16 {
            let chip = if gsi < 8 { KVM_IRQCHIP_PIC_MASTER } else { KVM_IRQCHIP_PIC_SLAVE };
            entries.push(pin(gsi, chip, gsi % 8));
        }
        entries.push(pin(gsi, KVM_IRQCHIP_IOAPIC, gsi));
    }
    entries
}

fn pin(gsi: u32, irqchip: u32, pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_IRQCHIP, ..Default::default() };
    entry.u.irqchip.irqchip = irqchip;
    entry.u.irqchip.pin = pin;
    entry
}

fn message(gsi: u32, (address, data): (u64, u32)) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_MSI, ..Default::default() };
    entry.u.msi.address_lo = address as u32;
    entry.u.msi.address_hi = (address >> 32) as u32;
    entry.u.msi.data = data;
    entry
}

/// A message and the eventfd that sends it. The irqfd is attached when the guest first programs it.
pub struct Msi {
    vm: Arc<VmFd>,
    routes: Arc<Routes>,
    gsi: u32,
    bell: EventFd,
    attached: Lock<bool>,
}

impl Msi {
    pub fn new(vm: Arc<VmFd>, routes: Arc<Routes>) -> Result<Msi> {
        let gsi = routes.allocate()?;
        Ok(Msi { vm, routes, gsi, bell: eventfd()?, attached: Lock::new(false) })
    }
}

impl Interrupt for Msi {
    fn raise(&self) {
        if let Err(e) = self.bell.write(1) {
            log::error!("send interrupt message {}: {e}", self.gsi);
        }
    }
}

impl Message for Msi {
    fn program(&self, address: u64, data: u32) -> Result<()> {
        ensure!((address, data) != (0, 0), "an empty interrupt message");
        self.routes.set(self.gsi, address, data)?;
        let mut attached = self.attached.lock();
        if !*attached {
            self.vm.register_irqfd(&self.bell, self.gsi).context("attach irqfd")?;
            *attached = true;
        }
        Ok(())
    }
}

impl Drop for Msi {
    fn drop(&mut self) {
        if *self.attached.lock() {
            let _ = self.vm.unregister_irqfd(&self.bell, self.gsi);
        }
        self.routes.free(self.gsi);
    }
}
