//! The PCI transport (virtio 1.2, 4.1): one function with one memory BAR, found through vendor capabilities.
//! Disks and network cards are transitional: they also have the registers of the legacy interface ([`legacy`]), as
//! I/O BAR 0.
//!
//! ```text
//! BAR 0, of a transitional device BAR 4: 32 KiB, below 4 GiB
//! 0x0000  common configuration (4.1.4.3)      0x3000  notification: 4 bytes for each queue (4.1.4.4)
//! 0x1000  ISR status (4.1.4.5)                0x4000  MSI-X table, at most 256 rows
//! 0x2000  device configuration (4.1.4.6)      0x5000  MSI-X pending bits
//! ```
//! Each part has a page of its own, so that a nested host can map or trap it alone.
//!
//! A device that is a graphics card as well ([`Graphics`]) is what QEMU calls "virtio-vga": video memory in BAR 0, and BAR 2
//! has a page of registers before the structures.

mod common;
mod interrupts;
mod legacy;

use super::Device;
use super::handshake::Handshake;
use crate::bus::{Door, Doorbells, Mmio};
use crate::irq::{Line, Messages};
use crate::mem::Memory;
use crate::part::Part;
use crate::pci::{self, Bars, Class, Config, Identity, Socket, Width, command, register, touches};
use crate::sys::Lock;
use anyhow::{Result, ensure};
use interrupts::Interrupts;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

const BAR_LEN: u64 = 0x8000;
const PART: u64 = 0x1000;
const COMMON: u64 = 0;
const ISR: u64 = PART;
const DEVICE: u64 = 2 * PART;
const NOTIFY: u64 = 3 * PART;
const TABLE: u64 = 4 * PART;
const PENDING: u64 = 5 * PART;
/// Bytes between two queues' notification addresses.
const NOTIFY_STEP: u64 = 4;
const MAX_QUEUES: usize = (PART / NOTIFY_STEP) as usize;
const MAX_VECTORS: usize = (PART / pci::msix::ROW) as usize;

/// Where a graphics card has its video memory, and its registers and structures.
const VIDEO_BAR: u16 = 0;
const GRAPHICS_BAR: u16 = 2;
/// Display controller, compatible with a VGA.
const GRAPHICS_CLASS: Class = Class(0x03, 0x00, 0);

const VENDOR: u16 = 0x1af4;
const VENDOR_CAPABILITY: u8 = 9;

/// What a virtio device is besides: a graphics card that works without a driver for it.
pub struct Graphics {
    /// Bytes of video memory, a power of two.
    pub len: u64,
    pub video: Arc<dyn Mmio>,
    /// A page of them.
    pub registers: Arc<dyn Mmio>,
    /// Is told where the guest sees the video memory; `None`: nowhere.
    pub moved: Box<dyn Fn(Option<u64>) + Send + Sync>,
}

/// A device behind the transport.
/// Lock order: `space`, then `registers`, then those of [`Interrupts`]. None is held while the BAR is reached
/// through the configuration space.
pub struct Function {
    name: String,
    space: Lock<Space>,
    registers: Arc<Lock<Handshake>>,
    interrupts: Arc<Interrupts>,
    places: Arc<Places>,
    legacy: Option<Arc<legacy::Ports>>,
    graphics: Option<Graphics>,
}

/// Where the BARs answer; 0: nowhere.
#[derive(Default)]
struct Places {
    memory: AtomicU64,
    ports: AtomicU64,
    /// Bytes before the structures.
    before: u64,
}

struct Space {
    config: Config,
    bars: Bars,
    /// The BAR with the structures above.
    bar: u16,
    /// What `config` was when it was plugged in.
    power_on: Config,
    /// Offsets of the MSI-X capability and of VIRTIO_PCI_CAP_PCI_CFG.
    msix: u16,
    window: u16,
}

impl Function {
    /// `intx` is the slot's end of INTA ([`pci::Root::intx`]).
    pub fn new(
        id: &str,
        device: Box<dyn Device>,
        mem: &Memory,
        messages: Arc<dyn Messages>,
        doorbells: Arc<dyn Doorbells>,
        intx: Arc<dyn Line>,
    ) -> Result<Arc<Function>> {
        Function::with_graphics(id, device, mem, messages, doorbells, intx, None)
    }

    pub fn with_graphics(
        id: &str,
        device: Box<dyn Device>,
        mem: &Memory,
        messages: Arc<dyn Messages>,
        doorbells: Arc<dyn Doorbells>,
        intx: Arc<dyn Line>,
        graphics: Option<Graphics>,
    ) -> Result<Arc<Function>> {
        let queues = device.queue_sizes().len();
        ensure!(queues <= MAX_QUEUES, "{queues} queues are too many for PCI");
        let interrupts = Arc::new(Interrupts::new(queues, MAX_VECTORS, messages, intx)?);
        let before = if graphics.is_some() { PART } else { 0 };
        let places = Arc::new(Places { before, ..Places::default() });
        let bars = places.clone();
        let place = move |queue: u16, legacy: bool| bars.door(queue, legacy);
        let registers = Handshake::new(id, device, mem, interrupts.clone(), doorbells, place);
        let space = Space::new(&registers, &interrupts, before)?;
        let transitional = legacy::device(registers.id()).is_some();
        let registers = Arc::new(Lock::new(registers));
        let legacy = transitional.then(|| Arc::new(legacy::Ports::new(registers.clone(), interrupts.clone())));
        let (name, space) = (id.to_string(), Lock::new(space));
        Ok(Arc::new(Function { name, space, registers, interrupts, places, legacy, graphics }))
    }

    /// Makes the buses follow the BARs, and the doorbells follow the buses.
    fn decode(&self, space: &mut Space) {
        if space.bars.decode(&space.config) {
            let mapped = |bar| space.bars.mapped(bar).unwrap_or(0);
            self.places.memory.store(mapped(space.bar), Ordering::Release);
            let ports = if self.legacy.is_some() { mapped(legacy::BAR) } else { 0 };
            self.places.ports.store(ports, Ordering::Release);
            self.registers.lock().doorbells_moved();
            if let Some(graphics) = &self.graphics {
                (graphics.moved)(space.bars.mapped(VIDEO_BAR));
            }
        }
    }
}

impl Places {
    /// Where a driver notifies `queue`.
    fn door(&self, queue: u16, legacy: bool) -> Option<Door> {
        let at = |base: &AtomicU64, offset| {
            Some(base.load(Ordering::Acquire)).filter(|base| *base != 0)?.checked_add(offset)
        };
        Some(match legacy {
            true => Door::Port(at(&self.ports, legacy::QUEUE_NOTIFY)?, queue),
            false => Door::Memory(at(&self.memory, self.before + NOTIFY + NOTIFY_STEP * u64::from(queue))?),
        })
    }
}

impl Part for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn reset(&self) -> Result<()> {
        self.registers.lock().reset();
        self.interrupts.power_on();
        let mut space = self.space.lock();
        space.config = space.power_on.clone();
        self.decode(&mut space);
        Ok(())
    }
}

impl pci::Function for Function {
    fn read(&self, offset: u16, data: &mut [u8]) {
        let space = self.space.lock();
        let access = space.access().filter(|_| touches(offset, data.len(), space.window + 16, 4));
        drop(space);
        let mut bytes = [0; 4];
        let seen = access.and_then(|(at, len)| Some((at, bytes.get_mut(..len)?)));
        let seen = seen.map(|(at, bytes)| {
            Mmio::read(self, at, bytes);
            &*bytes
        });
        let mut space = self.space.lock();
        let window = space.window;
        space.config.set(window + 16, seen.unwrap_or_default());
        let status = space.config.u16(register::STATUS) & !INTERRUPT_STATUS;
        let status = if self.interrupts.pending() { status | INTERRUPT_STATUS } else { status };
        space.config.set(register::STATUS, &status.to_le_bytes());
        space.config.read(offset, data);
    }

    fn write(&self, offset: u16, data: &[u8]) {
        let touches = |register, size| touches(offset, data.len(), register, size);
        let mut space = self.space.lock();
        let master = space.config.u16(register::COMMAND) & command::MASTER;
        space.config.write(offset, data);
        if touches(space.msix + 2, 2) {
            self.interrupts.set_msix_control(space.config.u16(space.msix + 2));
        }
        if touches(register::COMMAND, 2) {
            self.interrupts.disable_intx(space.config.u16(register::COMMAND) & command::INTX_DISABLE != 0);
        }
        // A kernel that starts another one switches bus mastering off, so that nothing writes into the new one's memory.
        // (A driver that never switched it on is served all the same.)
        if master & !space.config.u16(register::COMMAND) != 0 {
            self.registers.lock().halt();
        }
        if Bars::concerned(offset, data.len()) {
            self.decode(&mut space);
        }
        let access = space.access().filter(|_| touches(space.window + 16, 4));
        let bytes = space.config.u32(space.window + 16).to_le_bytes();
        drop(space);
        if let Some((at, bytes)) = access.and_then(|(at, len)| Some((at, bytes.get(..len)?))) {
            Mmio::write(self, at, bytes);
        }
    }

    fn plug(self: Arc<Self>, socket: &Socket) -> Result<()> {
        let mut space = self.space.lock();
        let Space { config, bars, bar, .. } = &mut *space;
        let me: Weak<Function> = Arc::downgrade(&self);
        bars.add(config, socket, (*bar, BAR_LEN, Width::Bits32), me)?;
        if let Some(graphics) = &self.graphics {
            let video = Arc::downgrade(&graphics.video);
            bars.add(config, socket, (VIDEO_BAR, graphics.len, Width::Prefetchable), video)?;
        }
        let mut decoding = command::MEMORY;
        if let Some(ports) = &self.legacy {
            let target: Weak<legacy::Ports> = Arc::downgrade(ports);
            bars.add(config, socket, (legacy::BAR, ports.len(), Width::Io), target)?;
            decoding |= command::IO;
        }
        config.set(register::INTERRUPT_LINE, &[socket.interrupt]);
        // As firmware would leave it.
        config.set(register::COMMAND, &decoding.to_le_bytes());
        space.power_on = space.config.clone();
        self.decode(&mut space);
        Ok(())
    }

    fn retry(&self) {
        self.decode(&mut self.space.lock());
    }
}

/// STATUS: INTx is pending (PCI 3.0, 6.2.3).
const INTERRUPT_STATUS: u16 = 1 << 3;

impl Space {
    fn new(registers: &Handshake, interrupts: &Interrupts, before: u64) -> Result<Space> {
        let (mut config, bar) = header(registers.id(), before > 0)?;
        config.set(register::INTERRUPT_PIN, &[1]);
        let (table, pending) = ((before + TABLE) as u32, (before + PENDING) as u32);
        let (body, mask) = interrupts.msix.capability(bar, table, pending);
        let msix = config.capability(pci::msix::ID, &body, &mask)?;
        let mut add = |kind, at: u64, len: u64, more: &[u8], mask: &[u8]| {
            config.capability(VENDOR_CAPABILITY, &capability(kind, bar, (at as u32, len as u32), more), mask)
        };
        add(1, before + COMMON, common::LEN, &[], &[])?;
        let queues = registers.queues() as u64;
        add(2, before + NOTIFY, NOTIFY_STEP * queues.max(1), &(NOTIFY_STEP as u32).to_le_bytes(), &[])?;
        add(3, before + ISR, 1, &[], &[])?;
        let config_len = registers.config().len() as u64;
        if config_len > 0 {
            add(4, before + DEVICE, config_len.next_multiple_of(4), &[], &[])?;
        }
        // The driver may write bar, offset, length and the data.
        let mask = [0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let window = add(5, 0, 0, &[0; 4], &mask)?;
        Ok(Space { power_on: config.clone(), config, bars: Bars::default(), bar, msix, window })
    }

    /// What VIRTIO_PCI_CAP_PCI_CFG points at (4.1.4.9): offset and length of an access to the structures, if it is a valid one.
    fn access(&self) -> Option<(u64, usize)> {
        let (bar, at) = (self.config.u8(self.window + 4), self.config.u32(self.window + 8));
        let len = self.config.u32(self.window + 12);
        let valid = u16::from(bar) == self.bar && matches!(len, 1 | 2 | 4) && at % len == 0 && u64::from(at) < BAR_LEN;
        valid.then_some((u64::from(at), len as usize))
    }
}

/// The header of device `id` (virtio 1.2, 4.1.2), and the BAR that its structures have.
fn header(id: u32, graphics: bool) -> Result<(Config, u16)> {
    let modern = 0x1040u16.saturating_add(u16::try_from(id)?);
    let legacy = legacy::device(id);
    let identity = Identity {
        vendor: VENDOR,
        device: legacy.unwrap_or(modern),
        // Drivers of the legacy interface take no other revision than 0, and go by the subsystem.
        revision: if legacy.is_some() { 0 } else { 1 },
        class: if graphics { GRAPHICS_CLASS } else { class(id) },
        subsystem_vendor: VENDOR,
        subsystem: if legacy.is_some() { u16::try_from(id)? } else { modern },
    };
    let bar = match legacy {
        Some(_) => 4,
        None if graphics => GRAPHICS_BAR,
        None => 0,
    };
    Ok((Config::new(&identity), bar))
}

/// A struct virtio_pci_cap (4.1.4) without its first two bytes.
fn capability(kind: u8, bar: u16, (offset, len): (u32, u32), more: &[u8]) -> Vec<u8> {
    let mut body = vec![16 + more.len() as u8, kind, bar as u8, 0, 0, 0];
    body.extend(offset.to_le_bytes());
    body.extend(len.to_le_bytes());
    body.extend(more);
    body
}

/// What a guest without a driver shows the device as.
fn class(id: u32) -> Class {
    match id {
        1 => Class(0x02, 0x00, 0),
        2 => Class(0x01, 0x80, 0),
        3 => Class(0x07, 0x80, 0),
        16 => Class(0x03, 0x80, 0),
        25 => Class(0x04, 0x01, 0),
        _ => Class(0x00, 0xff, 0),
    }
}

/// The BAR with the structures.
impl Mmio for Function {
    fn read(&self, offset: u64, data: &mut [u8]) {
        let at = offset % PART;
        let Some(part) = (offset - at).checked_sub(self.places.before) else {
            return self.graphics.iter().for_each(|graphics| graphics.registers.read(offset, data));
        };
        match part {
            COMMON => common::read(&self.registers.lock(), &self.interrupts, at, data),
            ISR => {
                data.fill(0);
                if let (0, Some(first)) = (at, data.first_mut()) {
                    *first = self.interrupts.take_isr();
                }
            }
            DEVICE => self.registers.lock().config().read(at, data),
            TABLE => self.interrupts.msix.read_table(at, data),
            PENDING => self.interrupts.msix.read_pending(at, data),
            _ => data.fill(0),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        let at = offset % PART;
        let Some(part) = (offset - at).checked_sub(self.places.before) else {
            return self.graphics.iter().for_each(|graphics| graphics.registers.write(offset, data));
        };
        match part {
            COMMON => common::write(&mut self.registers.lock(), &self.interrupts, at, data),
            DEVICE => self.registers.lock().config_write(at, data),
            NOTIFY => self.registers.lock().kick((at / NOTIFY_STEP) as u32),
            TABLE => self.interrupts.msix.write_table(at, data),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
