use super::*;
use crate::pci::fakes::Level;

/// A function of 64 plain bytes, and what was asked of it.
#[derive(Default)]
struct Plain {
    bytes: Lock<Vec<u8>>,
    retries: AtomicU32,
    plugged: AtomicU32,
}

impl Function for Plain {
    fn read(&self, offset: u16, data: &mut [u8]) {
        let bytes = self.bytes.lock();
        data.iter_mut().enumerate().for_each(|(i, b)| *b = bytes.get(usize::from(offset) + i).copied().unwrap_or(0));
    }

    fn write(&self, offset: u16, data: &[u8]) {
        let mut bytes = self.bytes.lock();
        data.iter().enumerate().for_each(|(i, b)| {
            if let Some(to) = bytes.get_mut(usize::from(offset) + i) {
                *to = *b;
            }
        });
    }

    fn plug(self: Arc<Self>, socket: &Socket) -> Result<()> {
        self.plugged.store(u32::from(socket.interrupt), Ordering::SeqCst);
        Ok(())
    }

    fn retry(&self) {
        self.retries.fetch_add(1, Ordering::SeqCst);
    }
}

struct Board {
    root: Arc<Root>,
    ports: Arc<dyn Mmio>,
    ecam: Arc<dyn Mmio>,
    lines: [Arc<Level>; 4],
    _buses: [Arc<Bus>; 2],
}

fn board() -> Board {
    let buses = [(); 2].map(|()| Arc::new(Bus::default()));
    let lines = [(); 4].map(|()| Arc::new(Level::default()));
    let mut number = 15;
    let intx = lines.clone().map(|line| {
        number += 1;
        Intx { line, number }
    });
    let windows = Windows { low: 0xc000_0000..0xd000_0000, ..Windows::default() };
    let root = Root::new(&buses[0], &buses[1], windows, intx);
    Board { ports: root.ports(None), ecam: root.ecam(), root, lines, _buses: buses }
}

fn plain() -> Arc<Plain> {
    Arc::new(Plain { bytes: Lock::new((0..64).collect()), ..Plain::default() })
}

fn read<const N: usize>(at: &Arc<dyn Mmio>, offset: u64) -> [u8; N] {
    let mut out = [0xaa; N];
    at.read(offset, &mut out);
    out
}

#[test]
fn the_bridge_is_there_and_the_rest_is_empty() {
    let b = board();
    assert_eq!(read::<4>(&b.ecam, 0), [0x36, 0x1b, 0x08, 0x00]);
    assert_eq!(read::<2>(&b.ecam, 0xa), [0, 6], "class: host bridge");
    for empty in [1 << 12, 1 << 15, 31 << 15, 1 << 20, (1 << 28) - 4] {
        assert_eq!(read::<4>(&b.ecam, empty), [0xff; 4], "{empty:#x}");
        b.ecam.write(empty, &[0; 4]);
    }
}

#[test]
fn slots_fill_up_in_order() {
    let b = board();
    for slot in 1..32 {
        assert_eq!(b.root.free_slot().unwrap(), slot);
        let function = plain();
        b.root.add(slot, 0, function.clone()).unwrap();
        assert_eq!(function.plugged.load(Ordering::SeqCst), 16 + u32::from(slot) % 4);
    }
    assert_eq!(format!("{:#}", b.root.free_slot().unwrap_err()), "all 32 PCI slots are taken");
    assert!(b.root.add(5, 0, plain()).is_err());
    assert!(b.root.add(32, 0, plain()).is_err());
}

#[test]
fn a_slot_has_up_to_eight_functions() {
    let b = board();
    let header_type = |function: u64| read::<1>(&b.ecam, (4 << 15) + (function << 12) + 0xe);
    assert!(b.root.add(4, 1, plain()).is_err(), "nobody would look for it");
    b.root.add(4, 0, plain()).unwrap();
    assert_eq!(header_type(0), [0x0e], "alone");
    for number in [3, 7] {
        b.root.add(4, number, plain()).unwrap();
        assert!(b.root.add(4, number, plain()).is_err(), "taken");
    }
    assert!(b.root.add(4, 8, plain()).is_err());
    assert_eq!([0, 3, 7].map(header_type), [[0x8e]; 3]);
    assert_eq!(read::<4>(&b.ecam, (4 << 15) + 0xc), [0xc, 0xd, 0x8e, 0xf], "also in a wider access");
    assert_eq!(read::<2>(&b.ecam, (4 << 15) + 0xf), [0xf, 0x10]);
    assert_eq!(header_type(1), [0xff]);
    // CONFIG_ADDRESS has the function, too.
    b.ports.write(0, &(1u32 << 31 | 4 << 11 | 3 << 8 | 0x20).to_le_bytes());
    b.ports.write(4, &[0x77]);
    assert_eq!([0, 3, 7].map(|f: u64| read::<1>(&b.ecam, (4 << 15) + (f << 12) + 0x20)), [[0x20], [0x77], [0x20]]);
    assert_eq!(b.root.free_slot().unwrap(), 1);
}

#[test]
fn inta_of_a_slot_goes_to_its_line() {
    let b = board();
    for slot in 0..32u8 {
        let wire = b.root.intx(slot);
        wire.set(true);
        let up: Vec<_> = b.lines.iter().map(|line| line.up()).collect();
        assert_eq!(up.iter().position(|up| *up), Some(usize::from(slot) % 4));
        assert_eq!(up.iter().filter(|up| **up).count(), 1);
        wire.set(false);
    }
}

#[test]
fn both_ways_reach_the_same_bytes_at_any_width() {
    let b = board();
    let function = plain();
    b.root.add(3, 0, function).unwrap();
    let address = |register: u32| b.ports.write(0, &(1 << 31 | 3 << 11 | register).to_le_bytes());
    for register in (0..64u8).step_by(4) {
        address(u32::from(register));
        for byte in 0..4 {
            let first = register + byte;
            let ecam = (3 << 15) + u64::from(first);
            assert_eq!(read::<1>(&b.ports, 4 + u64::from(byte)), [first]);
            assert_eq!(read::<1>(&b.ecam, ecam), [first]);
            if byte % 2 == 0 {
                assert_eq!(read::<2>(&b.ports, 4 + u64::from(byte)), [first, first + 1]);
            }
        }
        assert_eq!(read::<4>(&b.ports, 4), read::<4>(&b.ecam, (3 << 15) + u64::from(register)));
    }
    address(0x10);
    b.ports.write(6, &[0x77]);
    assert_eq!(read::<4>(&b.ecam, (3 << 15) + 0x10), [0x10, 0x11, 0x77, 0x13]);
    assert_eq!(read::<4>(&b.ecam, (3 << 15) + 62), [62, 63, 0, 0]);
    assert_eq!(read::<8>(&b.ecam, (3 << 15) + 0xffc), [0; 8]);
}

#[test]
fn the_address_port_takes_only_whole_words_and_must_be_enabled() {
    let b = board();
    b.ports.write(0, &0xff00_0003u32.to_le_bytes());
    assert_eq!(read::<4>(&b.ports, 0), [0, 0, 0, 0x80], "reserved bits stay clear");
    assert_eq!(read::<4>(&b.ports, 4), [0x36, 0x1b, 0x08, 0x00]);
    b.ports.write(0, &[1]);
    b.ports.write(2, &[1, 1]);
    b.ports.write(3, &[1]);
    b.ports.write(1, &[1]);
    assert_eq!(read::<4>(&b.ports, 0), [0, 0, 0, 0x80]);
    assert_eq!((read::<1>(&b.ports, 0), read::<2>(&b.ports, 2)), ([0xff], [0xff; 2]));
    assert_eq!(
        (read::<2>(&b.ports, 7), read::<4>(&b.ports, 5), read::<8>(&b.ports, 4)),
        ([0xff; 2], [0xff; 4], [0xff; 8])
    );
    b.ports.write(0, &0u32.to_le_bytes());
    assert_eq!(read::<4>(&b.ports, 4), [0xff; 4]);
}

#[test]
fn the_reset_register_keeps_its_port() {
    let b = board();
    let reset = Arc::new(Port(Lock::new(Vec::new())));
    let ports = b.root.ports(Some(reset.clone()));
    ports.write(1, &[6]);
    ports.write(1, &[6, 6]);
    ports.write(0, &0x8000_0000u32.to_le_bytes());
    assert_eq!(*reset.0.lock(), [(0, vec![6])]);
    assert_eq!(read::<1>(&ports, 1), [0x5a]);
}

struct Port(Lock<Vec<(u64, Vec<u8>)>>);

impl Mmio for Port {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0x5a);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        self.0.lock().push((offset, data.to_vec()));
    }
}

#[test]
fn a_moved_bar_lets_the_others_try_again() {
    let b = board();
    let (one, two) = (plain(), plain());
    b.root.add(1, 0, one.clone()).unwrap();
    b.root.add(2, 0, two.clone()).unwrap();
    b.ecam.write((1 << 15) + 0x3c, &[1]);
    assert_eq!(two.retries.load(Ordering::SeqCst), 0);
    b.ecam.write((1 << 15) + 4, &[2, 0]);
    b.ecam.write((1 << 15) + 0x10, &[0; 4]);
    assert_eq!(two.retries.load(Ordering::SeqCst), 2);
}
