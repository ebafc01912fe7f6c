use super::*;
use crate::host::image::Image;
use crate::irq::fakes::Level;
use crate::mem::Slice;
use crate::pci::{Function, Intx, Root, Windows};
use crate::platform::rig::accesses;
use proptest::prelude::*;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

mod disc;
mod disk;

const MEMORY: u64 = 4 << 20;
const TABLE: u64 = 0x1_0000;
const DATA: u64 = 0x10_0000;
/// Bytes of an image: not a number of cylinders.
const SIZE: usize = 3 << 20;
const PRIMARY: u64 = 0x1f0;
const CONTROL: u64 = 0x3f6;
const MASTER: u64 = 0xc000;
const BSY: u8 = 0x80;
const DRQ: u8 = 8;
const ERR: u8 = 1;

/// An image in kiln's memory. Bytes, flushes, and a gate at which reading waits if there is one.
struct Ram {
    bytes: Lock<Vec<u8>>,
    flushes: AtomicUsize,
    gate: Lock<Option<mpsc::Receiver<()>>>,
    broken: AtomicUsize,
}

struct Handle(Arc<Ram>);

impl Ram {
    fn new(bytes: Vec<u8>) -> Arc<Ram> {
        Arc::new(Ram { bytes: Lock::new(bytes), flushes: 0.into(), gate: Lock::new(None), broken: 0.into() })
    }

    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) > 0 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }
}

impl Image for Handle {
    fn size(&self) -> u64 {
        self.0.bytes.lock().len() as u64
    }

    fn physical_block(&self) -> u32 {
        4096
    }

    fn read_at(&self, offset: u64, to: &[Slice]) -> io::Result<()> {
        if let Some(gate) = &*self.0.gate.lock() {
            let _ = gate.recv();
        }
        self.0.check()?;
        assert_eq!(offset % 512, 0);
        let bytes = self.0.bytes.lock();
        let mut at = offset as usize;
        for slice in to {
            at += slice.copy_from(&bytes[at..at + slice.len()]);
        }
        assert_eq!(at % 512, 0);
        Ok(())
    }

    fn write_at(&self, offset: u64, from: &[Slice]) -> io::Result<()> {
        self.0.check()?;
        assert_eq!(offset % 512, 0);
        let mut bytes = self.0.bytes.lock();
        let mut at = offset as usize;
        for slice in from {
            at += slice.copy_to(&mut bytes[at..at + slice.len()]);
        }
        assert_eq!(at % 512, 0);
        Ok(())
    }

    fn read_bytes(&self, _offset: u64, _to: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flushes.fetch_add(1, Ordering::SeqCst);
        self.0.check()
    }

    fn discard(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_zeroes(&self, _offset: u64, _len: u64, _may_unmap: bool) -> io::Result<()> {
        Ok(())
    }
}

fn pattern(seed: u64) -> Vec<u8> {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || (0..SIZE as u64 + 16).map(|i| ((i * 31 + i / 512 * 7) % 251) as u8).collect();
    BYTES.get_or_init(make)[seed as usize..][..SIZE].to_vec()
}

/// A guest's side of the primary channel: drive 0 is a disk, drive 1 a CD-ROM.
struct Guest {
    ports: Arc<Bus>,
    memory: Memory,
    lines: [Arc<Level>; 2],
    controller: Arc<Controller>,
    _root: Arc<Root>,
    _bus: Arc<Bus>,
    disk: Arc<Ram>,
    disc: Arc<Ram>,
}

impl Guest {
    fn new() -> Guest {
        Guest::with(Cache::Writeback, false)
    }

    fn with(cache: Cache, readonly: bool) -> Guest {
        let memory = Memory::new(&[(0, MEMORY)], None).unwrap();
        let (bus, ports) = (Arc::new(Bus::default()), Arc::new(Bus::default()));
        let lines = [(); 2].map(|()| Arc::new(Level::default()));
        let intx = [0u8; 4].map(|number| Intx { line: Arc::new(Level::default()), number });
        let root = Root::new(&bus, &ports, Windows { io: 0xc000..0x1_0000, ..Windows::default() }, intx);
        let (disk, disc) = (Ram::new(pattern(1)), Ram::new(pattern(2)));
        let drive = |ram: &Arc<Ram>, cdrom| Drive {
            image: Box::new(Handle(ram.clone())),
            cdrom,
            readonly,
            serial: Some("SN 42".to_string()),
            cache,
        };
        let drives = vec![drive(&disk, false), drive(&disc, true)];
        let controller = Controller::new(drives, &memory, lines.clone().map(|line| line as Arc<dyn Line>)).unwrap();
        controller.wire(&ports).unwrap();
        root.add(1, 0, controller.clone()).unwrap();
        Guest { ports, memory, lines, controller, _root: root, _bus: bus, disk, disc }
    }

    fn read(&self, port: u64) -> u8 {
        let mut byte = [0];
        self.ports.read(port, &mut byte);
        byte[0]
    }

    fn write(&self, port: u64, value: u8) {
        self.ports.write(port, &[value]);
    }

    /// Registers 1 to 6, each written once.
    fn registers(&self, values: [u8; 6]) {
        (1..).zip(values).for_each(|(at, value)| self.write(PRIMARY + at, value));
    }

    fn command(&self, command: u8) {
        self.write(PRIMARY + 7, command);
    }

    fn alternate(&self) -> u8 {
        self.read(CONTROL)
    }

    fn select(&self, drive: u8) {
        self.write(PRIMARY + 6, 0xa0 | drive << 4);
    }

    /// A command with a 28-bit address.
    fn lba28(&self, command: u8, first: u32, count: u8) {
        let [a, b, c, d] = first.to_le_bytes();
        self.registers([0, count, a, b, c, 0xe0 | d]);
        self.command(command);
    }

    fn lba48(&self, command: u8, first: u64, count: u16) {
        let [a, b, c, d, e, f, ..] = first.to_le_bytes();
        let [low, high] = count.to_le_bytes();
        self.registers([0, high, d, e, f, 0xe0]);
        self.registers([0, low, a, b, c, 0xe0]);
        self.command(command);
    }

    /// What the status says when the interrupt has come.
    fn interrupted(&self) -> u8 {
        self.until("an interrupt", |g| g.lines[0].up());
        let status = self.read(PRIMARY + 7);
        assert!(!self.lines[0].up(), "the status was read");
        status
    }

    fn until(&self, what: &str, ok: impl Fn(&Guest) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !ok(self) {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn take(&self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        out.chunks_mut(2).for_each(|word| self.ports.read(PRIMARY, word));
        out
    }

    fn give(&self, data: &[u8]) {
        data.chunks(2).for_each(|word| self.ports.write(PRIMARY, word));
    }

    /// A table of (address, bytes), of which the last is marked.
    fn table(&self, entries: &[(u64, u32)]) {
        for (i, (at, len)) in entries.iter().enumerate() {
            let last = u32::from(i + 1 == entries.len()) << 31;
            let entry = [(*at as u32).to_le_bytes(), (len & 0xffff | last).to_le_bytes()].concat();
            self.memory.write(TABLE + 8 * i as u64, &entry).unwrap();
        }
        self.ports.write(MASTER + 4, &(TABLE as u32).to_le_bytes());
        self.write(MASTER + 2, 6);
    }

    fn start(&self) {
        self.write(MASTER, 9);
    }

    /// Stops the bus master and says how it went: active, error, interrupt.
    fn stop(&self) -> u8 {
        let status = self.read(MASTER + 2);
        self.write(MASTER, 0);
        status & 7
    }

    fn ram(&self, at: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        self.memory.slice(at, len).unwrap().copy_to(&mut out);
        out
    }

    /// It still does what it should, after whatever came before.
    fn is_well(&self) {
        self.write(CONTROL, 4);
        assert_eq!(self.alternate() & BSY, BSY, "while the reset lasts");
        self.write(CONTROL, 0);
        self.select(0);
        self.lba28(0x20, 5, 1);
        assert_eq!(self.interrupted() & (BSY | DRQ | ERR), DRQ);
        let want = self.disk.bytes.lock()[5 * 512..6 * 512].to_vec();
        assert_eq!(self.take(512), want);
        assert_eq!(self.alternate() & (BSY | DRQ | ERR), 0);
    }
}

#[test]
fn it_is_found_where_every_system_looks() {
    let g = Guest::new();
    let mut header = [0; 64];
    Function::read(&*g.controller, 0, &mut header);
    assert_eq!(header[..4], [0x86, 0x80, 0x10, 0x70]);
    assert_eq!(header[8..12], [0, 0x80, 1, 1]);
    assert_eq!(header[0x20..0x24], 0xc001u32.to_le_bytes());
    let mut timing = [0; 4];
    Function::read(&*g.controller, 0x40, &mut timing);
    assert_eq!(timing, [0, 0x80, 0, 0x80], "both channels are decoded");
    // A channel without drives: nothing that could be taken for one.
    for port in [0x170 + 1, 0x170 + 7, 0x376] {
        assert_eq!(g.read(port), 0);
    }
    g.write(0x172, 0x55);
    assert_eq!(g.read(0x172), 0);
}

#[test]
fn signatures_tell_disk_from_disc() {
    let g = Guest::new();
    g.write(CONTROL, 4);
    g.write(CONTROL, 0);
    for (drive, signature, status) in [(0, [1, 1, 0, 0], 0x50), (1, [1, 1, 0x14, 0xeb], 0)] {
        g.select(drive);
        assert_eq!([2, 3, 4, 5].map(|at| g.read(PRIMARY + at)), signature);
        assert_eq!((g.read(PRIMARY + 1), g.alternate()), (1, status));
    }
    // EXECUTE DEVICE DIAGNOSTIC does the same, and interrupts.
    g.registers([0, 9, 9, 9, 9, 0xb0]);
    g.command(0x90);
    g.interrupted();
    assert_eq!(g.read(PRIMARY + 6) & 0x10, 0, "the first drive is selected");
    assert_eq!([1, 2, 3, 4, 5].map(|at| g.read(PRIMARY + at)), [1, 1, 1, 0, 0]);
}

#[test]
fn registers_hold_what_was_written_and_before_that() {
    let g = Guest::new();
    for value in [0x12, 0x34] {
        g.registers([value, value + 1, value + 2, value + 3, value + 4, 0xe0]);
    }
    assert_eq!([2, 3, 4, 5].map(|at| g.read(PRIMARY + at)), [0x35, 0x36, 0x37, 0x38]);
    g.write(CONTROL, 0x80);
    assert_eq!([2, 3, 4, 5].map(|at| g.read(PRIMARY + at)), [0x13, 0x14, 0x15, 0x16]);
    g.write(PRIMARY + 2, 7);
    assert_eq!([2, 3].map(|at| g.read(PRIMARY + at)), [7, 0x36]);
}

#[test]
fn interrupts_can_be_kept_away() {
    let g = Guest::new();
    g.write(CONTROL, 2);
    g.lba28(0x20, 0, 1);
    assert!(!g.lines[0].up());
    assert_eq!(g.read(MASTER + 2) & 4, 0);
    g.write(CONTROL, 0);
    assert!(g.lines[0].up(), "it is still waiting");
    assert_eq!((g.alternate() & DRQ, g.lines[0].up()), (DRQ, true), "the alternate status changes nothing");
    g.command(0x20);
    assert!(!g.lines[0].up(), "a command takes it away");
}

#[test]
fn after_a_power_on_reset_all_is_new() {
    let g = Guest::new();
    g.registers([0, 4, 0, 0, 0, 0xe0]);
    g.command(0xc6);
    g.lba28(0x30, 0, 8);
    g.write(CONTROL, 2);
    g.ports.write(MASTER + 4, &[4, 3, 2, 1]);
    g.controller.reset().unwrap();
    assert_eq!((g.alternate(), g.read(MASTER + 4), g.read(PRIMARY + 2)), (0x50, 0, 1));
    g.lba28(0xec, 0, 0);
    assert_eq!(g.interrupted() & DRQ, DRQ);
    assert_eq!(g.take(512)[59 * 2..60 * 2], [16, 1], "the default of READ MULTIPLE");
    g.is_well();
}

/// A reset while the thread reads: it waits for the end, and afterwards nothing is written to memory.
#[test]
fn a_reset_waits_for_what_is_under_way() {
    let resets: [fn(&Guest); 4] = [
        |g| g.write(CONTROL, 4),
        |g| g.controller.reset().unwrap(),
        |g| g.write(MASTER, 0),
        |g| Function::write(&*g.controller, 4, &[1, 0]),
    ];
    for reset in resets {
        let g = Guest::new();
        Function::write(&*g.controller, 4, &[5, 0]);
        let (open, gate) = mpsc::channel();
        *g.disk.gate.lock() = Some(gate);
        g.table(&[(DATA, 0x2000)]);
        g.lba28(0xc8, 0, 16);
        g.start();
        assert_eq!((g.alternate() & BSY, g.read(MASTER + 2) & 1), (BSY, 1));
        // What it is told meanwhile is not heard.
        g.registers([1, 2, 3, 4, 5, 0xe0]);
        g.command(0xec);
        let g = &g;
        std::thread::scope(|s| {
            let done = s.spawn(|| reset(g));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!done.is_finished(), "the transfer has not ended");
            assert_eq!(g.ram(DATA, 0x2000), [0; 0x2000]);
            open.send(()).unwrap();
        });
        *g.disk.gate.lock() = None;
        assert_eq!(g.ram(DATA, 0x2000), g.disk.bytes.lock()[..0x2000], "it came to its end before");
        assert_eq!(g.read(MASTER + 2) & 1, 0);
        g.write(CONTROL, 0);
        g.is_well();
    }
}

#[test]
fn there_is_room_for_four() {
    let drive = || Drive {
        image: Box::new(Handle(Ram::new(vec![0; 512]))) as Box<dyn Image>,
        cdrom: false,
        readonly: false,
        serial: None,
        cache: Cache::Writeback,
    };
    let memory = Memory::new(&[(0, 0x1000)], None).unwrap();
    let build = |n: usize| {
        let lines = [(); 2].map(|()| Arc::new(Level::default()) as Arc<dyn Line>);
        Controller::new((0..n).map(|_| drive()).collect(), &memory, lines)
    };
    let four = build(4).unwrap();
    assert!(build(5).is_err());
    let ports = Bus::default();
    four.wire(&ports).unwrap();
    assert!(four.wire(&ports).is_err(), "the ports are taken");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    /// Any accesses to the ports of both channels and of the bus master, with commands that exist, and tables that are noise.
    #[test]
    fn wild_accesses_are_harmless(
        noise in prop::collection::vec(any::<u8>(), 256),
        wild in prop::collection::vec((0u8..8, accesses(8)), 1..20),
    ) {
        let g = Guest::new();
        g.memory.write(TABLE, &noise).unwrap();
        const COMMANDS: [u8; 24] = [
            0xc8, 0xca, 0x25, 0x35, 0x20, 0x30, 0xc4, 0xc5, 0xa0, 0xa1, 0xec, 0xef, 0x90, 8, 0xe7, 0xea, 0x24, 0x34,
            0x91, 0xc6, 0x27, 0xf8, 0xe5, 0x40,
        ];
        for (what, accesses) in wild {
            for access in accesses {
                let byte = access.data[0];
                match what {
                    0 => g.ports.write(MASTER + 4, &(TABLE as u32 + u32::from(byte % 4) * 8).to_le_bytes()),
                    1 => g.write(MASTER, byte & 9),
                    2 => g.command(COMMANDS[usize::from(byte) % COMMANDS.len()]),
                    3 => g.select(byte & 1),
                    4 if access.offset == 0 => g.write(CONTROL, byte),
                    _ => {
                        let base = [PRIMARY, MASTER, 0x170][usize::from(what % 3)];
                        let at = base + access.offset % 8;
                        let mut data = access.data.clone();
                        if access.store { g.ports.write(at, &data) } else { g.ports.read(at, &mut data) }
                    }
                }
            }
        }
        g.is_well();
        g.controller.reset().unwrap();
        prop_assert_eq!(g.alternate(), 0x50);
        g.is_well();
    }
}
