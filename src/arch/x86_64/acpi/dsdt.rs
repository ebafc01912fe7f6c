//! The DSDT: devices that a guest cannot find by itself, in AML.

use super::super::layout;
use super::table::table;
use super::{Board, MmioWindow, PciWindows};
use acpi_tables::Aml;
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, And, Arg, CreateDWordField, Device, EISAName, Else, Equal, IO, If, Interrupt,
    Local, Memory32Fixed, Method, Name, NotEqual, ONE, Or, Package, PackageBuilder, Path, ResourceTemplate, Return,
    Scope, Store, Uuid, ZERO,
};
use anyhow::{Context, Result};

/// Revision 2: integers have 64 bits.
const REVISION: u8 = 2;

pub fn dsdt(board: &Board) -> Result<Vec<u8>> {
    let mut devices = Vec::new();
    for uid in 0..board.apic_ids.len() as u32 {
        processor(uid).to(&mut devices);
    }
    for n in 0..board.serial_ports {
        serial_port(n, board.serial_ports).with_context(|| format!("there is no serial port {n}"))?.to(&mut devices);
    }
    clock().to(&mut devices);
    if board.keyboard {
        keyboard().to(&mut devices);
        mouse().to(&mut devices);
    }
    if board.pvpanic {
        pvpanic().to(&mut devices);
    }
    for (uid, window) in (0u32..).zip(&board.virtio_mmio) {
        virtio_mmio(uid, window)?.to(&mut devices);
    }
    if let Some(windows) = &board.pci {
        host_bridge(&mut devices, windows)?;
        if !board.firmware {
            motherboard().to(&mut devices);
        }
    }
    let mut body = Scope::raw("_SB_".into(), devices);
    let typ = layout::S5_SLP_TYP;
    Name::new("_S5_".into(), &Package::new(vec![&typ, &typ, &ZERO, &ZERO])).to_aml_bytes(&mut body);
    Ok(table(*b"DSDT", REVISION, &body))
}

/// A device with identification and resources, which is all that most have.
struct Simple {
    name: String,
    children: Vec<Name>,
}

impl Simple {
    /// `name` has four characters.
    fn new(name: String, hid: &dyn Aml, uid: Option<u32>) -> Simple {
        let mut children = vec![Name::new("_HID".into(), hid)];
        children.extend(uid.map(|uid| Name::new("_UID".into(), &uid)));
        Simple { name, children }
    }

    fn with(mut self, resources: Vec<&dyn Aml>) -> Simple {
        self.children.push(Name::new("_CRS".into(), &ResourceTemplate::new(resources)));
        self
    }

    fn to(&self, sink: &mut Vec<u8>) {
        let children = self.children.iter().map(|child| child as &dyn Aml).collect();
        Device::new(self.name.as_str().into(), children).to_aml_bytes(sink);
    }
}

fn processor(uid: u32) -> Simple {
    Simple::new(format!("C{uid:03X}"), &"ACPI0007", Some(uid))
}

fn serial_port(n: usize, ports: usize) -> Option<Simple> {
    let (port, irq) = (*layout::COM.get(n)?, layout::IRQ_COM[n % 2]);
    // The third and fourth port have the lines of the first and second.
    let irq = Interrupt::new(true, true, false, ports > 2, irq);
    let device = Simple::new(format!("COM{}", n + 1), &EISAName::new("PNP0501"), Some(n as u32));
    Some(device.with(vec![&IO::new(port, port, 1, 8), &irq]))
}

fn clock() -> Simple {
    const IRQ: u32 = 8;
    let ports = IO::new(layout::CMOS, layout::CMOS, 1, 2);
    Simple::new("RTC_".into(), &EISAName::new("PNP0B00"), None)
        .with(vec![&ports, &Interrupt::new(true, true, false, false, IRQ)])
}

/// The controller has its ports and the first of its interrupts with the keyboard.
fn keyboard() -> Simple {
    let ports = [layout::I8042_DATA, layout::I8042_COMMAND].map(|port| IO::new(port, port, 1, 1));
    let irq = Interrupt::new(true, true, false, false, layout::IRQ_KEYBOARD);
    Simple::new("KBD_".into(), &EISAName::new("PNP0303"), None).with(vec![&ports[0], &ports[1], &irq])
}

fn mouse() -> Simple {
    let irq = Interrupt::new(true, true, false, false, layout::IRQ_MOUSE);
    Simple::new("MOU_".into(), &EISAName::new("PNP0F13"), None).with(vec![&irq])
}

fn pvpanic() -> Simple {
    let port = IO::new(layout::PVPANIC, layout::PVPANIC, 1, 1);
    Simple::new("PEVT".into(), &"QEMU0001", None).with(vec![&port])
}

fn virtio_mmio(uid: u32, window: &MmioWindow) -> Result<Simple> {
    let MmioWindow { base, len, gsi } = *window;
    let below = |value: u64| u32::try_from(value).with_context(|| format!("virtio-mmio window at {base:#x}+{len:#x}"));
    let memory = Memory32Fixed::new(true, below(base)?, below(len)?);
    let device = Simple::new(format!("V{uid:03X}"), &"LNRO0005", Some(uid));
    Ok(device.with(vec![&memory, &Interrupt::new(true, true, false, false, gsi)]))
}

/// Claims the configuration space, without which Linux does not use it (PCI firmware 3.3, 4.1.2).
fn motherboard() -> Simple {
    let ecam = Memory32Fixed::new(true, layout::ECAM as u32, layout::ECAM_LEN as u32);
    Simple::new("MBRD".into(), &EISAName::new("PNP0C02"), None).with(vec![&ecam])
}

fn host_bridge(sink: &mut Vec<u8>, windows: &PciWindows) -> Result<()> {
    use AddressSpaceCacheable::NotCacheable;
    let range = |(base, len): (u64, u64)| -> Result<Option<(u64, u64)>> {
        let Some(last) = len.checked_sub(1) else { return Ok(None) };
        Ok(Some((base, base.checked_add(last).with_context(|| format!("PCI window at {base:#x}+{len:#x}"))?)))
    };
    let buses = AddressSpace::<u16>::new_bus_number(0, (layout::ECAM_BUSES - 1) as u16);
    let config = IO::new(layout::PCI_CONFIG, layout::PCI_CONFIG, 1, 8);
    let low = match range(windows.mmio32)? {
        Some((first, last)) => {
            let below = |value: u64| u32::try_from(value).context("the PCI window for 32-bit BARs is above 4 GiB");
            Some(AddressSpace::<u32>::new_memory(NotCacheable, true, below(first)?, below(last)?, None))
        }
        None => None,
    };
    let high = range(windows.mmio64)?
        .map(|(first, last)| AddressSpace::<u64>::new_memory(NotCacheable, true, first, last, None));
    // All ports but those of the configuration space; the ISA devices' are among them.
    let (first, last) = (layout::PCI_CONFIG - 1, layout::PCI_CONFIG + 8);
    let ports = [(0, first), (last, u16::MAX)].map(|(first, last)| AddressSpace::<u16>::new_io(first, last, None));
    let mut resources: Vec<&dyn Aml> = vec![&buses, &config];
    resources.extend(ports.iter().map(|window| window as &dyn Aml));
    resources.extend(low.iter().map(|window| window as &dyn Aml));
    resources.extend(high.iter().map(|window| window as &dyn Aml));

    let children: [&dyn Aml; 8] = [
        &Name::new("_HID".into(), &EISAName::new("PNP0A08")),
        &Name::new("_CID".into(), &EISAName::new("PNP0A03")),
        &Name::new("_UID".into(), &ZERO),
        &Name::new("_SEG".into(), &ZERO),
        &Name::new("_BBN".into(), &ZERO),
        &Name::new("_CRS".into(), &ResourceTemplate::new(resources)),
        &Name::new("_PRT".into(), &interrupts()),
        &Control,
    ];
    Device::new("PCI0".into(), children.to_vec()).to_aml_bytes(sink);
    Ok(())
}

/// Which interrupt a pin of a slot raises: INTA of slot 0 the first, each further slot or pin the next one
/// (ACPI 6.5, 6.2.13; no link devices: the wiring is fixed).
fn interrupts() -> PackageBuilder {
    const SLOTS: u32 = 32;
    const PINS: u32 = 4;
    const ALL_FUNCTIONS: u32 = 0xffff;
    let mut table = PackageBuilder::new();
    for (slot, pin) in (0..SLOTS).flat_map(|slot| (0..PINS).map(move |pin| (slot, pin))) {
        let irq = layout::IRQ_INTX[((slot + pin) % PINS) as usize];
        table.add_element(&Package::new(vec![&(slot << 16 | ALL_FUNCTIONS), &pin, &ZERO, &irq]));
    }
    table
}

/// _OSC of the host bridge (PCI firmware 3.3, 4.5.1): the guest gets what it asks for among native hot-plug, SHPC
/// hot-plug, power management events, advanced error reporting, and the capability structure.
struct Control;

impl Aml for Control {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        const HOST_BRIDGE: &str = "33DB4D5B-1FF7-401C-9657-7441C03DD766";
        const GRANTED: u32 = 0x1f;
        const UNKNOWN_UUID: u32 = 4;
        const UNKNOWN_REVISION: u32 = 8;
        const MASKED: u32 = 0x10;
        let (status, control) = (Path::new("CDW1"), Path::new("CDW3"));
        Method::new(
            "_OSC".into(),
            4,
            true,
            vec![
                &CreateDWordField::new(&status, &Arg(3), &ZERO),
                &If::new(
                    &Equal::new(&Arg(0), &Uuid::new(HOST_BRIDGE)),
                    vec![
                        &CreateDWordField::new(&control, &Arg(3), &8u8),
                        &And::new(&Local(0), &control, &GRANTED),
                        &If::new(&NotEqual::new(&Arg(1), &ONE), vec![&Or::new(&status, &status, &UNKNOWN_REVISION)]),
                        &If::new(&NotEqual::new(&Local(0), &control), vec![&Or::new(&status, &status, &MASKED)]),
                        &Store::new(&control, &Local(0)),
                    ],
                ),
                &Else::new(vec![&Or::new(&status, &status, &UNKNOWN_UUID)]),
                &Return::new(&Arg(3)),
            ],
        )
        .to_aml_bytes(sink);
    }
}
