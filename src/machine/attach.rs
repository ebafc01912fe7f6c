//! Puts virtio devices behind a transport: a PCI slot, or an MMIO window with an interrupt line.

use super::build::Building;
use crate::arch::{acpi::MmioWindow, layout};
use crate::bus::Mmio;
use crate::config::Transport;
use crate::pci::{Intx, Root};
use crate::virtio::{
    Device,
    mmio::{self, Window},
    pci::Function,
};
use anyhow::{Context, Result};
use std::sync::Arc;

/// Devices by their names.
pub(super) type Devices = Vec<(String, Box<dyn Device>)>;

/// What the guest must be told of where things were put.
#[derive(Default)]
pub(super) struct Slots {
    pub windows: Vec<MmioWindow>,
}

impl Building {
    /// `reset` is the port that lies among those of PCI.
    pub fn attach(&mut self, transport: Transport, devices: Devices, reset: Arc<dyn Mmio>) -> Result<Slots> {
        match transport {
            Transport::Pci => self.slots(devices, reset),
            Transport::Mmio => {
                self.port(layout::RESET, 1, reset)?;
                self.windows(devices)
            }
        }
    }

    fn slots(&mut self, devices: Devices, reset: Arc<dyn Mmio>) -> Result<Slots> {
        let low = layout::PCI_MMIO..layout::PCI_MMIO_END;
        let (base, len) = layout::mmio64(self.memory.size(), self.address_bits);
        let line = |gsi: u32| Intx { line: self.vm.line(gsi), number: gsi as u8 };
        let root = Root::new(&self.mmio, low, base..base + len, layout::IRQ_INTX.map(line));
        self.port(layout::PCI_CONFIG, 8, root.ports(Some(reset)))?;
        self.mmio.insert(layout::ECAM, layout::ECAM_LEN, root.ecam())?;
        for (id, device) in devices {
            let slot = root.free_slot()?;
            let (messages, doorbells) = (self.vm.clone(), self.vm.clone());
            let function = Function::new(&id, device, &self.memory, messages, doorbells, root.intx(slot))?;
            root.add(slot, function.clone()).with_context(|| id)?;
            self.parts.push(function);
        }
        Ok(Slots::default())
    }

    fn windows(&mut self, devices: Devices) -> Result<Slots> {
        let mut slots = Slots::default();
        for (n, (id, device)) in devices.into_iter().enumerate() {
            let lines = &layout::IRQ_VIRTIO_MMIO;
            let gsi = *lines
                .get(n)
                .with_context(|| format!("{id}: `--transport mmio` has room for {} devices", lines.len()))?;
            let base = layout::VIRTIO_MMIO + n as u64 * layout::VIRTIO_MMIO_STEP;
            let line = self.vm.line(gsi);
            let window = Window::new(&id, device, &self.memory, line, self.vm.clone(), base);
            self.mmio.insert(base, mmio::LEN, window.clone())?;
            self.parts.push(window);
            slots.windows.push(MmioWindow { base, len: mmio::LEN, gsi });
        }
        Ok(slots)
    }
}
