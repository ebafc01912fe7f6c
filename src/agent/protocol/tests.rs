use super::*;
use proptest::prelude::*;

/// Frames with payloads of their own, to be borrowed from.
#[derive(Debug, Clone)]
enum Any {
    Guest(u8, Vec<u8>, u32, bool),
    Host(u8, Vec<u8>, u64, bool, Exit),
}

fn stream(which: bool) -> Stream {
    if which { Stream::Out } else { Stream::Err }
}

fn to_guest(which: u8, data: &[u8], n: u32, flag: bool) -> ToGuest<'_> {
    match which % 8 {
        0 => ToGuest::Job(data),
        1 => ToGuest::JobEnd,
        2 => ToGuest::Stdin(data),
        3 => ToGuest::StdinEnd,
        4 => ToGuest::Resize { columns: n as u16, rows: (n >> 16) as u16 },
        5 => ToGuest::Signal(n as u8 % 64 + 1),
        6 => ToGuest::Credit(stream(flag), n),
        _ => ToGuest::Close(stream(flag)),
    }
}

fn to_host(which: u8, data: &[u8], n: u64, flag: bool, exit: Exit) -> ToHost<'_> {
    let (release, vmcoreinfo) = data.split_at(data.len() / 3);
    match which % 10 {
        0 => ToHost::Hello { version: n as u32, uptime_ns: n, release, vmcoreinfo },
        1 => ToHost::Started { uptime_ns: n },
        2 => ToHost::Data(stream(flag), data),
        3 => ToHost::End(stream(flag)),
        4 => ToHost::StdinClosed,
        5 => ToHost::Credit(n as u32),
        6 => ToHost::Exit(exit),
        7 => ToHost::NotFound(data),
        8 => ToHost::NotRunnable(data),
        _ => ToHost::Failed(data),
    }
}

prop_compose! {
    fn exit()(signal in any::<bool>(), value in any::<u8>(), uptime_ns: u64, totals: [u64; 2], seal: u64) -> Exit {
        let ending = if signal { Ending::Signal(value % 64 + 1) } else { Ending::Code(value) };
        Exit { ending, uptime_ns, totals, seal }
    }
}

fn any_frame() -> impl Strategy<Value = Any> {
    let data = || prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (any::<u8>(), data(), any::<u32>(), any::<bool>()).prop_map(|(w, d, n, f)| Any::Guest(w, d, n, f)),
        (any::<u8>(), data(), any::<u64>(), any::<bool>(), exit()).prop_map(|(w, d, n, f, e)| Any::Host(w, d, n, f, e)),
    ]
}

proptest! {
    /// Whatever pieces the bytes come in.
    #[test]
    fn frames_come_back(frames in prop::collection::vec(any_frame(), 1..30), piece in 1usize..500) {
        let mut bytes = Vec::new();
        for frame in &frames {
            match frame {
                Any::Guest(w, d, n, f) => to_guest(*w, d, *n, *f).put(&mut bytes),
                Any::Host(w, d, n, f, e) => to_host(*w, d, *n, *f, *e).put(&mut bytes),
            }
        }
        let mut incoming = Incoming::new();
        let mut expected = frames.iter();
        for part in bytes.chunks(piece) {
            prop_assert_eq!(incoming.fill(part).unwrap(), part.len());
            while let Some((kind, payload)) = incoming.next().unwrap() {
                match expected.next().unwrap() {
                    Any::Guest(w, d, n, f) => prop_assert_eq!(ToGuest::read(kind, payload), Ok(to_guest(*w, d, *n, *f))),
                    Any::Host(w, d, n, f, e) => prop_assert_eq!(ToHost::read(kind, payload), Ok(to_host(*w, d, *n, *f, *e))),
                }
            }
        }
        prop_assert!(expected.next().is_none());
    }

    #[test]
    fn anything_is_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..2000), piece in 1usize..300) {
        let mut incoming = Incoming::new();
        'all: for part in bytes.chunks(piece) {
            incoming.fill(part).unwrap();
            loop {
                match incoming.next() {
                    Ok(None) => break,
                    Ok(Some((kind, payload))) => {
                        let _ = (ToGuest::read(kind, payload), ToHost::read(kind, payload));
                    }
                    Err(_) => break 'all,
                }
            }
        }
    }

    #[test]
    fn a_frame_has_its_length(which in 1u8..=0x8c, payload in prop::collection::vec(any::<u8>(), 0..60), more in 1usize..9) {
        // What has a fixed length is refused one byte longer or shorter.
        let fixed = [(4, 0), (2, 0), (5, 4), (6, 1), (7, 5), (8, 1), (0x82, 8), (0x85, 0), (0x86, 0), (0x87, 0), (0x88, 4), (0x89, 34)];
        if let Some((_, len)) = fixed.iter().find(|(kind, _)| *kind == which) {
            let mut payload = payload;
            payload.resize(len + more, 1);
            prop_assert!(ToGuest::read(which, &payload).is_err() && ToHost::read(which, &payload).is_err());
            payload.truncate(len.saturating_sub(more));
            prop_assert!(*len == 0 || ToGuest::read(which, &payload).is_err() && ToHost::read(which, &payload).is_err());
        }
    }
}

#[test]
fn the_longest_frame_fits_and_a_longer_one_is_refused() {
    let mut bytes = Vec::new();
    ToHost::Data(Stream::Out, &vec![3; MAX_PAYLOAD]).put(&mut bytes);
    let (mut incoming, mut rest) = (Incoming::new(), &bytes[..]);
    while incoming.next().unwrap().is_none() {
        assert!(incoming.fill(&mut rest).unwrap() > 0, "no room for a frame of the longest length");
    }
    bytes[1] = 1;
    let mut incoming = Incoming::new();
    incoming.fill(&bytes[..]).unwrap();
    assert!(incoming.next().is_err());
}

#[test]
fn outgoing_never_grows() {
    let mut outgoing = Outgoing::new();
    let mut sent = 0;
    while outgoing.room() > 0 {
        sent += outgoing.put_from(data_kind(Stream::Out), usize::MAX, std::io::repeat(7)).unwrap();
    }
    assert!(sent >= MAX_PAYLOAD);
    let before = outgoing.put_from(data_kind(Stream::Err), usize::MAX, std::io::repeat(7)).unwrap();
    assert_eq!(before, 0);
    outgoing.put(|to| ToHost::Failed(&[b'x'; MAX_TEXT]).put(to));
    let mut out = Vec::new();
    outgoing.flush(&mut out).unwrap();
    assert!(outgoing.is_empty());
    let mut incoming = Incoming::new();
    let (mut rest, mut seen) = (&out[..], 0);
    loop {
        match incoming.next().unwrap() {
            Some((kind, payload)) => match ToHost::read(kind, payload).unwrap() {
                ToHost::Data(Stream::Out, data) => seen += data.len(),
                ToHost::Failed(text) => break assert_eq!(text.len(), MAX_TEXT),
                other => panic!("{other:?}"),
            },
            None => assert!(incoming.fill(&mut rest).unwrap() > 0),
        }
    }
    assert_eq!(seen, sent);
}

#[test]
fn a_slow_channel_loses_nothing() {
    /// Takes three bytes, then has to be asked again.
    struct Slow(Vec<u8>, bool);
    impl std::io::Write for Slow {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(std::io::ErrorKind::WouldBlock.into());
            }
            self.0.extend(&data[..data.len().min(3)]);
            Ok(data.len().min(3))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (mut slow, mut outgoing, mut expected) = (Slow(Vec::new(), false), Outgoing::new(), Vec::new());
    for i in 0..200u8 {
        let frame = ToHost::Data(Stream::Err, &[i; 5]);
        frame.put(&mut expected);
        outgoing.put(|to| frame.put(to));
        outgoing.flush(&mut slow).unwrap();
    }
    while !outgoing.is_empty() {
        outgoing.flush(&mut slow).unwrap();
    }
    assert_eq!(slow.0, expected);
}
