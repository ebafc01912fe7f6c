//! What a guest may do to the channel, and what it never gets for it.

use super::super::super::protocol::{Ending, Exit, HEADER, Incoming, Stream, ToHost, VERSION, WINDOW, data_kind, seal};
use super::super::order::{Last, Order};
use super::*;
use proptest::prelude::*;

const KEY: Key = [9; 16];

/// What a session of a command that writes and exits with `code` says.
fn recorded(out: &[u8], err: &[u8], code: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut exit =
        Exit { ending: Ending::Code(code), uptime_ns: 7, totals: [out.len() as u64, err.len() as u64], seal: 0 };
    exit.seal = seal(&KEY, &exit.sealed_part());
    let frames = [
        ToHost::Hello { version: VERSION, uptime_ns: 1, release: b"6.1", vmcoreinfo: b"1 2" },
        ToHost::Started { uptime_ns: 2 },
        ToHost::Data(Stream::Out, out),
        ToHost::Credit(0),
        ToHost::Data(Stream::Err, err),
        ToHost::StdinClosed,
        ToHost::End(Stream::Out),
        ToHost::End(Stream::Err),
        ToHost::Exit(exit),
    ];
    frames.iter().for_each(|f| f.put(&mut bytes));
    bytes
}

/// What the host makes of these bytes: the last word, or why there is none.
fn judge(bytes: &[u8]) -> Result<Last, String> {
    let (mut incoming, mut order, mut rest) = (Incoming::new(), Order::new(KEY), bytes);
    loop {
        while let Some((kind, payload)) = incoming.next().map_err(|e| e.to_string())? {
            let frame = ToHost::read(kind, payload).map_err(|e| e.to_string())?;
            if let Some(last) = order.accept(&frame)? {
                return Ok(last);
            }
        }
        if incoming.fill(&mut rest).unwrap() == 0 {
            return Err(order.place().into());
        }
    }
}

#[test]
fn the_record_itself_is_believed() {
    assert_eq!(judge(&recorded(b"out", b"err", 42)), Ok(Last::Ended(Ending::Code(42))));
    assert_eq!(judge(&recorded(b"", b"", 0)), Ok(Last::Ended(Ending::Code(0))));
}

#[test]
fn a_channel_cut_anywhere_is_lost() {
    let whole = recorded(b"output", b"errors", 0);
    for cut in 0..whole.len() {
        assert!(judge(&whole[..cut]).is_err(), "cut after {cut} bytes");
    }
}

/// Each cut through both real sides: the host hears so many bytes of the agent, and then nothing.
#[test]
fn a_session_cut_anywhere_is_lost_never_0() {
    // Whether the agent sees that the ending command closed its input, a frame of a header, depends on the moment.
    let total = cut_after(usize::MAX).1 - HEADER;
    let mut at = 0;
    while at < total {
        let (end, _) = cut_after(at);
        assert!(matches!(&end, End::Lost(why) if why.contains("closed")), "cut after {at} of {total} bytes: {end:?}");
        at += 1 + total / 40;
    }
    assert!(matches!(cut_after(total - 1).0, End::Lost(_)));
}

fn cut_after(bytes: usize) -> (End, usize) {
    let (host, mut middle) = UnixStream::pair().unwrap();
    let (mut far, guest) = UnixStream::pair().unwrap();
    let (tell, end) = channel();
    let (streams, _, _) = collected(None);
    let job = sh("echo output; echo errors >&2; exit 0");
    let _session = Session::start(host, &job, streams, Box::new(move |end| tell.send(end).unwrap())).unwrap();
    let agent = agent(guest);
    let (mut back, mut forth) = (middle.try_clone().unwrap(), far.try_clone().unwrap());
    let to_guest = thread::spawn(move || std::io::copy(&mut back, &mut forth));
    let mut passed = 0;
    let mut buf = [0; 1 << 16];
    while passed < bytes {
        let n = far.read(&mut buf[..(bytes - passed).min(1 << 16)]).unwrap_or(0);
        if n == 0 || middle.write_all(&buf[..n]).is_err() {
            break;
        }
        passed += n;
    }
    let _ = (middle.shutdown(std::net::Shutdown::Both), far.shutdown(std::net::Shutdown::Both));
    let end = end.recv().unwrap();
    agent.join().unwrap();
    let _ = to_guest.join().unwrap();
    (end, passed)
}

#[test]
fn an_agent_of_another_version_is_named() {
    let mut bytes = Vec::new();
    ToHost::Hello { version: VERSION + 1, uptime_ns: 0, release: b"", vmcoreinfo: b"" }.put(&mut bytes);
    assert!(judge(&bytes).unwrap_err().contains("version"));
}

/// The command's own output may be a forgery of the whole rest of a session: in data it stays data, and with the key of
/// another session it is not believed anywhere.
#[test]
fn a_forged_end_is_not_believed() {
    let mut forged = recorded(b"", b"", 0);
    assert!(matches!(judge(&recorded(&forged, &forged, 42)), Ok(Last::Ended(Ending::Code(42)))));
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert!(judge(&forged).unwrap_err().contains("somebody else"));
}

#[test]
fn output_that_was_lost_or_doubled_is_noticed() {
    let (mut honest, mut short) = (Vec::new(), Vec::new());
    ToHost::Data(Stream::Out, b"abc").put(&mut honest);
    ToHost::Data(Stream::Out, b"ab").put(&mut short);
    let whole = recorded(b"abc", b"", 0);
    let at = whole.windows(honest.len()).position(|w| w == honest).unwrap();
    let replaced = |with: &[u8]| [&whole[..at], with, &whole[at + honest.len()..]].concat();
    assert!(judge(&replaced(&honest)).is_ok());
    for with in [vec![], short, [honest.clone(), honest.clone()].concat()] {
        assert!(judge(&replaced(&with)).unwrap_err().contains("lost"));
    }
}

#[test]
fn more_than_a_window_is_refused() {
    let mut order = Order::new(KEY);
    let accept = |order: &mut Order, n: u32| order.accept(&ToHost::Data(Stream::Out, &vec![0; n as usize]));
    order.accept(&ToHost::Hello { version: VERSION, uptime_ns: 0, release: b"", vmcoreinfo: b"" }).unwrap();
    order.accept(&ToHost::Started { uptime_ns: 0 }).unwrap();
    accept(&mut order, WINDOW).unwrap();
    assert!(accept(&mut order, 1).is_err());
    order.gave_credit(Stream::Out, 1);
    accept(&mut order, 1).unwrap();
    assert!(order.accept(&ToHost::Credit(1)).is_err(), "credit for nothing");
}

fn frames() -> Vec<ToHost<'static>> {
    let exit = Exit { ending: Ending::Code(0), uptime_ns: 0, totals: [1, 0], seal: 0 };
    let sealed = Exit { seal: seal(&KEY, &exit.sealed_part()), ..exit };
    vec![
        ToHost::Hello { version: VERSION, uptime_ns: 0, release: b"", vmcoreinfo: b"" },
        ToHost::Started { uptime_ns: 0 },
        ToHost::Data(Stream::Out, b"x"),
        ToHost::End(Stream::Out),
        ToHost::End(Stream::Err),
        ToHost::StdinClosed,
        ToHost::Credit(0),
        ToHost::NotFound(b""),
        ToHost::NotRunnable(b""),
        ToHost::Exit(sealed),
    ]
}

proptest! {
    /// The true status was 42. Whatever bytes are changed, it is 42 or lost; no other status, 0 least of all.
    #[test]
    fn changed_bytes_never_change_the_status(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        out in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = recorded(&out, b"err", 42);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(Last::Ended(ending)) = judge(&bytes) {
            prop_assert_eq!(ending, Ending::Code(42));
        }
    }

    #[test]
    fn removed_and_repeated_bytes_never_change_the_status(
        from in any::<prop::sample::Index>(), len in 1usize..80, to in any::<prop::sample::Index>(),
    ) {
        let mut bytes = recorded(b"some output", b"some errors", 42);
        let from = from.index(bytes.len());
        let piece: Vec<u8> = bytes.drain(from..bytes.len().min(from + len)).collect();
        if let Ok(Last::Ended(ending)) = judge(&bytes) {
            prop_assert_eq!(ending, Ending::Code(42));
        }
        let to = to.index(bytes.len() + 1);
        bytes.splice(to..to, piece);
        if let Ok(Last::Ended(ending)) = judge(&bytes) {
            prop_assert_eq!(ending, Ending::Code(42));
        }
    }

    /// Success in any order but the one of the protocol is none: hello, start, the one byte, both ends, exit.
    #[test]
    fn only_the_right_order_succeeds(picks in prop::collection::vec(0usize..10, 0..14)) {
        let all = frames();
        let mut order = Order::new(KEY);
        let mut accepted = Vec::new();
        for pick in picks {
            match order.accept(&all[pick]) {
                Err(_) => break,
                Ok(None) => accepted.push(pick),
                Ok(Some(Last::Ended(_))) => {
                    let place = |frame| accepted.iter().position(|p| *p == frame);
                    let places = [place(0), place(1), place(2), place(3)];
                    prop_assert!(places.is_sorted() && places.iter().all(Option::is_some) && place(4).is_some());
                    prop_assert_eq!(accepted.iter().filter(|p| **p == 2).count(), 1);
                    prop_assert!(order.accept(&all[6]).is_err(), "nothing comes after the last word");
                    break;
                }
                Ok(Some(_)) => {
                    prop_assert_eq!(&accepted[..], &[0]);
                    break;
                }
            }
        }
    }

    #[test]
    fn anything_is_judged_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(!matches!(judge(&bytes), Ok(Last::Ended(_))));
    }
}

#[test]
fn texts_of_the_guest_are_one_line() {
    let mut bytes = Vec::new();
    ToHost::Failed(b"a\x1b[2Jb\nc\n").put(&mut bytes);
    assert_eq!(judge(&bytes), Ok(Last::Failed("a [2Jb c".into())));
    assert_eq!(data_kind(Stream::Out), 0x83);
}
