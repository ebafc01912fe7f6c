//! A machine that starts with firmware: its ROMs, and the devices that firmware expects of a 440FX board.

use super::attach::Slots;
use super::build::Building;
use crate::arch::{acpi, layout};
use crate::boot;
use crate::config::Config;
use crate::host::nvram::Nvram;
use crate::kvm::{Reserved, Vm};
use crate::mem::Memory;
use crate::platform::debug_console::DebugConsole;
use crate::platform::fw_cfg::{self, FwCfg, Items, key};
use crate::platform::pflash::{Backing, Flash};
use crate::platform::port92::Port92;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// Where KVM's own pages are.
pub(super) const RESERVED: Reserved =
    Reserved { identity_map: layout::FIRMWARE_IDENTITY_MAP, tss: layout::FIRMWARE_TSS };

/// virtio's graphics device on PCI.
const VIDEO_DEVICE: (u16, u16) = (0x1af4, 0x1050);

/// What ROM 1 of the VM is.
const VARIABLES: usize = 1;

/// Opened and checked; nothing of it is the VM's yet.
pub(super) struct Firmware {
    image: boot::Firmware,
    /// The code, and then the variables.
    roms: Vec<Memory>,
    nvram: Option<Nvram>,
    log: Option<File>,
}

impl Firmware {
    pub fn open(wanted: &crate::config::Firmware) -> Result<Firmware> {
        let image = boot::Firmware::open(&wanted.image).context("--firmware")?;
        let code = rom(layout::FLASH_END, &image.code)?;
        let base = layout::FLASH_END - image.code.len() as u64;
        let mut roms = vec![code];
        let mut nvram = None;
        match (&image.variables, &wanted.nvram) {
            (None, None) => {}
            (None, Some(_)) => {
                anyhow::bail!("--nvram: {} has no variables to keep there", image.path.display())
            }
            (Some(template), None) => roms.push(rom(base, template)?),
            (Some(template), Some(path)) => {
                let name = || format!("--nvram {}", path.display());
                let (kept, content) = Nvram::open(path, template).with_context(name)?;
                boot::firmware::check_variables(&content).with_context(name)?;
                roms.push(rom(base, &content)?);
                nvram = Some(kept);
            }
        }
        let create = |path: &PathBuf| File::create(path).with_context(|| format!("create {}", path.display()));
        let log = wanted.log.as_ref().map(create).transpose().context("--firmware-log")?;
        Ok(Firmware { image, roms, nvram, log })
    }

    pub fn roms(&self) -> &[Memory] {
        &self.roms
    }

    /// Puts its devices on the board, when all others are there.
    pub fn plug(self, building: &mut Building, config: &Config, slots: &Slots, acpi: &acpi::Board) -> Result<Image> {
        let notify = building.notify.clone();
        building.port(layout::PORT_92, 1, Arc::new(Port92::new(notify)))?;
        building.port(layout::DEBUG_CONSOLE, 1, Arc::new(DebugConsole::new(self.log)))?;
        let mut items = items(config, building, slots, acpi)?;
        if building.vga.is_some() {
            let (vendor, device) = VIDEO_DEVICE;
            match self.image.video_bios(vendor, device) {
                // By this name SeaBIOS looks for the ROM of a PCI device.
                Ok(rom) => rom.iter().for_each(|rom| items.file(&format!("pci{vendor:04x},{device:04x}.rom"), rom)),
                Err(e) => log::warn!("the BIOS will show nothing on the screen: {e:#}"),
            }
        }
        let fw_cfg = FwCfg::new(items, &building.memory)?;
        building.port(layout::FW_CFG, fw_cfg::LEN, fw_cfg.clone())?;
        building.parts.push(fw_cfg);
        if let Some(variables) = self.roms.get(VARIABLES) {
            let region = variables.regions().first().copied().context("variables without memory")?;
            let backing = Kept { vm: building.vm.clone(), nvram: self.nvram };
            let flash = Flash::new(variables.clone(), Box::new(backing))?;
            building.mmio.insert(region.base, region.len, flash.clone())?;
            building.parts.push(flash);
        }
        Ok(Image(self.image))
    }
}

/// What is loaded at every start.
pub(super) struct Image(boot::Firmware);

impl Image {
    /// The processor itself starts in the ROM; only what is also in RAM must be put there.
    pub fn load(&self, memory: &Memory) -> Result<()> {
        let shadow = self.0.shadow();
        let at = layout::BIOS_END - shadow.len() as u64;
        ensure!(at >= layout::BIOS, "more of a BIOS than there is room for");
        memory.write(at, shadow).context("write the BIOS into memory")?;
        log::info!("firmware {}", self.0.path.display());
        Ok(())
    }
}

/// Memory that ends at `end` and has this content.
fn rom(end: u64, content: &[u8]) -> Result<Memory> {
    let len = content.len() as u64;
    let base = end.checked_sub(len).filter(|base| *base >= layout::FLASH).context("firmware is too large")?;
    let memory = Memory::new(&[(base, len)], None).context("memory for the firmware")?;
    memory.slice(base, content.len())?.store(content);
    Ok(memory)
}

/// The flash chip's other side: the VM's memory slot, and the file.
struct Kept {
    vm: Arc<Vm>,
    nvram: Option<Nvram>,
}

impl Backing for Kept {
    fn store(&self, at: u64, data: &[u8]) -> Result<()> {
        self.nvram.as_ref().map_or(Ok(()), |nvram| nvram.store(at, data))
    }

    fn show(&self, on: bool) -> Result<()> {
        self.vm.show_rom(VARIABLES, on)
    }
}

/// What firmware can ask for.
fn items(config: &Config, building: &Building, slots: &Slots, acpi: &acpi::Board) -> Result<Items> {
    /// Of the pages that KVM has for itself.
    const RESERVED_LEN: u64 = 0x4000;
    let cpus = u16::try_from(acpi.apic_ids.len())?;
    let highest = acpi.apic_ids.iter().max().copied().unwrap_or(0);
    let mut items = Items::new();
    items.item(key::RAM_SIZE, &building.memory.size().to_le_bytes());
    items.item(key::CPUS, &cpus.to_le_bytes());
    // An end of APIC ids, which may have gaps.
    items.item(key::MAX_CPUS, &u16::try_from(highest + 1)?.to_le_bytes());
    items.item(key::BOOT_MENU, &0u16.to_le_bytes());

    let mut map = Vec::new();
    let mut entry = |base: u64, len: u64, kind: u32| {
        map.extend_from_slice(&base.to_le_bytes());
        map.extend_from_slice(&len.to_le_bytes());
        map.extend_from_slice(&kind.to_le_bytes());
    };
    building.memory.regions().iter().for_each(|r| entry(r.base, r.len, 1));
    entry(layout::FIRMWARE_IDENTITY_MAP, RESERVED_LEN, 2);
    items.file("etc/e820", &map);

    let acpi::Files(files) = acpi::files(acpi)?;
    files.iter().for_each(|(name, data)| items.file(name, data));
    // Where nothing boots, it says so and waits, instead of trying again.
    items.file("etc/boot-fail-wait", &u32::MAX.to_le_bytes());
    if !config.serial.is_empty() {
        // SeaBIOS: the text screen is this serial port.
        items.file("etc/sercon-port", &u64::from(layout::COM[0]).to_le_bytes());
    }
    if !slots.boot_order.is_empty() {
        items.file("bootorder", format!("{}\0", slots.boot_order.join("\n")).as_bytes());
    }
    Ok(items)
}
