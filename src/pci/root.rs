//! The root bus: 32 slots, the host bridge in the first, and the two ways to their configuration spaces:
//! ports 0xcf8 and 0xcfc (PCI 3.0, 3.2.2.3.2), and the memory-mapped window (PCI Express 4.0, 7.2.2, "ECAM").

use super::{Addresses, Bars, Class, Config, Function, Identity, Socket, Windows, register};
use crate::bus::{Bus, Mmio};
use crate::irq::{Line, Shared};
use crate::sys::Lock;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

const SLOTS: u8 = 32;
/// Functions of a slot.
const FUNCTIONS: u8 = 8;
/// In the header type: the device has several functions (PCI 3.0, 6.2.1).
const MULTIFUNCTION: u8 = 0x80;

/// The generic PCI Express host bridge of virtual machines. Guests take it by its class, old ones too, and none has
/// a quirk for it; real Intel bridges have some (Linux on a 440FX: "Limiting direct PCI/PCI transfers").
const BRIDGE: Identity = Identity {
    vendor: 0x1b36,
    device: 0x0008,
    revision: 0,
    class: Class(6, 0, 0),
    subsystem_vendor: 0x1af4,
    subsystem: 0x1100,
};

/// One of the four interrupt lines of the board.
pub struct Intx {
    pub line: Arc<dyn Line>,
    /// What the Interrupt Line register says: its number.
    pub number: u8,
}

/// Which of the four lines INTA of a slot is wired to; the ACPI tables (_PRT) say the same.
fn intx_of(slot: u8) -> usize {
    usize::from(slot % 4)
}

pub struct Root {
    /// The buses have windows into here, so they must not be kept from here.
    bus: Weak<Bus>,
    ports: Weak<Bus>,
    addresses: Addresses,
    lines: [(Arc<Shared>, u8); 4],
    /// By slot * 8 + function.
    functions: Lock<BTreeMap<u8, Arc<dyn Function>>>,
    /// CONFIG_ADDRESS.
    address: AtomicU32,
}

impl Root {
    /// `bus` is guest physical memory; `intx` is INTA to INTD.
    pub fn new(bus: &Arc<Bus>, ports: &Arc<Bus>, windows: Windows, intx: [Intx; 4]) -> Arc<Root> {
        let bridge = Arc::new(Bridge(Lock::new(Config::new(&BRIDGE)))) as Arc<dyn Function>;
        Arc::new(Root {
            bus: Arc::downgrade(bus),
            ports: Arc::downgrade(ports),
            addresses: Addresses::new(windows),
            lines: intx.map(|i| (Shared::new(i.line), i.number)),
            functions: Lock::new(BTreeMap::from([(0, bridge)])),
            address: AtomicU32::new(0),
        })
    }

    /// Puts another bridge in place of the generic one.
    pub fn set_host_bridge(&self, bridge: Arc<dyn Function>) {
        self.functions.lock().insert(0, bridge);
    }

    /// The lowest empty slot.
    pub fn free_slot(&self) -> Result<u8> {
        let functions = self.functions.lock();
        let free = (0..SLOTS).find(|slot| !functions.contains_key(&(slot * FUNCTIONS)));
        free.with_context(|| format!("all {SLOTS} PCI slots are taken"))
    }

    /// INTA of a slot: an end of the line that it shares with others.
    pub fn intx(&self, slot: u8) -> Arc<dyn Line> {
        let [a, ..] = &self.lines;
        self.lines.get(intx_of(slot)).unwrap_or(a).0.wire()
    }

    /// Plugs function `number` of a device into its slot; its BARs get addresses, and answer.
    /// Function 0 comes first: without it a guest does not look for the others.
    pub fn add(&self, slot: u8, number: u8, function: Arc<dyn Function>) -> Result<()> {
        ensure!(slot < SLOTS && number < FUNCTIONS, "PCI has no slot {slot}, function {number}");
        let mut functions = self.functions.lock();
        let (first, place) = (slot * FUNCTIONS, slot * FUNCTIONS + number);
        ensure!(!functions.contains_key(&place), "PCI slot {slot}, function {number} is taken");
        ensure!(number == 0 || functions.contains_key(&first), "PCI slot {slot} has no function 0");
        let interrupt = self.lines.get(intx_of(slot)).map_or(0xff, |line| line.1);
        let bus = self.bus.upgrade().context("the bus is gone")?;
        let ports = self.ports.upgrade().context("the bus is gone")?;
        let socket = Socket { bus: &bus, ports: &ports, addresses: &self.addresses, interrupt };
        function.clone().plug(&socket).with_context(|| format!("plug into PCI slot {slot}"))?;
        functions.insert(place, function);
        Ok(())
    }

    /// The eight ports from 0xcf8. A single byte at the second, 0xcf9, has nothing to do with PCI:
    /// the reset register is there, and gets it as its offset 0.
    pub fn ports(self: &Arc<Root>, reset: Option<Arc<dyn Mmio>>) -> Arc<dyn Mmio> {
        Arc::new(Ports { root: self.clone(), reset })
    }

    /// The memory-mapped window: 1 MiB for each bus, of which the first has something on it.
    pub fn ecam(self: &Arc<Root>) -> Arc<dyn Mmio> {
        Arc::new(Ecam(self.clone()))
    }

    /// The functions' lock is not held while one runs.
    fn function(&self, bus: u8, device_function: u8) -> Option<Arc<dyn Function>> {
        self.functions.lock().get(&device_function).filter(|_| bus == 0).cloned()
    }

    /// Has the slot of this function more than one?
    fn several(&self, device_function: u8) -> bool {
        let first = device_function & !(FUNCTIONS - 1);
        self.functions.lock().range(first..=first | (FUNCTIONS - 1)).count() > 1
    }

    fn read(&self, bus: u8, device_function: u8, offset: u16, data: &mut [u8]) {
        let Some(function) = self.function(bus, device_function) else { return data.fill(0xff) };
        function.read(offset, data);
        // No function knows of the others in its slot.
        let at = register::HEADER_TYPE.checked_sub(offset).and_then(|at| data.get_mut(usize::from(at)));
        if let Some(header_type) = at.filter(|_| self.several(device_function)) {
            *header_type |= MULTIFUNCTION;
        }
    }

    fn write(&self, bus: u8, device_function: u8, offset: u16, data: &[u8]) {
        let Some(function) = self.function(bus, device_function) else { return };
        function.write(offset, data);
        if Bars::concerned(offset, data.len()) {
            let all: Vec<_> = self.functions.lock().values().cloned().collect();
            all.iter().for_each(|f| f.retry());
        }
    }
}

/// CONFIG_ADDRESS at 0 (only as a whole), CONFIG_DATA at 4 (any bytes of it).
struct Ports {
    root: Arc<Root>,
    reset: Option<Arc<dyn Mmio>>,
}

impl Ports {
    /// Bus, device and function, register; `None` while the enable bit is clear, or when the access is not in CONFIG_DATA.
    fn target(&self, offset: u64, len: usize) -> Option<(u8, u8, u16)> {
        let byte = offset.checked_sub(4).filter(|byte| byte + len as u64 <= 4)?;
        let address = self.root.address.load(Ordering::Acquire);
        let register = (address & 0xfc) as u16 + byte as u16;
        (address >> 31 == 1).then_some(((address >> 16) as u8, (address >> 8) as u8, register))
    }
}

impl Mmio for Ports {
    fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let (0, Ok(word)) = (offset, <&mut [u8; 4]>::try_from(&mut *data)) {
            *word = self.root.address.load(Ordering::Acquire).to_le_bytes();
        } else if let (1, 1, Some(reset)) = (offset, data.len(), &self.reset) {
            reset.read(0, data);
        } else if let Some((bus, device_function, register)) = self.target(offset, data.len()) {
            self.root.read(bus, device_function, register, data);
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if let (0, Ok(word)) = (offset, <[u8; 4]>::try_from(data)) {
            // Bits 30 to 24 are reserved, 1 and 0 are always 0.
            self.root.address.store(u32::from_le_bytes(word) & 0x80ff_fffc, Ordering::Release);
        } else if let (1, 1, Some(reset)) = (offset, data.len(), &self.reset) {
            reset.write(0, data);
        } else if let Some((bus, device_function, register)) = self.target(offset, data.len()) {
            self.root.write(bus, device_function, register, data);
        }
    }
}

struct Ecam(Arc<Root>);

impl Mmio for Ecam {
    fn read(&self, offset: u64, data: &mut [u8]) {
        self.0.read((offset >> 20) as u8, (offset >> 12) as u8, (offset & 0xfff) as u16, data);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        self.0.write((offset >> 20) as u8, (offset >> 12) as u8, (offset & 0xfff) as u16, data);
    }
}

/// The host bridge: it is found, and that is all.
struct Bridge(Lock<Config>);

impl Function for Bridge {
    fn read(&self, offset: u16, data: &mut [u8]) {
        self.0.lock().read(offset, data);
    }

    fn write(&self, offset: u16, data: &[u8]) {
        self.0.lock().write(offset, data);
    }

    fn plug(self: Arc<Self>, _socket: &Socket) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
