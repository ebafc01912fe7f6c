//! Puts virtio devices behind a transport: a PCI slot, or an MMIO window with an interrupt line.

use super::build::Building;
use super::screen;
use crate::arch::{acpi::MmioWindow, layout};
use crate::bus::Mmio;
use crate::config::{Config, Transport};
use crate::devices::{Built, Card, Place};
use crate::part::Part;
use crate::pci::{Intx, Root, Windows};
use crate::platform::i440fx::HostBridge;
use crate::platform::ide::{self, Controller, Drive};
use crate::platform::piix::{self, IsaBridge};
use crate::platform::piix4::PowerManagement;
use crate::virtio::mmio::{self, Window};
use crate::virtio::pci::Function;
use anyhow::{Context, Result, bail, ensure};
use std::sync::Arc;

/// Devices by their names.
pub(super) type Devices = Vec<(String, Built)>;

/// What the guest must be told of where things were put.
#[derive(Default)]
pub(super) struct Slots {
    pub windows: Vec<MmioWindow>,
    /// The disks as firmware names them, in the order of the command line (Open Firmware's device paths).
    pub boot_order: Vec<String>,
}

/// Function of the PIIX that has the power management.
const POWER_FUNCTION: u8 = 3;
/// The device type of a disk (virtio 1.2, 5.2.1).
const BLOCK_DEVICE: u32 = 2;

/// Tells a Linux kernel with VIRTIO_MMIO_CMDLINE_DEVICES of `n` windows (kernel-parameters.txt, `virtio_mmio.device`).
pub(super) fn parameters(n: usize) -> String {
    let windows = layout::IRQ_VIRTIO_MMIO.iter().take(n).zip(0u64..);
    let parameter = |(gsi, n)| format!(" virtio_mmio.device={}@{:#x}:{gsi}", mmio::LEN, window(n));
    windows.map(parameter).collect()
}

/// Which PIRQ a line of PCI is, by the wiring that firmware for a 440FX assumes: INTA of slot 1 is PIRQA. Here the
/// first line is INTA of slot 0.
fn pirq(gsi: u32) -> usize {
    let [first, ..] = layout::IRQ_INTX;
    (gsi.saturating_sub(first) as usize + piix::PIRQS - 1) % piix::PIRQS
}

fn window(n: u64) -> u64 {
    layout::VIRTIO_MMIO + n * layout::VIRTIO_MMIO_STEP
}

impl Building {
    /// `reset` is the port that lies among those of PCI.
    pub fn attach(&mut self, config: &Config, devices: Devices, reset: Arc<dyn Mmio>) -> Result<Slots> {
        match config.transport {
            Transport::Pci => self.slots(devices, reset, config.firmware.is_some()),
            Transport::Mmio => {
                self.port(layout::RESET, 1, reset)?;
                self.windows(devices)
            }
        }
    }

    fn slots(&mut self, devices: Devices, reset: Arc<dyn Mmio>, firmware: bool) -> Result<Slots> {
        let mut slots = Slots::default();
        let low = layout::PCI_MMIO..layout::PCI_MMIO_END;
        let (base, len) = layout::mmio64(self.memory.size(), self.address_bits);
        let wanted = firmware || devices.iter().any(|(_, device)| matches!(device, Built::Drive(_)));
        let bridge = wanted.then(|| IsaBridge::new((0..piix::IRQS).map(|gsi| self.vm.line(gsi)).collect()));
        let line = |gsi: u32| {
            let line = self.vm.line(gsi);
            let line = bridge.as_ref().map_or_else(|| line.clone(), |bridge| bridge.input(pirq(gsi), line.clone()));
            Intx { line, number: gsi as u8 }
        };
        let windows = Windows { low, high: base..base + len, io: layout::PCI_IO..layout::PCI_IO_END };
        let root = Root::new(&self.mmio, &self.ports, windows, layout::IRQ_INTX.map(line));
        self.port(layout::PCI_CONFIG, 8, root.ports(Some(reset)))?;
        // The south bridge has its slot before all others.
        if let Some(bridge) = bridge {
            root.add(piix::SLOT, 0, bridge.clone())?;
            self.parts.push(bridge);
        }
        if firmware {
            self.board_of_440fx(&root)?;
        } else {
            self.mmio.insert(layout::ECAM, layout::ECAM_LEN, root.ecam())?;
        }
        let mut drives = Vec::new();
        for (id, device) in devices {
            if let Built::Drive(drive) = device {
                let (channel, unit) = (drives.len() / 2, drives.len() % 2);
                slots.boot_order.push(format!("/pci@i0cf8/ide@1,1/drive@{channel}/disk@{unit}"));
                drives.push(drive);
                continue;
            }
            let slot = root.free_slot()?;
            let intx = root.intx(slot);
            let card: Arc<dyn Card> = match device {
                Built::Screen(device, size) => {
                    let graphics = self
                        .vga(size, !firmware)
                        .map(|vga| screen::graphics(&vga, size))
                        .with_context(|| id.clone())?;
                    let (messages, doorbells) = (self.vm.clone(), self.vm.clone());
                    Function::with_graphics(&id, device, &self.memory, messages, doorbells, intx, Some(graphics))?
                }
                Built::Virtio(device) => {
                    if device.id() == BLOCK_DEVICE {
                        slots.boot_order.push(format!("/pci@i0cf8/scsi@{slot:x}/disk@0,0"));
                    }
                    let (messages, doorbells) = (self.vm.clone(), self.vm.clone());
                    Function::new(&id, device, &self.memory, messages, doorbells, intx)?
                }
                Built::Card(make) => make(&Place { id: &id, memory: &self.memory, intx })?,
                // They were set aside above.
                Built::Drive(_) => continue,
            };
            root.add(slot, 0, card.clone()).with_context(|| id)?;
            self.parts.push(card);
        }
        if !drives.is_empty() {
            self.ide(&root, drives)?;
        }
        Ok(slots)
    }

    /// What firmware looks for in the first two slots.
    fn board_of_440fx(&mut self, root: &Root) -> Result<()> {
        let host = HostBridge::new();
        root.set_host_bridge(host.clone());
        let power = PowerManagement::new(layout::PM1A_EVENT);
        root.add(piix::SLOT, POWER_FUNCTION, power.clone())?;
        self.parts.extend([host as Arc<dyn Part>, power]);
        Ok(())
    }

    /// The board's IDE controller.
    fn ide(&mut self, root: &Root, drives: Vec<Drive>) -> Result<()> {
        let most = ide::DRIVES;
        ensure!(drives.len() <= most, "--disk: {} drives have `bus=ide`, and there is room for {most}", drives.len());
        let controller = Controller::new(drives, &self.memory, ide::IRQ.map(|gsi| self.vm.line(gsi)))?;
        controller.wire(&self.ports)?;
        root.add(piix::SLOT, ide::FUNCTION, controller.clone())?;
        self.parts.push(controller as Arc<dyn Part>);
        Ok(())
    }

    fn windows(&mut self, devices: Devices) -> Result<Slots> {
        let mut slots = Slots::default();
        for (n, (id, device)) in devices.into_iter().enumerate() {
            let device = match device {
                Built::Virtio(device) => device,
                Built::Screen(device, size) => {
                    let vga = self.vga(size, true).with_context(|| id.clone())?;
                    self.mmio.insert(layout::VIDEO, vga.len(), vga.aperture())?;
                    vga.place(Some(layout::VIDEO));
                    device
                }
                _ => bail!("{id}: wants a PCI bus, which `--transport pci` has"),
            };
            let lines = &layout::IRQ_VIRTIO_MMIO;
            let gsi = *lines
                .get(n)
                .with_context(|| format!("{id}: `--transport mmio` has room for {} devices", lines.len()))?;
            let base = window(n as u64);
            let line = self.vm.line(gsi);
            let window = Window::new(&id, device, &self.memory, line, self.vm.clone(), base);
            self.mmio.insert(base, mmio::LEN, window.clone())?;
            self.parts.push(window);
            slots.windows.push(MmioWindow { base, len: mmio::LEN, gsi });
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests;
