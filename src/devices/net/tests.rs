use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver, MEMORY, Part};
use crate::sys;
use proptest::prelude::*;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;

const RX: u64 = DATA;
const TX: u64 = DATA + 0x20_0000;
const ALL: u64 = u64::MAX;
const PLAIN: u64 = !(1 << VIRTIO_NET_F_MRG_RXBUF);

fn build(options: &str) -> Result<Box<dyn Device>> {
    (KIND.build)(&Options::parse(options, KIND.positional())?, &Host { notify: Arc::new(|_| {}) })
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

#[test]
fn what_is_sent_to_the_loopback_comes_back() {
    for features in [ALL, PLAIN] {
        let mut r = Rig::new("loopback", features);
        r.give(0, 4, 2048);
        r.send(0, &frame(60));
        r.send(0, &frame(1514));
        assert_eq!(r.poll(), 1);
        assert_eq!(r.received(0, 0), [with_header(1, &frame(60)), with_header(1, &frame(1514))]);
        assert!(r.driver.interrupts() > 0);
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
            if i >= first || i % 3 == 0 {
                if let Some(size) = sent.next() {
                    peer.send(&frame(*size)).unwrap();
                }
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

/// Runs on a thread with a network of its own; says whether there was one.
fn in_a_network_of_its_own(test: impl FnOnce() + Send + 'static) {
    let run = || {
        if let Err(e) = sys::tap::unshare_network().and_then(|()| sys::tap::open().map(drop)) {
            println!("skipped: no network namespace or no tap here: {e}");
            return;
        }
        if Command::new("ip").arg("-V").output().is_err() {
            println!("skipped: no ip here (package iproute2)");
            return;
        }
        test();
    };
    std::thread::spawn(run).join().unwrap();
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

/// Who has 10.9.0.1? Tell 10.9.0.2.
fn arp() -> Vec<u8> {
    let mut f = [&[0xff; 6], &GUEST_MAC[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &GUEST_MAC, &[10, 9, 0, 2]].concat();
    f.extend([0; 6]);
    f.extend([10, 9, 0, 1]);
    f
}

/// A UDP datagram from 10.9.0.2 to port 7777 of 10.9.0.1, its checksum open or absent.
fn udp(to: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = (28 + payload.len() as u16).to_be_bytes();
    let mut header = [&[0x45, 0][..], &len, &[0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]].concat();
    let sum: u32 = header.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let udp_len = (8 + payload.len() as u16).to_be_bytes();
    [to, &GUEST_MAC, &[8, 0], &header, &[0x1e, 0x61, 0x1e, 0x61], &udp_len, &[0, 0], payload].concat()
}

#[test]
fn a_tap_carries_frames_both_ways() {
    in_a_network_of_its_own(|| {
        let mut r = Rig::new("tap=tap0,mac=52:54:00:01:02:03", ALL);
        assert!(r.net.features() >> VIRTIO_NET_F_HOST_TSO4 & 1 == 1 && r.net.queue_sizes().len() == 3);
        ip("address add 10.9.0.1/24 dev tap0");
        r.give(0, 20, 2048);
        r.send(0, &arp());
        let mut seen = 0;
        let mut next = |r: &mut Rig, what: &dyn Fn(&[u8]) -> bool| {
            for _ in 0..1_000_000 {
                r.poll();
                for bytes in r.received(0, seen) {
                    seen += 1;
                    assert_eq!(bytes[10..12], [1, 0], "one buffer");
                    if what(&bytes[HEADER..]) {
                        return bytes;
                    }
                }
            }
            panic!("the host does not answer");
        };
        // The host answers with its address (it talks of other things, too: IPv6).
        let reply = next(&mut r, &|f| f[12..14] == [8, 6] && f[20..22] == [0, 2]);
        assert_eq!((&reply[HEADER..HEADER + 6], &reply[HEADER + 28..HEADER + 32]), (&GUEST_MAC[..], &[10, 9, 0, 1][..]));
        let host_mac = reply[HEADER + 6..HEADER + 12].to_vec();
        let socket = std::net::UdpSocket::bind("10.9.0.1:7777").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        r.send(0, &udp(&host_mac, b"hello, host"));
        let mut got = [0; 100];
        let (n, from) = socket.recv_from(&mut got).unwrap();
        assert_eq!((&got[..n], from.to_string().as_str()), (&b"hello, host"[..], "10.9.0.2:7777"));
        socket.send_to(b"hello, guest", from).unwrap();
        let reply = next(&mut r, &|f| f.ends_with(b"hello, guest"));
        assert_eq!(reply[0] & 1, 1, "its checksum is left to us, as was negotiated");
        // A header that makes no sense is refused by the host and does no harm.
        r.driver.mem.write(TX, &[0xff; HEADER]).unwrap();
        r.driver.post(1, &[(TX, 80, false)]);
        r.driver.kick(r.net.as_mut(), 1).unwrap();
        assert_eq!(r.driver.used(1).len(), 1);
        r.send(0, &udp(&host_mac, b"still there"));
        assert_eq!(socket.recv(&mut got).unwrap(), 11);
        // The interface goes away while the guest runs.
        ip("link delete tap0");
        for _ in 0..1_000_000 {
            r.poll();
            if r.status() == 0 {
                break;
            }
        }
        assert_eq!((r.status(), r.poll()), (0, 0));
    });
}

#[test]
fn a_tap_has_several_queues() {
    in_a_network_of_its_own(|| {
        ip("tuntap add dev many mode tap multi_queue");
        ip("tuntap add dev single mode tap");
        let says = |text: &str| format!("{:#}", build(text).err().expect("it was built"));
        assert!(says("tap=single,queues=2").contains("`ip tuntap add dev single mode tap multi_queue` makes one"));
        assert!(says("tap=lo").contains("there is an interface of that name that is no tap"), "{}", says("tap=lo"));
        let single = build("tap=single").unwrap();
        assert!(says("tap=single").contains("another program has it open"));
        drop(single);
        drop(build("tap=many").unwrap());
        let mut r = Rig::new("tap=many,queues=4", ALL);
        assert_eq!((r.driver.io.queues.len(), &r.net.config()[8..10]), (9, &[4, 0][..]));
        let ack = DATA + 0x30_0000;
        let mut command = |bytes: &[u8]| {
            r.driver.mem.write(TX, bytes).unwrap();
            r.driver.mem.write(ack, &[0xee]).unwrap();
            r.driver.post(8, &[(TX, bytes.len() as u32, false), (ack, 1, true)]);
            r.driver.kick(r.net.as_mut(), 8).unwrap();
            r.driver.mem.read::<1>(ack).unwrap()[0]
        };
        let set_pairs = |n: u16| [&[4, 0], &n.to_le_bytes()[..]].concat();
        for (n, answer) in [(4, 0), (0, 1), (5, 1), (2, 0), (1, 0), (3, 0)] {
            assert_eq!(command(&set_pairs(n)), answer, "{n} pairs");
        }
        let offloads = |bits: u64| [&[5, 0], &bits.to_le_bytes()[..]].concat();
        assert_eq!(command(&offloads(0)), 0);
        assert_eq!(command(&offloads(guest_bits() & !(3 << 54))), 0);
        assert_eq!(command(&offloads(1)), 1, "that is not about frames received");
        for wrong in [&[][..], &[4], &[4, 0, 1], &[4, 1, 1, 0], &[0, 0, 1], &[9, 9, 9]] {
            assert_eq!(command(wrong), 1, "{wrong:?}");
        }
        r.driver.post(8, &[(TX, 4, false)]);
        assert!(r.driver.kick(r.net.as_mut(), 8).is_err(), "no room for an answer");
        r.net.quiesce(&mut r.driver.io).unwrap();
        r.net.reset();
    });
}

/// A queue that the driver does not use must be given no frames by the host: nobody would read them.
#[test]
fn unused_queues_get_no_frames() {
    in_a_network_of_its_own(|| {
        let mut r = Rig::new("tap=tap0,queues=2", ALL);
        ip("address add 10.9.0.1/24 dev tap0");
        ip("neighbour add 10.9.0.2 lladdr 52:54:00:01:02:03 dev tap0");
        r.give(0, 1, 2048);
        r.give(1, 1, 2048);
        // Each port is a flow, and the host spreads flows over the queues.
        let spread = |r: &mut Rig| {
            let sockets: Vec<_> = (0..25).map(|_| std::net::UdpSocket::bind("10.9.0.1:0").unwrap()).collect();
            for (port, socket) in sockets.iter().enumerate() {
                socket.send_to(b"spread me", ("10.9.0.2", 2000 + port as u16)).unwrap();
            }
            let mut got = [0, 0];
            let mut first = r.buffers - 2;
            for _ in 0..1_000_000 {
                r.poll();
                for pair in 0..2 {
                    // The one buffer that the pair has at any time.
                    let n = r.received(pair, if pair == 0 { first } else { first + 1 });
                    if let Some(bytes) = n.first() {
                        got[pair] += usize::from(bytes.ends_with(b"spread me"));
                        r.buffers = first + pair as u64;
                        r.give(pair, 1, 2048);
                        r.buffers = first + 2;
                    }
                }
                first = r.buffers - 2;
                if got[0] + got[1] == 25 {
                    break;
                }
            }
            got
        };
        assert_eq!(spread(&mut r), [25, 0]);
        let ack = DATA + 0x30_0000;
        r.driver.mem.write(TX, &[4, 0, 2, 0]).unwrap();
        r.driver.post(4, &[(TX, 4, false), (ack, 1, true)]);
        r.driver.kick(r.net.as_mut(), 4).unwrap();
        let got = spread(&mut r);
        assert!(got[0] > 0 && got[1] > 0 && got[0] + got[1] == 25, "{got:?}");
    });
}

#[test]
fn a_descriptor_is_copied_not_taken() {
    let (ours, _theirs): (UnixDatagram, UnixDatagram) = UnixDatagram::pair().unwrap();
    let ours: OwnedFd = ours.into();
    drop(build(&format!("fd={}", ours.as_raw_fd())).unwrap());
    assert_eq!(sys::socket::kind(ours.as_fd()).unwrap(), libc::SOCK_DGRAM);
}
