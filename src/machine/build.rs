//! From a [`Config`] to a machine that waits at its gate. Reads like a table of contents; all that can be wrong with
//! files is found before the VM exists.

use super::attach::{self, Devices, Slots};
use super::dump;
use super::firmware::{self, Firmware};
use super::gate::Gate;
use super::vcpu::{Board, Runner};
use super::{Cpu, Machine, Start};
use crate::arch::{self, acpi, boot, layout};
use crate::bus::{Bus, Mmio};
use crate::config::{Config, Transport};
use crate::devices::{self, Host};
use crate::event::Notify;
use crate::host::display::{self, Display, Room};
use crate::host::screen::Screen;
use crate::host::seat::Seat;
use crate::host::stream;
use crate::irq::Shared;
use crate::kvm::{self, Reserved, Vm};
use crate::mem::Memory;
use crate::part::Part;
use crate::platform::{self, power::Power, vga::Vga};
use crate::sys::accept_calls;
use anyhow::{Context, Result, ensure};
use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use std::sync::{Arc, mpsc};
use std::time::Instant;

/// The buses, and what has been put on them.
pub(super) struct Building {
    pub ports: Arc<Bus>,
    pub mmio: Arc<Bus>,
    pub memory: Memory,
    pub vm: Arc<Vm>,
    pub notify: Notify,
    pub parts: Vec<Arc<dyn Part>>,
    pub screen: Arc<Screen>,
    /// There is a screen that needs no driver.
    pub vga: Option<Arc<Vga>>,
    /// Of a guest physical address.
    pub address_bits: u32,
}

impl Machine {
    /// Errors name the option or file that is wrong.
    pub fn build(mut config: Config) -> Result<Machine> {
        let deadline = config.timeout.map(|t| Instant::now() + t);
        let ranges = layout::ram(config.memory.size);
        if config.transport == Transport::Mmio && without_acpi(&config.payload.cmdline) {
            config.payload.linux_args += &attach::parameters(config.devices.len());
        }
        config.dump.as_deref().map_or(Ok(()), dump::check).context("--dump-on-panic")?;
        let firmware = config.firmware.as_ref().map(Firmware::open).transpose()?;
        ensure!(
            firmware.is_none() || config.transport == Transport::Pci,
            "--firmware: finds no devices on `--transport mmio`; leave it out"
        );
        let kernel = if firmware.is_none() { Some(boot::Kernel::open(&config.payload)?) } else { None };
        let apic_ids = arch::cpuid::apic_ids(&config.topology).context("--cpus")?;
        let (events, inbox) = mpsc::channel();
        let notify: Notify = Arc::new(move |request| drop(events.send(request)));
        let host = Host::new(notify.clone());
        if let Some(layout) = &config.keyboard_layout {
            host.seat.set_layout(layout.parse().context("--keyboard-layout")?);
        }
        let devices = open(&config, &host)?;
        let displays = displays(&config, &host)?;

        let kvm = kvm::open()?;
        let memory = Memory::new(&ranges, config.memory.hugepages).context("--memory")?;
        let usual = Reserved { identity_map: layout::IDENTITY_MAP, tss: layout::TSS };
        let (roms, reserved) = firmware.as_ref().map_or((&[][..], &usual), |f| (f.roms(), &firmware::RESERVED));
        let vm = Arc::new(Vm::without_chips(&kvm, &memory, roms, reserved)?);
        let supported = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).context("ask KVM for CPUID")?;

        let (ports, mmio) = (Arc::new(Bus::default()), Arc::new(Bus::default()));
        let address_bits = arch::cpuid::address_bits(&supported);
        let end = layout::ram_end(config.memory.size);
        ensure!(
            end >> address_bits == 0,
            "--memory: a guest here addresses {address_bits} bits, and RAM would end at {end:#x}"
        );
        let (parts, screen) = (Vec::new(), host.screen.clone());
        let mut building = Building { ports, mmio, memory, vm, notify, parts, screen, vga: None, address_bits };
        let power = building.platform(&config, &host.seat)?;
        let reset = Arc::new(platform::power::ResetPort::new(building.notify.clone()));
        let slots = building.attach(&config, devices, reset)?;
        // Video memory has its place by now.
        building.vm.add_chips()?;
        let acpi = board(&config, apic_ids.clone(), &slots, address_bits);
        let start = match (firmware, kernel) {
            (Some(firmware), _) => Start::Firmware(firmware.plug(&mut building, &config, &slots, &acpi)?),
            (None, kernel) => Start::Kernel(kernel.context("nothing to start")?),
        };
        let Building { ports, mmio, memory, vm, notify, parts, vga, .. } = building;

        accept_calls().context("prepare the signal that stops vCPUs")?;
        let gate = Gate::new(apic_ids.len());
        let board = Arc::new(Board { ports, mmio, gate, notify, memory: memory.clone(), vga });
        let mut cpus = Vec::new();
        for (index, &apic_id) in apic_ids.iter().enumerate() {
            let vcpu = vm.vcpu(u8::try_from(apic_id)?)?;
            let cpuid = arch::cpuid::guest(&supported, &config.topology, u32::try_from(index)?)?;
            arch::vcpu::setup(&vcpu, &cpuid)?;
            cpus.push(Cpu { runner: Runner::new(vcpu), cpuid, apic_id });
        }
        let (debugger, breakpoints) = (None, Arc::default());
        let mut machine = Machine {
            config,
            start,
            memory,
            vm,
            acpi,
            parts,
            power,
            board,
            cpus,
            inbox,
            deadline,
            debugger,
            breakpoints,
            displays,
            screen: host.screen,
            seat: host.seat,
        };
        if machine.load()? {
            warn_of_host();
        }
        machine.let_debugger_in().context("--gdb")?;
        Ok(machine)
    }
}

/// A kernel that stops half-way without a word would be taken for broken.
fn warn_of_host() {
    if kvm::backend::Processor::detect().engine.is_none() {
        log::warn!(
            "the KVM of this host interprets a kernel's code (PVM): stock Linux does not reach user space; see `kiln doctor`"
        );
    }
}

/// Linux with this argument does not look at the tables that would show it virtio-mmio windows.
fn without_acpi(cmdline: &str) -> bool {
    cmdline.split_whitespace().any(|word| word == "acpi=off")
}

/// Opens what the devices stand on; an error names the option as it was typed.
fn open(config: &Config, host: &Host) -> Result<Devices> {
    let open = |d: &crate::config::Device| {
        let kind = devices::find(d.kind)?;
        let device = (kind.build)(&d.options, host).with_context(|| format!("--{} {}", d.kind, d.options))?;
        Ok((d.id.clone(), device))
    };
    config.devices.iter().map(open).collect()
}

/// Opens the ways to look at the screen.
fn displays(config: &Config, host: &Host) -> Result<Vec<Box<dyn Display>>> {
    let room = Room { screen: host.screen.clone(), seat: host.seat.clone(), sound: host.sound.clone() };
    let open = |d: &crate::config::Display| {
        let kind = display::find(d.kind)?;
        (kind.open)(&d.options, &room).with_context(|| format!("--display {}={}", d.kind, d.options))
    };
    config.displays.iter().map(open).collect()
}

fn board(config: &Config, apic_ids: Vec<u32>, slots: &Slots, address_bits: u32) -> acpi::Board {
    let pci = match config.firmware {
        None => acpi::PciWindows {
            mmio32: (layout::PCI_MMIO, layout::PCI_MMIO_END - layout::PCI_MMIO),
            mmio64: layout::mmio64(config.memory.size, address_bits),
        },
        Some(_) => {
            let (mmio32, mmio64) = layout::firmware_windows(config.memory.size, address_bits);
            acpi::PciWindows { mmio32, mmio64 }
        }
    };
    acpi::Board {
        apic_ids,
        serial_ports: config.serial.len(),
        pci: (config.transport == Transport::Pci).then_some(pci),
        virtio_mmio: slots.windows.clone(),
        pvpanic: true,
        keyboard: config.firmware.is_some() || !config.displays.is_empty(),
        firmware: config.firmware.is_some(),
    }
}

impl Building {
    pub fn port(&mut self, port: u16, len: u64, target: Arc<dyn Mmio>) -> Result<()> {
        self.ports.insert(u64::from(port), len, target).with_context(|| format!("port {port:#x}"))
    }

    /// The devices of the board.
    fn platform(&mut self, config: &Config, seat: &Seat) -> Result<Arc<Power>> {
        let notify = &self.notify.clone();
        let sci = self.vm.line(layout::IRQ_SCI);
        let power = Arc::new(Power::new(sci, layout::S5_SLP_TYP, notify.clone()));
        self.port(layout::PM1A_EVENT, platform::power::LEN, power.clone())?;
        let high = config.memory.size.saturating_sub(layout::HOLE);
        let cmos = Arc::new(platform::cmos::Cmos::new(config.memory.size - high, high, self.vm.line(layout::IRQ_RTC)));
        if config.firmware.is_some() {
            cmos.for_firmware(config.topology.cpus().unwrap_or(1));
        }
        self.port(layout::CMOS, 2, cmos.clone())?;
        let lines = [layout::IRQ_KEYBOARD, layout::IRQ_MOUSE].map(|gsi| self.vm.line(gsi));
        let i8042 = platform::i8042::I8042::new(lines, notify.clone());
        i8042.attach(seat);
        self.port(layout::I8042_DATA, 1, i8042.data_port())?;
        self.port(layout::I8042_COMMAND, 1, i8042.command_port())?;
        self.port(layout::PVPANIC, 1, Arc::new(platform::pvpanic::PvPanic::new(notify.clone())))?;
        if let Some(port) = config.debug_exit {
            let exit = Arc::new(platform::debug_exit::DebugExit::new(notify.clone()));
            self.port(port, 4, exit).context("--debug-exit: another device is there")?;
        }
        self.parts.extend([power.clone() as Arc<dyn Part>, cmos, i8042]);
        self.serial(config)?;
        Ok(power)
    }

    fn serial(&mut self, config: &Config) -> Result<()> {
        ensure!(config.serial.len() <= layout::COM.len(), "--serial: there are {} ports", layout::COM.len());
        // As on a PC, ttyS0 and ttyS2 share a line, and so do ttyS1 and ttyS3.
        let [first, second] = layout::IRQ_COM.map(|gsi| Shared::new(self.vm.line(gsi)));
        for (n, spec) in config.serial.iter().enumerate() {
            let stream = stream::open_console(spec, &format!("ttyS{n}"), &self.notify)
                .with_context(|| format!("--serial {spec}"))?;
            let line = if n % 2 == 0 { &first } else { &second };
            let serial = platform::serial::Serial::new(&format!("serial{n}"), line.wire(), stream);
            self.port(layout::COM[n], 8, serial.clone())?;
            self.parts.push(serial);
        }
        Ok(())
    }
}
