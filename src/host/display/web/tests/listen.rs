//! Those who listen: what comes over the second WebSocket.

use super::super::listen;
use super::super::socket::Socket;
use super::carrier::{self, join};
use super::*;
use crate::host::http::Stream;
use crate::host::sound::{FRAME, Format, Hub, Null, RATE, Sample, Sink};
use crate::sys::eventfd;
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

const FORMAT: Format = Format { sample: Sample::S16, channels: 2, rate: RATE };
/// 20 ms.
const PIECE: usize = RATE as usize / 50 * FRAME;
/// What may be under way to one who does not answer: half a second, and what waited when that was not yet full.
const MOST: usize = (RATE as usize / 2 + RATE as usize / 5) * FRAME;

/// A card that plays.
fn playing(hub: &Arc<Hub>) -> impl Sink + use<> {
    let mut card = hub.card(Box::new(Null));
    card.start(FORMAT);
    card
}

/// One who listens, and the thread that serves them; it says how that ended.
fn listener(hub: &Arc<Hub>) -> (UnixStream, JoinHandle<Result<()>>) {
    let (here, there) = UnixStream::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    let (stop, hub) = (Arc::new(eventfd().unwrap()), hub.clone());
    let serve = move || {
        let mut socket = Socket::new(Arc::new(Stream::Unix(there)), Vec::new(), true, stop.clone());
        listen::serve(&mut socket, &hub, &stop)
    };
    (here, std::thread::spawn(serve))
}

fn page(stream: UnixStream) -> WebSocket<UnixStream> {
    WebSocket::from_raw_socket(stream, Role::Client, None)
}

fn answer(page: &mut WebSocket<UnixStream>, had: usize) {
    page.send(Message::binary(((had / FRAME) as u32).to_le_bytes().to_vec())).unwrap();
}

#[test]
fn what_is_played_arrives_in_order() {
    let hub = Arc::new(Hub::default());
    let mut card = playing(&hub);
    let (here, _served) = listener(&hub);
    let (mut page, mut had) = (page(here), 0);
    // It may not listen yet.
    page.get_ref().set_nonblocking(true).unwrap();
    while page.read().map(|message| had += message.len()).is_err() {
        card.write(&[1; PIECE]);
    }
    page.get_ref().set_nonblocking(false).unwrap();
    answer(&mut page, had);
    // A second and a half, which is more than may be under way at a time.
    let mut heard: Vec<u8> = Vec::new();
    for n in 3..78 {
        card.write(&[n; PIECE]);
        while heard.len() < (usize::from(n) - 2) * PIECE {
            let Message::Binary(sound) = page.read().unwrap() else { panic!("no sound") };
            had += sound.len();
            // What was played before may not all have come yet.
            heard.extend(sound.iter().filter(|byte| **byte > 1));
            answer(&mut page, had);
        }
    }
    assert!(heard == (3..78).flat_map(|n| vec![n; PIECE]).collect::<Vec<_>>());
}

#[test]
fn who_does_not_answer_or_read_loses_the_oldest_and_nobody_else_does() {
    let hub = Arc::new(Hub::default());
    let mut card = playing(&hub);
    let (silent, _served) = listener(&hub);
    let (_deaf, _served_too) = listener(&hub);
    let mut page = page(silent);
    page.get_ref().set_nonblocking(true).unwrap();
    let quick = hub.listen().unwrap();
    let mut had = 0;
    // Until it has had what it may, and then ten seconds more.
    let mut late = 0;
    while late < 500 {
        card.write(&[1; PIECE]);
        assert_eq!(quick.sound().len(), PIECE, "who listens well loses something");
        match page.read() {
            Ok(message) => had += message.len(),
            Err(_) if had >= MOST - RATE as usize / 5 * FRAME => late += 1,
            Err(_) => std::thread::yield_now(),
        }
        assert!(had < MOST, "{had} bytes are under way");
    }
    // What comes after an answer is what was played last.
    page.get_ref().set_nonblocking(false).unwrap();
    (0..10).for_each(|_| card.write(&[2; PIECE]));
    answer(&mut page, had);
    let Message::Binary(sound) = page.read().unwrap() else { panic!("no sound") };
    assert!(sound.len() == 10 * PIECE && sound.iter().all(|byte| *byte == 2), "{} bytes", sound.len());
}

#[test]
fn answers_that_cannot_be_end_it() {
    let hub = Arc::new(Hub::default());
    for wrong in [&[0, 0, 0, 0][..], &[1, 0, 0, 0], &[255; 4], &[1], &[1, 0, 0, 0, 1]] {
        let (here, served) = listener(&hub);
        let mut page = page(here);
        page.send(Message::binary(wrong.to_vec())).unwrap();
        let why = served.join().unwrap().unwrap_err().to_string();
        assert!(why.contains("answer of") || why.contains("was not sent"), "{why}");
    }
    let (here, served) = listener(&hub);
    page(here).send(Message::text("louder")).unwrap();
    assert_eq!(format!("{:#}", served.join().unwrap().unwrap_err()), "read: a text message");
}

#[test]
fn a_listener_that_leaves_is_gone() {
    let hub = Arc::new(Hub::default());
    let mut card = playing(&hub);
    let (here, served) = listener(&hub);
    let mut page = page(here);
    page.close(None).unwrap();
    served.join().unwrap().unwrap();
    // Without a word, and with its ways full.
    let (here, served) = listener(&hub);
    (0..100).for_each(|_| card.write(&[1; PIECE]));
    drop(here);
    let _ = served.join().unwrap();
}

fn room_with(card: bool) -> (Room, Option<impl Sink>) {
    let room = room();
    let card = card.then(|| playing(&room.sound));
    (room, card)
}

#[test]
fn who_may_listen_is_who_may_look() {
    let (room, _card) = room_with(true);
    let web = Web::open(Place::default().0, &room, true).unwrap();
    let (address, token) = parts(&web);
    let upgrade = carrier::upgrade(&address);
    for fields in ["", &upgrade, "Cookie: kiln=0\r\n", &format!("Cookie: kiln-{}=\r\n{upgrade}", &address[10..])] {
        assert_eq!(status(&get(&address, "/sound", fields)), 403, "{fields}");
        assert_eq!(status(&get(&address, "/about", fields)), 403, "{fields}");
    }
    assert_eq!(status(&get(&address, &format!("/sound?token={token}"), &upgrade)), 403);
    let cookie = cookie(&get(&address, &format!("/?token={token}"), ""));
    assert_eq!(status(&get(&address, "/sound", &cookie)), 426);
    let evil = upgrade.replace(&address, "evil.example");
    assert_eq!(status(&get(&address, "/sound", &format!("{cookie}{evil}"))), 403);
    assert!(get(&address, "/about", &cookie).ends_with("{\"sound\":true}"));
    let _one = join(&address, "/sound", &cookie);
    for path in ["/sound.js", "/speaker.js"] {
        assert!(get(&address, path, &cookie).contains("Content-Type: text/javascript"));
    }
}

#[test]
fn without_a_card_or_when_that_is_said_there_is_no_sound() {
    for (card, sound) in [(false, true), (true, false)] {
        let (room, _card) = room_with(card);
        let web = Web::open(Place::default().0, &room, sound).unwrap();
        let (address, token) = parts(&web);
        let cookie = cookie(&get(&address, &format!("/?token={token}"), ""));
        assert!(get(&address, "/about", &cookie).ends_with("{\"sound\":false}"));
        assert_eq!(status(&get(&address, "/sound", &format!("{cookie}{}", carrier::upgrade(&address)))), 404);
    }
}

#[test]
fn places_to_listen_are_limited_and_none_of_those_to_look() {
    let (room, _card) = room_with(true);
    let web = Web::open(Place::default().0, &room, true).unwrap();
    let (address, token) = parts(&web);
    let cookie = cookie(&get(&address, &format!("/?token={token}"), ""));
    let mut all: Vec<_> = (0..16).map(|_| join(&address, "/sound", &cookie)).collect();
    assert_eq!(status(&get(&address, "/sound", &format!("{cookie}{}", carrier::upgrade(&address)))), 503);
    assert_eq!(status(&get(&address, "/alive", &cookie)), 204);
    let mut looks = carrier::browser(&address, &cookie);
    assert!(looks.read().is_ok());
    // Who listens is told of the end as well.
    let end = std::thread::spawn(move || drop(web));
    for listener in &mut all {
        loop {
            if let Message::Close(frame) = listener.read().unwrap() {
                assert_eq!(frame.map(|f| u16::from(f.code)), Some(4000));
                break;
            }
        }
    }
    drop((all, looks));
    end.join().unwrap();
}

proptest! {
    #[test]
    fn whatever_a_listener_sends_it_is_served_or_shown_out(frames in prop::collection::vec((0u8..16, any::<Vec<u8>>()), 0..12)) {
        let hub = Arc::new(Hub::default());
        let mut card = playing(&hub);
        let (here, served) = listener(&hub);
        for (opcode, payload) in frames {
            card.write(&[1; PIECE]);
            let payload = &payload[..payload.len().min(125)];
            // With the mask 0.
            let frame = [&[0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat();
            if (&here).write_all(&frame).is_err() {
                break;
            }
        }
        let _ = here.shutdown(Shutdown::Write);
        let _ = served.join().unwrap();
        let mut rest = Vec::new();
        let _ = (&here).read_to_end(&mut rest);
        prop_assert!(rest.len() < MOST + 4096);
    }
}
