//! The network card on a real tap, in a network namespace of its own.

use super::*;
use std::process::Command;

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
                for (pair, got) in got.iter_mut().enumerate() {
                    // The one buffer that the pair has at any time.
                    let n = r.received(pair, if pair == 0 { first } else { first + 1 });
                    if let Some(bytes) = n.first() {
                        *got += usize::from(bytes.ends_with(b"spread me"));
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
        // A driver that starts anew uses one pair, until it says otherwise.
        r.net.quiesce(&mut r.driver.io).unwrap();
        r.net.reset();
        r.net.start(&mut r.driver.io).unwrap();
        for pair in 0..2 {
            r.driver.kick(r.net.as_mut(), 2 * pair).unwrap();
        }
        assert_eq!(spread(&mut r), [25, 0]);
    });
}
