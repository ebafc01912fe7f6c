//! A driver's side of the card, plugged into a bus, with a link whose other end the test has.

use super::super::names::*;
use super::super::*;
use super::MAC;
use crate::bus::Bus;
use crate::host::link::{HEADER, Offloads};
use crate::irq::fakes::Level;
use crate::mem::{Slice, vectored};
use crate::pci::{Intx, Root, Windows};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

pub const MEMORY: u64 = 16 << 20;
pub const TX_RING: u64 = 0x1_0000;
pub const RX_RING: u64 = 0x3_0000;
pub const TX_DATA: u64 = 0x10_0000;
pub const RX_DATA: u64 = 0x40_0000;
/// Bytes between receive buffers.
pub const STRIDE: u64 = 0x4000;
const ECAM: u64 = 0xe000_0000;
const SLOT: u64 = ECAM + (1 << 15);

/// A link that shows the test the header as well, as a tap does.
struct Wire {
    socket: UnixDatagram,
    offloads: Offloads,
}

impl Link for Wire {
    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn set_header(&mut self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn set_offloads(&mut self, _: Offloads) -> io::Result<()> {
        Ok(())
    }

    fn set_pairs(&mut self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn fd(&self, _: usize) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn receive(&mut self, _: usize, parts: &[&Slice], tail: &mut [u8]) -> io::Result<usize> {
        match vectored::receive(self.socket.as_fd(), 0, parts, tail)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            n => Ok(n),
        }
    }

    fn send(&mut self, _: usize, _: &[Slice]) -> io::Result<()> {
        unreachable!("the card sends from its own memory")
    }

    fn send_own(&mut self, _: usize, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame).map(drop)
    }
}

pub struct Driver {
    pub card: Arc<E1000>,
    pub bus: Arc<Bus>,
    pub ports: Arc<Bus>,
    pub mem: Memory,
    pub line: Arc<Level>,
    pub peer: UnixDatagram,
    _root: Arc<Root>,
    tx_tail: u32,
    tx_count: u32,
    rx_head: u32,
    rx_count: u32,
}

/// Waits for what another thread does.
pub fn eventually(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Driver {
    pub fn new(offloads: Offloads) -> Driver {
        let (socket, peer) = UnixDatagram::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Driver::with(Box::new(Wire { socket, offloads }), peer)
    }

    pub fn with(link: Box<dyn Link>, peer: UnixDatagram) -> Driver {
        let (bus, ports) = (Arc::new(Bus::default()), Arc::new(Bus::default()));
        let mem = Memory::new(&[(0, MEMORY)], None).unwrap();
        let lines = [(); 4].map(|()| Arc::new(Level::default()));
        let intx = lines.clone().map(|line| Intx { line, number: 11 });
        let windows = Windows { low: 0xc000_0000..0xd000_0000, high: 0..0, io: 0xc000..0xd000 };
        let root = Root::new(&bus, &ports, windows, intx);
        let card = E1000::new("net0", Mac(MAC), link, &mem, root.intx(1)).unwrap();
        root.add(1, 0, card.clone()).unwrap();
        bus.insert(ECAM, 1 << 28, root.ecam()).unwrap();
        let [_, line, ..] = lines;
        let d =
            Driver { card, bus, ports, mem, line, peer, _root: root, tx_tail: 0, tx_count: 0, rx_head: 0, rx_count: 0 };
        d.config_write(4, &7u16.to_le_bytes());
        d
    }

    pub fn config<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut out = [0; N];
        self.bus.read(SLOT + at, &mut out);
        out
    }

    pub fn config_write(&self, at: u64, data: &[u8]) {
        self.bus.write(SLOT + at, data);
    }

    pub fn bar(&self, n: u64) -> u64 {
        u64::from(u32::from_le_bytes(self.config(0x10 + 4 * n)) & !0xf)
    }

    pub fn get(&self, register: u32) -> u32 {
        let mut word = [0; 4];
        self.bus.read(self.bar(0) + u64::from(register), &mut word);
        u32::from_le_bytes(word)
    }

    pub fn set(&self, register: u32, value: u32) {
        self.bus.write(self.bar(0) + u64::from(register), &value.to_le_bytes());
    }

    pub fn start_transmit(&mut self, count: u32) {
        (self.tx_tail, self.tx_count) = (0, count);
        for (at, value) in [(0, TX_RING as u32), (BASE_HIGH, 0), (LENGTH, count * 16), (HEAD, 0), (TAIL, 0)] {
            self.set(TDBAL + at, value);
        }
        self.set(TCTL, tctl::EN);
    }

    /// Gives `given` of the ring's descriptors, each with a buffer of its own.
    pub fn start_receive(&mut self, count: u32, given: u32, control: u32) {
        (self.rx_head, self.rx_count) = (0, count);
        for n in 0..count {
            let mut descriptor = [0; 16];
            descriptor[..8].copy_from_slice(&(RX_DATA + STRIDE * u64::from(n)).to_le_bytes());
            self.mem.write(RX_RING + 16 * u64::from(n), &descriptor).unwrap();
        }
        for (at, value) in [(0, RX_RING as u32), (BASE_HIGH, 0), (LENGTH, count * 16), (HEAD, 0), (TAIL, given)] {
            self.set(RDBAL + at, value);
        }
        self.set(RCTL, rctl::EN | control);
    }

    /// Puts a descriptor into the transmit ring; [`Driver::kick`] tells the card.
    pub fn post(&mut self, low: u64, high: u64) {
        let at = TX_RING + 16 * u64::from(self.tx_tail);
        self.mem.write(at, &[low.to_le_bytes(), high.to_le_bytes()].concat()).unwrap();
        self.tx_tail = (self.tx_tail + 1) % self.tx_count;
    }

    /// Tells the card, and waits until it has done all.
    pub fn kick(&self) {
        self.set(TDBAL + TAIL, self.tx_tail);
        eventually(|| self.get(TDBAL + HEAD) == self.tx_tail);
    }

    pub fn transmitted(&self, n: u32) -> u8 {
        self.mem.read::<1>(TX_RING + 16 * u64::from(n) + 12).unwrap()[0]
    }

    /// A frame at [`TX_DATA`], sent by `post(low, high)` with its length added.
    pub fn send(&mut self, frame: &[u8], high: u64) {
        self.mem.write(TX_DATA, frame).unwrap();
        self.post(TX_DATA, high | frame.len() as u64);
        self.kick();
    }

    /// What the link got next: header and frame.
    pub fn sent(&self) -> (Vec<u8>, Vec<u8>) {
        let mut message = vec![0; 1 << 17];
        let n = self.peer.recv(&mut message).unwrap();
        (message[..HEADER].to_vec(), message[HEADER..n].to_vec())
    }

    pub fn nothing_sent(&self) {
        self.peer.set_nonblocking(true).unwrap();
        assert!(self.peer.recv(&mut [0; 16]).is_err());
        self.peer.set_nonblocking(false).unwrap();
    }

    pub fn arrive(&self, frame: &[u8]) {
        self.peer.send(&[&[0; HEADER], frame].concat()).unwrap();
    }

    /// Waits for the next receive descriptor: its bytes from 8 on, and what is in its buffer.
    pub fn received(&mut self) -> ([u8; 8], Vec<u8>) {
        let (n, at) = (u64::from(self.rx_head), RX_RING + 16 * u64::from(self.rx_head));
        eventually(|| self.mem.read::<1>(at + 12).unwrap()[0] & 1 != 0);
        self.rx_head = (self.rx_head + 1) % self.rx_count;
        let described: [u8; 8] = self.mem.read(at + 8).unwrap();
        self.mem.write(at + 12, &[0]).unwrap();
        let mut data = vec![0; usize::from(u16::from_le_bytes([described[0], described[1]]))];
        self.mem.slice(RX_DATA + STRIDE * n, data.len()).unwrap().copy_to(&mut data);
        (described, data)
    }
}
