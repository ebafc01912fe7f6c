mod tap;

use super::*;
use crate::config::Options;
use crate::devices::{Host, Place};
use crate::devices::ring::{DATA, Driver, MEMORY, Part};
use crate::irq::fakes::Level;
use crate::mem::Memory;
use crate::sys;
use proptest::prelude::*;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

const RX: u64 = DATA;
const TX: u64 = DATA + 0x20_0000;
const ALL: u64 = u64::MAX;
const PLAIN: u64 = !(1 << VIRTIO_NET_F_MRG_RXBUF);

fn build(options: &str) -> Result<Box<dyn Device>> {
    (KIND.build)(&Options::parse(options, KIND.positional())?, &Host::new(Arc::new(|_| {}))).map(Built::into_virtio)
}

struct Rig {
    net: Box<dyn Device>,
    driver: Driver,
    buffers: u64,
}

impl Rig {
    fn new(options: &str, features: u64) -> Rig {
        let mut net = build(options).unwrap();
        let mut driver = Driver::new(net.as_mut(), features);
        for queue in 0..driver.io.queues.len() {
            driver.kick(net.as_mut(), queue).unwrap();
        }
        Rig { net, driver, buffers: 0 }
    }

    /// A link on one end of a socket pair; the test has the other.
    fn on_socket(features: u64) -> (Rig, UnixDatagram) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Rig::new(&format!("fd={}", ours.as_raw_fd()), features), theirs)
    }

    /// Gives `n` receive buffers of `len` bytes each, and kicks.
    fn give(&mut self, pair: usize, n: usize, len: u32) {
        for _ in 0..n {
            self.driver.mem.slice(self.buffer(self.buffers), 0x1_0000).unwrap().fill(0xee);
            self.driver.post(2 * pair, &[(self.buffer(self.buffers), len, true)]);
            self.buffers += 1;
        }
        self.driver.kick(self.net.as_mut(), 2 * pair).unwrap();
    }

    fn buffer(&self, n: u64) -> u64 {
        RX + n % 32 * 0x1_0000
    }

    fn send(&mut self, pair: usize, frame: &[u8]) {
        self.driver.mem.write(TX, &[0; HEADER]).unwrap();
        self.driver.mem.write(TX + HEADER as u64, frame).unwrap();
        self.driver.post(2 * pair + 1, &[(TX, (HEADER + frame.len()) as u32, false)]);
        self.driver.kick(self.net.as_mut(), 2 * pair + 1).unwrap();
        assert_eq!(self.driver.used(2 * pair + 1).len(), 1);
    }

    /// Lets the device receive what there is.
    fn poll(&mut self) -> usize {
        self.driver.poll(self.net.as_mut()).unwrap()
    }

    /// Buffers filled on `pair`, from the `first` given on: the bytes of each.
    fn received(&mut self, pair: usize, first: u64) -> Vec<Vec<u8>> {
        let used = self.driver.used(2 * pair);
        let bytes = |(i, (_, len)): (usize, &(u16, u32))| {
            let mut bytes = vec![0; *len as usize];
            self.driver.mem.slice(self.buffer(first + i as u64), bytes.len()).unwrap().copy_to(&mut bytes);
            bytes
        };
        used.iter().enumerate().map(bytes).collect()
    }

    fn status(&self) -> u16 {
        let mut status = [0; 2];
        self.driver.io.config.read(STATUS_AT as u64, &mut status);
        u16::from_le_bytes(status)
    }
}

fn with_header(buffers: u16, frame: &[u8]) -> Vec<u8> {
    [&[0; 10], &buffers.to_le_bytes()[..], frame].concat()
}

/// A frame no two bytes of which are alike nearby.
fn frame(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// virtio 1.2, 5.1.6.1: without VERSION_1 the header ends before the number of buffers, unless they are merged.
#[test]
fn a_driver_from_before_version_1_has_a_shorter_header() {
    let old = !(1 << VIRTIO_F_VERSION_1);
    for (features, header) in [(old & PLAIN, 10), (old, 12), (PLAIN, 12)] {
        let mut r = Rig::new("loopback", features);
        r.give(0, 4, 2048);
        r.driver.mem.write(TX, &[&vec![0; header], &frame(60)[..]].concat()).unwrap();
        r.driver.post(1, &[(TX, 10, false), (TX + 10, header as u32 + 50, false)]);
        r.driver.kick(r.net.as_mut(), 1).unwrap();
        r.poll();
        let expected = [&with_header(1, &[])[..header], &frame(60)[..]].concat();
        assert_eq!(r.received(0, 0), [expected]);
    }
}

#[test]
fn only_a_driver_from_before_version_1_writes_its_address() {
    for (features, written) in [(!(1 << VIRTIO_F_VERSION_1), true), (ALL, false)] {
        let mut r = Rig::new("loopback,mac=52:00:00:00:00:01", features);
        let config = r.driver.io.config.clone();
        let mac = || {
            let mut mac = [0; 6];
            config.read(0, &mut mac);
            mac
        };
        for (at, byte) in [0x52, 1, 2, 3, 4, 5].into_iter().enumerate() {
            r.net.config_written(at, &[byte], &config, Some(&mut r.driver.io));
        }
        assert_eq!(mac(), if written { [0x52, 1, 2, 3, 4, 5] } else { [0x52, 0, 0, 0, 0, 1] });
        let before = mac();
        r.net.config_written(4, &[9; 4], &config, Some(&mut r.driver.io));
        r.net.config_written(0, &[9; 6], &config, None);
        assert_eq!((mac(), r.status()), (before, 1), "the status behind it is not the driver's");
    }
}

#[test]
fn what_is_sent_to_the_loopback_comes_back() {
    for features in [ALL, PLAIN] {
        let mut r = Rig::new("loopback", features);
        r.give(0, 4, 2048);
        r.send(0, &frame(60));
        r.send(0, &frame(1514));
        let before = r.driver.interrupts();
        assert_eq!(r.poll(), 1);
        assert!(r.driver.interrupts() > before);
        assert_eq!(r.received(0, 0), [with_header(1, &frame(60)), with_header(1, &frame(1514))]);
        assert_eq!(r.poll(), 0, "nothing is left to do");
    }
}

#[test]
fn a_frame_in_pieces_is_one_frame() {
    let (mut r, peer) = Rig::on_socket(ALL);
    r.driver.mem.write(TX, &[&[0; HEADER], &frame(100)[..]].concat()).unwrap();
    let parts = [(TX, 5, false), (TX + 5, 7, false), (TX + 12, 0, false), (TX + 12, 33, false), (TX + 45, 67, false)];
    r.driver.post(1, &parts);
    r.driver.kick(r.net.as_mut(), 1).unwrap();
    let mut got = [0; 200];
    let n = peer.recv(&mut got).unwrap();
    assert_eq!(got[..n], frame(100));
}

#[test]
fn without_buffers_the_link_is_not_watched() {
    let (mut r, peer) = Rig::on_socket(ALL);
    peer.send(&frame(64)).unwrap();
    assert_eq!(r.poll(), 0, "nobody could take it");
    r.give(0, 1, 2048);
    assert_eq!(r.received(0, 0), [with_header(1, &frame(64))]);
    peer.send(&frame(70)).unwrap();
    r.poll();
    assert_eq!((r.poll(), r.received(0, 1).len()), (0, 0));
    r.give(0, 1, 2048);
    assert_eq!(r.received(0, 1), [with_header(1, &frame(70))]);
}

#[test]
fn a_large_frame_takes_several_buffers() {
    let (mut r, peer) = Rig::on_socket(ALL);
    r.give(0, 6, 1000);
    peer.send(&frame(3500)).unwrap();
    peer.send(&frame(988)).unwrap();
    r.poll();
    let got = r.received(0, 0);
    assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 1000, 512, 1000]);
    assert_eq!(got[..4].concat(), with_header(4, &frame(3500)));
    assert_eq!(got[4], with_header(1, &frame(988)));
}

#[test]
fn a_frame_waits_for_the_buffers_it_needs() {
    let (mut r, peer) = Rig::on_socket(ALL);
    r.give(0, 2, 1000);
    peer.send(&frame(3500)).unwrap();
    peer.send(&frame(70)).unwrap();
    r.poll();
    assert_eq!((r.received(0, 0).len(), r.poll()), (0, 0), "it is not delivered in part, and nothing spins");
    r.give(0, 1, 1000);
    assert_eq!(r.received(0, 0).len(), 0);
    r.give(0, 2, 1000);
    let got = r.received(0, 0);
    assert_eq!(got[..4].concat(), with_header(4, &frame(3500)));
    assert_eq!(got[4], with_header(1, &frame(70)));
}

#[test]
fn a_frame_that_never_fits_is_dropped() {
    // One buffer a frame.
    let (mut r, peer) = Rig::on_socket(PLAIN);
    r.give(0, 2, 1000);
    peer.send(&frame(989)).unwrap();
    peer.send(&frame(988)).unwrap();
    r.poll();
    assert_eq!(r.received(0, 0), [with_header(1, &frame(988))]);
    // All buffers of the ring together.
    let (mut r, peer) = Rig::on_socket(ALL);
    r.give(0, 64, 20);
    peer.send(&frame(1300)).unwrap();
    peer.send(&frame(14)).unwrap();
    r.poll();
    assert_eq!(r.received(0, 0).concat(), with_header(2, &frame(14)));
}

#[test]
fn what_is_no_frame_is_not_sent() {
    let mut r = Rig::new("loopback", ALL);
    r.give(0, 2, 2048);
    for len in [0, 1, 11, 12, LARGEST as u32 + 1] {
        r.driver.post(1, &[(TX, len, false)]);
        r.driver.kick(r.net.as_mut(), 1).unwrap();
        assert_eq!((r.driver.used(1).len(), r.poll()), (1, 0), "{len}");
    }
    assert_eq!(r.status(), 1, "the link is not taken for closed");
    r.send(0, &frame(60));
    r.poll();
    assert_eq!(r.received(0, 0), [with_header(1, &frame(60))]);
}

#[test]
fn a_full_link_drops_and_goes_on() {
    let (mut r, peer) = Rig::on_socket(ALL);
    for _ in 0..2000 {
        r.send(0, &frame(1000));
    }
    let mut got = vec![0; 2000];
    let n = std::iter::from_fn(|| peer.recv(&mut got).ok()).count();
    assert!((1..2000).contains(&n), "{n}");
    r.send(0, &frame(99));
    assert_eq!(peer.recv(&mut got).unwrap(), 99);
}

#[test]
fn a_loopback_holds_a_burst() {
    let mut r = Rig::new("loopback", ALL);
    for _ in 0..6 {
        // As many as an unprivileged user may.
        for _ in 0..128 {
            r.send(0, &frame(1514));
        }
        let mut n = 0;
        for _ in 0..32 {
            r.give(0, 4, 2048);
            n += r.driver.used(0).len();
        }
        assert_eq!(n, 128);
    }
}

#[test]
fn a_link_that_goes_away_is_down() {
    let (ours, theirs) = sys::socket::message_pair().unwrap();
    let mut r = Rig::new(&format!("fd={}", ours.as_raw_fd()), ALL);
    r.give(0, 2, 2048);
    assert_eq!(r.status(), 1);
    drop((ours, theirs));
    // The rig's copy is the only one of its end; the other end is closed.
    assert_eq!(r.poll(), 1);
    assert_eq!((r.status(), r.poll()), (0, 0), "down, and nothing spins");
    assert!(r.driver.interrupts() == 0 && r.driver.io.config.generation() == 1);
    r.send(0, &frame(60));
    r.give(0, 1, 2048);
    assert_eq!(r.received(0, 0).len(), 0);
}

#[test]
fn buffers_go_back_when_it_stops() {
    let (mut r, peer) = Rig::on_socket(ALL);
    r.give(0, 3, 1000);
    r.net.quiesce(&mut r.driver.io).unwrap();
    peer.send(&frame(100)).unwrap();
    assert_eq!((r.poll(), r.received(0, 0).len()), (0, 0), "nothing is touched any more");
    // As if it had never stopped.
    r.net.start(&mut r.driver.io).unwrap();
    r.driver.kick(r.net.as_mut(), 0).unwrap();
    assert_eq!(r.received(0, 0), [with_header(1, &frame(100))]);
}

#[test]
fn options_are_checked() {
    let says = |text: &str| format!("{:#}", build(text).err().expect("it was built"));
    assert_eq!(says(""), "say what it is connected to: `tap=NAME`, `fd=NUMBER` or `loopback`");
    assert_eq!(says("tap=a,loopback"), "`tap=`, `fd=` and `loopback` exclude each other");
    assert_eq!(says("loopback,queues=2"), "`queues=2`: only a tap has several queues");
    assert_eq!(says("loopback,queues=17"), "`queues=17`: want 1 to 16");
    assert_eq!(says("loopback,model=ne2000"), "`model=ne2000`: want virtio or e1000");
    assert_eq!(says("loopback,model=e1000,queues=2"), "`queues=2`: an e1000 has one pair");
    assert_eq!(says("loopback,model=e1000,mtu=1400"), "`mtu=1400`: an e1000 cannot tell the guest");
    assert_eq!(says("loopback,mtu=67"), "`mtu=67`: want 68 to 65535");
    assert!(says("tap=a-name-that-is-too-long").contains("want a name of 15 bytes at most"));
    assert!(says("tap=a/b").contains("that is no name of a network interface"));
    assert!(says("fd=1").contains("not standard input"));
    assert!(says("fd=9999").contains("`fd=9999`: whoever starts kiln must open a datagram socket"));
    let file = tempfile::tempfile().unwrap();
    assert!(says(&format!("fd={}", file.as_raw_fd())).contains("Socket operation on non-socket"));
    let (stream, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(says(&format!("fd={}", stream.as_raw_fd())).contains("want a datagram or seqpacket socket"));
}

#[test]
fn the_configuration_space_is_the_specifications() {
    let net = build("loopback=on,mac=52:54:00:01:02:03,mtu=9000").unwrap();
    assert_eq!(net.config(), [0x52, 0x54, 0, 1, 2, 3, 1, 0, 1, 0, 0x28, 0x23]);
    assert_eq!(net.queue_sizes(), [256; 2]);
    let bits = [VIRTIO_NET_F_MAC, VIRTIO_NET_F_STATUS, VIRTIO_NET_F_MRG_RXBUF, VIRTIO_NET_F_MTU];
    assert_eq!(net.features(), bits.iter().map(|b| 1u64 << b).sum::<u64>());
    let mac = |text: &str| build(text).unwrap().config()[..6].to_vec();
    let given = mac("loopback");
    assert_eq!(given, mac("loopback=on"), "the same each time");
    assert_eq!(given[0] & 3, 2, "unicast, locally administered");
    assert_ne!(stable_mac(&link::Kind::Tap("tap0".into())), stable_mac(&link::Kind::Tap("tap1".into())));
}

#[test]
fn offloads_are_named_alike_on_both_sides() {
    assert_eq!(guest_offloads(0), Offloads::NONE);
    assert_eq!(guest_offloads(1 << VIRTIO_NET_F_GUEST_CSUM), Offloads::CHECKSUM);
    assert_eq!(guest_offloads(1 << VIRTIO_NET_F_GUEST_USO4), Offloads::NONE, "one without the other");
    assert_eq!(guest_offloads(1 << VIRTIO_NET_F_CSUM | 1 << VIRTIO_NET_F_HOST_TSO4), Offloads::NONE);
    let all = OFFLOADS.iter().fold(Offloads::NONE, |all, (o, ..)| all.with(*o));
    assert_eq!(guest_offloads(guest_bits()), all);
}

fn part() -> impl Strategy<Value = Part> {
    let at = prop_oneof![8 => DATA..DATA + 0x2_0000, 1 => MEMORY - 600..MEMORY, 1 => any::<u64>()];
    let len = prop_oneof![4 => 0..2000u32, 3 => 0..40u32, 1 => any::<u32>()];
    (at, len, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a driver puts into its queues, the device answers or stops.
    #[test]
    fn hostile_requests_break_nothing(
        features in any::<u64>(),
        requests in prop::collection::vec((0..3usize, prop::collection::vec(part(), 1..6)), 1..20),
    ) {
        let mut r = Rig::new("loopback", features);
        for (queue, mut parts) in requests {
            parts.sort_by_key(|p| p.2);
            r.driver.post(queue.min(1), &parts);
            if r.driver.kick(r.net.as_mut(), queue).is_err() || r.driver.poll(r.net.as_mut()).is_err() {
                break;
            }
        }
        r.net.quiesce(&mut r.driver.io).unwrap();
        r.net.reset();
    }

    /// Frames of any size through buffers of any size come out whole, in order, and none twice.
    #[test]
    fn frames_come_out_as_they_went_in(
        sizes in prop::collection::vec(14..4000usize, 1..12),
        buffers in prop::collection::vec(12..3000u32, 1..60),
        first in 0..60usize,
    ) {
        let (mut r, peer) = Rig::on_socket(ALL);
        let mut got = Vec::new();
        let mut sent = sizes.iter();
        for (i, len) in buffers.iter().enumerate() {
            if (i >= first || i % 3 == 0)
                && let Some(size) = sent.next()
            {
                peer.send(&frame(*size)).unwrap();
            }
            r.give(0, 1, *len);
            r.poll();
            // Read at once: the test's buffers are used again after 32.
            got.extend(r.received(0, got.len() as u64));
        }
        let mut left = got.into_iter();
        let mut whole = 0;
        while let Some(start) = left.next() {
            let mut bytes = start;
            while bytes.len() < HEADER {
                bytes.extend(left.next().unwrap());
            }
            let count = u16::from_le_bytes([bytes[10], bytes[11]]);
            let size = sizes[whole];
            while bytes.len() < HEADER + size {
                bytes.extend(left.next().expect("the frame ends early"));
            }
            prop_assert!(bytes == with_header(count, &frame(size)), "frame {} of {} bytes", whole, size);
            whole += 1;
        }
    }
}

#[test]
fn an_e1000_is_a_card_for_pci() {
    let options = Options::parse("loopback,model=e1000,mac=02:00:00:00:00:07", KIND.positional()).unwrap();
    let Built::Card(make) = (KIND.build)(&options, &Host::new(Arc::new(|_| {}))).unwrap() else {
        panic!("it is a virtio device");
    };
    let memory = Memory::new(&[(0, MEMORY)], None).unwrap();
    let card = make(&Place { id: "net3", memory: &memory, intx: Arc::new(Level::default()) }).unwrap();
    assert_eq!(card.name(), "net3");
    let mut id = [0; 4];
    card.read(0, &mut id);
    assert_eq!(id, [0x86, 0x80, 0x0e, 0x10]);
}

#[test]
fn a_descriptor_is_copied_not_taken() {
    let (ours, _theirs): (UnixDatagram, UnixDatagram) = UnixDatagram::pair().unwrap();
    let ours: OwnedFd = ours.into();
    drop(build(&format!("fd={}", ours.as_raw_fd())).unwrap());
    assert_eq!(sys::socket::kind(ours.as_fd()).unwrap(), libc::SOCK_DGRAM);
}
