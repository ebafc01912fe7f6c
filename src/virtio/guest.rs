//! For tests: a driver's side of one device, over either transport, in enough detail to do everything right, and everything wrong.

use crate::bus::{Bus, Mmio};
use crate::mem::Memory;
use crate::part::Part;
use crate::pci::fakes::{Doors, Level, Outbox};
use crate::pci::{Intx, Root, Windows};
use crate::virtio::{Device, mmio, pci};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const ACKNOWLEDGE: u8 = 1;
pub const DRIVER: u8 = 2;
pub const DRIVER_OK: u8 = 4;
pub const FEATURES_OK: u8 = 8;
pub const NEEDS_RESET: u8 = 64;
pub const VERSION_1: u64 = 1 << 32;

/// The ways a driver can go about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Over {
    Mmio,
    Pci,
    /// PCI without MSI-X.
    Intx,
    /// The legacy interface of a transitional device on PCI, without and with MSI-X.
    Legacy,
    LegacyMsix,
}

pub const WAYS: [Over; 3] = [Over::Mmio, Over::Pci, Over::Intx];
/// Of a disk or network card whose queues have [`LEGACY_SIZE`] entries.
pub const LEGACY: [Over; 2] = [Over::Legacy, Over::LegacyMsix];
pub const LEGACY_SIZE: u16 = 256;

impl Over {
    pub fn legacy(self) -> bool {
        LEGACY.contains(&self)
    }

    /// Status bits of a device that runs and is well.
    pub fn running(self) -> u8 {
        ACKNOWLEDGE | DRIVER | DRIVER_OK | if self.legacy() { 0 } else { FEATURES_OK }
    }

    /// Descriptor table, available ring, used ring.
    pub fn areas(self, queue: u16) -> [u64; 3] {
        let at = RINGS + STEP * u64::from(queue);
        if self.legacy() { [at, at + 0x1000, at + 0x2000] } else { [at, at + 0x4000, at + 0x5000] }
    }
}

const WINDOW: u64 = 0xf000_0000;
const ECAM: u64 = 0xe000_0000;
/// Slot 1.
const FUNCTION: u64 = ECAM + (1 << 15);
/// What the driver puts into row 0 (configuration) and row 1 (queues) of the MSI-X table.
const MSI: u64 = 0xfee0_0000;

/// Each queue's rings take this much from here on; then there is room for requests.
const RINGS: u64 = 0x1_0000;
const STEP: u64 = 0x8000;
pub const DATA: u64 = 0x40_0000;
pub const MEMORY: u64 = 0x80_0000;

pub struct Guest {
    pub over: Over,
    pub bus: Arc<Bus>,
    /// I/O ports.
    pub io: Arc<Bus>,
    pub mem: Memory,
    pub line: Arc<Level>,
    pub outbox: Outbox,
    pub doors: Arc<Doors>,
    pub part: Arc<dyn Part>,
    root: Option<Arc<Root>>,
    /// The ports of the legacy interface, and where among them the configuration starts.
    pub legacy: u64,
    legacy_config: u64,
    /// Where the structures of virtio-pci are: by cfg_type.
    caps: BTreeMap<u8, u64>,
    /// Requests made available so far, by queue, and the size of each.
    sent: BTreeMap<u16, (u16, u16)>,
}

/// A descriptor: address, length, flags, next.
pub type Desc = (u64, u32, u16, u16);
pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

impl Guest {
    pub fn with(device: Box<dyn Device>, over: Over) -> Guest {
        Guest::with_graphics(device, over, None)
    }

    pub fn with_graphics(device: Box<dyn Device>, over: Over, graphics: Option<pci::Graphics>) -> Guest {
        let mem = Memory::new(&[(0, MEMORY)], None).unwrap();
        let (bus, io) = (Arc::new(Bus::default()), Arc::new(Bus::default()));
        let line = Arc::new(Level::default());
        let (outbox, doors) = (Outbox::default(), Arc::new(Doors::default()));
        let mut root = None;
        let part: Arc<dyn Part> = match over {
            Over::Mmio => {
                let window = mmio::Window::new("test0", device, &mem, line.clone(), doors.clone(), WINDOW);
                bus.insert(WINDOW, mmio::LEN, window.clone()).unwrap();
                window
            }
            _ => {
                let intx = [0u8; 4].map(|number| Intx { line: line.clone(), number });
                let (low, high) = (0xc000_0000..0xe000_0000, 0x1_0000_0000..0x2_0000_0000);
                let r = Root::new(&bus, &io, Windows { low, high, io: 0xc000..0x1_0000 }, intx);
                bus.insert(ECAM, 1 << 28, r.ecam()).unwrap();
                let messages = Arc::new(outbox.clone());
                let (line, doors) = (r.intx(1), doors.clone());
                let function = pci::Function::with_graphics("test0", device, &mem, messages, doors, line, graphics);
                let function = function.unwrap();
                r.add(1, 0, function.clone()).unwrap();
                root = Some(r);
                function
            }
        };
        let (caps, sent) = (BTreeMap::new(), BTreeMap::new());
        let mut g =
            Guest { over, bus, io, mem, line, outbox, doors, part, root, legacy: 0, legacy_config: 20, caps, sent };
        g.discover();
        g
    }

    pub fn ports(&self) -> Arc<dyn Mmio> {
        self.root.as_ref().unwrap().ports(None)
    }

    pub fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut out = [0; N];
        self.bus.read(at, &mut out);
        out
    }

    fn r8(&self, at: u64) -> u8 {
        u8::from_le_bytes(self.read(at))
    }

    pub fn r16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.read(at))
    }

    pub fn r32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.read(at))
    }

    pub fn w16(&self, at: u64, value: u16) {
        self.bus.write(at, &value.to_le_bytes());
    }

    pub fn w32(&self, at: u64, value: u32) {
        self.bus.write(at, &value.to_le_bytes());
    }

    /// Configuration space of the function.
    pub fn pci(offset: u64) -> u64 {
        FUNCTION + offset
    }

    fn bar(&self, index: u8) -> u64 {
        u64::from(self.r32(Guest::pci(0x10 + 4 * u64::from(index))) & !0xf)
    }

    /// Walks the capability list as a driver does, and programs two messages.
    pub fn discover(&mut self) {
        if self.over == Over::Mmio {
            assert_eq!((self.r32(WINDOW), self.r32(WINDOW + 4)), (0x7472_6976, 2));
            return;
        }
        assert_eq!(self.r16(Guest::pci(0)), 0x1af4);
        if self.over.legacy() {
            assert_eq!(self.r32(Guest::pci(0x10)) & 3, 1, "ports");
            (self.legacy, self.legacy_config) = (self.bar(0), if self.over == Over::LegacyMsix { 24 } else { 20 });
        }
        let mut at = u64::from(self.r8(Guest::pci(0x34)));
        while at != 0 {
            let cap = Guest::pci(at);
            match self.r8(cap) {
                9 => {
                    let place = self.bar(self.r8(cap + 4)) + u64::from(self.r32(cap + 8));
                    assert!(self.caps.insert(self.r8(cap + 3), place).is_none());
                }
                0x11 if matches!(self.over, Over::Pci | Over::LegacyMsix) => {
                    let table = self.r32(cap + 4);
                    self.enable_msix(cap, self.bar((table & 7) as u8) + u64::from(table & !7));
                }
                0x11 => {}
                other => panic!("capability {other:#x}"),
            }
            at = u64::from(self.r8(cap + 1));
        }
        for kind in [1, 2, 3, 5] {
            assert!(self.caps.contains_key(&kind), "capability type {kind}");
        }
    }

    /// After the machine's reset.
    pub fn discover_again(&mut self) {
        self.caps.clear();
        self.discover();
    }

    fn enable_msix(&self, cap: u64, table: u64) {
        for row in 0..2 {
            self.w32(table + 16 * row, MSI as u32);
            self.w32(table + 16 * row + 8, 0x40 + row as u32);
            self.w32(table + 16 * row + 12, 0);
        }
        self.w16(cap + 2, 0x8000);
    }

    /// A register of the legacy interface.
    pub fn port<const N: usize>(&self, register: u64) -> [u8; N] {
        let mut out = [0; N];
        self.io.read(self.legacy + register, &mut out);
        out
    }

    fn common(&self) -> u64 {
        self.caps[&1]
    }

    pub fn status(&self) -> u8 {
        match self.over {
            Over::Mmio => self.r32(WINDOW + 0x70) as u8,
            _ if self.over.legacy() => self.port::<1>(18)[0],
            _ => self.r8(self.common() + 0x14),
        }
    }

    pub fn set_status(&self, status: u8) {
        match self.over {
            Over::Mmio => self.w32(WINDOW + 0x70, u32::from(status)),
            _ if self.over.legacy() => self.io.write(self.legacy + 18, &[status]),
            _ => self.bus.write(self.common() + 0x14, &[status]),
        }
    }

    pub fn offered(&self) -> u64 {
        if self.over.legacy() {
            return u64::from(u32::from_le_bytes(self.port(0)));
        }
        let half = |page: u32| match self.over {
            Over::Mmio => {
                self.w32(WINDOW + 0x14, page);
                self.r32(WINDOW + 0x10)
            }
            _ => {
                self.w32(self.common(), page);
                self.r32(self.common() + 4)
            }
        };
        u64::from(half(0)) | u64::from(half(1)) << 32
    }

    pub fn accept(&self, page: u32, bits: u32) {
        match self.over {
            _ if self.over.legacy() => {
                if page == 0 {
                    self.io.write(self.legacy + 4, &bits.to_le_bytes());
                }
            }
            Over::Mmio => {
                self.w32(WINDOW + 0x24, page);
                self.w32(WINDOW + 0x20, bits);
            }
            _ => {
                self.w32(self.common() + 8, page);
                self.w32(self.common() + 12, bits);
            }
        }
    }

    fn select(&self, queue: u16) {
        match self.over {
            Over::Mmio => self.w32(WINDOW + 0x30, u32::from(queue)),
            _ if self.over.legacy() => self.io.write(self.legacy + 14, &queue.to_le_bytes()),
            _ => self.w16(self.common() + 0x16, queue),
        }
    }

    /// The largest size of a queue, before it is set; 0 if there is none.
    pub fn max_size(&self, queue: u16) -> u16 {
        self.select(queue);
        match self.over {
            Over::Mmio => self.r32(WINDOW + 0x34) as u16,
            _ if self.over.legacy() => u16::from_le_bytes(self.port(12)),
            _ => self.r16(self.common() + 0x18),
        }
    }

    pub fn queues(&self) -> u16 {
        (0..).find(|q| self.max_size(*q) == 0).unwrap()
    }

    pub fn set_size(&self, queue: u16, size: u16) {
        self.select(queue);
        match self.over {
            Over::Mmio => self.w32(WINDOW + 0x38, u32::from(size)),
            // It is the device's to say.
            _ if self.over.legacy() => self.io.write(self.legacy + 12, &size.to_le_bytes()),
            _ => self.w16(self.common() + 0x18, size),
        }
    }

    pub fn areas(&self, queue: u16) -> [u64; 3] {
        self.over.areas(queue)
    }

    pub fn enable(&self, queue: u16, areas: [u64; 3]) {
        self.select(queue);
        if self.over.legacy() {
            self.io.write(self.legacy + 8, &((areas[0] >> 12) as u32).to_le_bytes());
            if self.over == Over::LegacyMsix {
                self.io.write(self.legacy + 22, &1u16.to_le_bytes());
            }
            return;
        }
        for (i, area) in areas.into_iter().enumerate() {
            let (base, step) = match self.over {
                Over::Mmio => (WINDOW + 0x80, 16),
                _ => (self.common() + 0x20, 8),
            };
            self.w32(base + step * i as u64, area as u32);
            self.w32(base + step * i as u64 + 4, (area >> 32) as u32);
        }
        match self.over {
            Over::Mmio => self.w32(WINDOW + 0x44, 1),
            _ => {
                self.w16(self.common() + 0x1a, 1);
                self.w16(self.common() + 0x1c, 1);
            }
        }
    }

    pub fn is_enabled(&self, queue: u16) -> bool {
        self.select(queue);
        match self.over {
            Over::Mmio => self.r32(WINDOW + 0x44) != 0,
            _ if self.over.legacy() => self.port::<4>(8) != [0; 4],
            _ => self.r16(self.common() + 0x1c) != 0,
        }
    }

    /// Steps of the driver up to and without DRIVER_OK. `false`: the device refused the features.
    pub fn negotiate(&self, features: u64) -> bool {
        self.set_status(0);
        assert_eq!(self.status(), 0, "a reset is done when the write is");
        self.set_status(ACKNOWLEDGE);
        self.set_status(ACKNOWLEDGE | DRIVER);
        self.accept(0, features as u32);
        self.accept(1, (features >> 32) as u32);
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        match self.over {
            Over::Mmio | Over::Legacy => {}
            Over::LegacyMsix => self.io.write(self.legacy + 20, &0u16.to_le_bytes()),
            _ => self.w16(self.common() + 0x10, 0),
        }
        self.over.legacy() || self.status() & FEATURES_OK != 0
    }

    /// Empty rings of `size` (or the device's own limit) for every queue.
    pub fn set_up_queues(&mut self, size: u16) {
        self.sent.clear();
        for queue in 0..self.queues() {
            let size = if self.over.legacy() { self.max_size(queue) } else { size.min(self.max_size(queue)) };
            assert!(!self.over.legacy() || size == LEGACY_SIZE);
            self.set_size(queue, size);
            let areas = self.areas(queue);
            self.mem.slice(areas[0], STEP as usize).unwrap().fill(0);
            self.enable(queue, areas);
            self.sent.insert(queue, (0, size));
        }
    }

    pub fn boot(&mut self) {
        self.boot_with(self.offered(), 16);
    }

    pub fn boot_with(&mut self, features: u64, size: u16) {
        assert!(self.negotiate(features), "features {features:#x} are refused");
        self.set_up_queues(size);
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    }

    pub fn kick(&self, queue: u16) {
        match self.over {
            Over::Mmio => self.w32(WINDOW + 0x50, u32::from(queue)),
            _ if self.over.legacy() => self.io.write(self.legacy + 16, &queue.to_le_bytes()),
            _ => self.w16(self.caps[&2] + 4 * u64::from(queue), queue),
        }
    }

    pub fn config_len(&self) -> u64 {
        if self.over == Over::Mmio { 0x100 } else { self.caps.get(&4).map_or(0, |_| 0x100) }
    }

    pub fn config_write(&self, at: u64, data: &[u8]) {
        match self.over {
            Over::Mmio => self.bus.write(WINDOW + 0x100 + at, data),
            _ if self.over.legacy() => self.io.write(self.legacy + self.legacy_config + at, data),
            _ => self.bus.write(self.caps.get(&4).map_or(u64::MAX, |base| base + at), data),
        }
    }

    pub fn config_read(&self, at: u64, data: &mut [u8]) {
        match self.over {
            Over::Mmio => self.bus.read(WINDOW + 0x100 + at, data),
            _ if self.over.legacy() => self.io.read(self.legacy + self.legacy_config + at, data),
            _ => self.bus.read(self.caps.get(&4).map_or(u64::MAX, |base| base + at), data),
        }
    }

    /// Was there a configuration change notification since the last look?
    pub fn told(&self) -> bool {
        match self.over {
            Over::Mmio => {
                let status = self.r32(WINDOW + 0x60);
                self.w32(WINDOW + 0x64, status);
                self.line.rises() > 0 && status & 2 != 0
            }
            Over::Pci | Over::LegacyMsix => self.outbox.sent().contains(&(MSI, 0x40)),
            Over::Intx => self.line.up() && self.r8(self.caps[&3]) & 2 != 0,
            Over::Legacy => self.line.up() && self.port::<1>(19)[0] & 2 != 0,
        }
    }

    pub fn write_desc(&self, table: u64, index: u16, (addr, len, flags, next): Desc) {
        let mut d = addr.to_le_bytes().to_vec();
        d.extend(len.to_le_bytes());
        d.extend(flags.to_le_bytes());
        d.extend(next.to_le_bytes());
        self.mem.write(table + 16 * u64::from(index), &d).unwrap();
    }

    /// Makes `head` available in a queue.
    pub fn offer(&mut self, queue: u16, head: u16) {
        let avail = self.areas(queue)[1];
        let (sent, size) = self.sent.get_mut(&queue).unwrap();
        self.mem.write(avail + 4 + 2 * u64::from(*sent % *size), &head.to_le_bytes()).unwrap();
        *sent = sent.wrapping_add(1);
        self.mem.write(avail + 2, &sent.to_le_bytes()).unwrap();
    }

    /// One chain of (address, length, device-writable) from descriptor 0 on.
    pub fn send(&mut self, queue: u16, parts: &[(u64, u32, bool)]) {
        for (i, (addr, len, write)) in parts.iter().enumerate() {
            let flags = if i + 1 < parts.len() { NEXT } else { 0 } | if *write { WRITE } else { 0 };
            self.write_desc(self.areas(queue)[0], i as u16, (*addr, *len, flags, i as u16 + 1));
        }
        self.offer(queue, 0);
        self.kick(queue);
    }

    pub fn used(&self, queue: u16) -> u16 {
        u16::from_le_bytes(self.mem.read(self.areas(queue)[2] + 2).unwrap())
    }

    /// Waits for what must come; the limit is for a test that would hang.
    pub fn until(&self, what: &str, ok: impl Fn(&Guest) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !ok(self) {
            assert!(Instant::now() < end, "{what} ({:?})", self.over);
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

/// The same numbers every time (xorshift).
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Dice {
        Dice(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}
