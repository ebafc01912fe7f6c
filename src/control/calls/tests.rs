use super::*;
use crate::control::picture::png;
use crate::control::vm::Vm;
use crate::host::display::Entrance;
use crate::host::http::{Limits, Listener, Server, call as http_call};
use crate::host::screen::{Brush, Cursor, Picture, Rank, Screen, Size, Source};
use crate::host::seat::Seat;
use proptest::prelude::*;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Weak, mpsc};

struct Nobody;
impl Source for Nobody {}

/// A socket with the calls behind it, and no machine.
pub struct Rig {
    path: PathBuf,
    asked: mpsc::Receiver<Wish>,
    pub brush: Brush,
    pub seat: Arc<Seat>,
    ended: Arc<EventFd>,
    _server: Server,
    _dir: tempfile::TempDir,
}

pub fn rig() -> Rig {
    rig_with(&[])
}

fn rig_with(entrances: &[Entrance]) -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sock");
    let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
    let (ask, asked) = mpsc::channel();
    let (screen, seat) = (Screen::new(), Seat::new());
    let brush = screen.attach(Rank::Early, Weak::<Nobody>::new());
    let notify = Arc::new(move |wish| drop(ask.send(wish)));
    let front = Front { screen, seat: seat.clone(), notify, runs: Arc::new(|| true), entrances: entrances.into() };
    let ended = Arc::new(crate::sys::eventfd().unwrap());
    let desk = Desk::new(About::example("a"), front, ended.clone());
    let handler = move |request: &Request, from: &Stream| answer(&desk, request, from);
    let limits = Limits { body: 2 << 20, ..Limits::default() };
    let server = Server::start("test", listener, limits, Arc::new(handler)).unwrap();
    Rig { path, asked, brush, seat, ended, _server: server, _dir: dir }
}

impl Rig {
    pub fn call(&self, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let reply = http_call(UnixStream::connect(&self.path).unwrap(), method, target, body).unwrap();
        (reply.status, reply.body)
    }

    pub fn refused(&self, method: &str, target: &str, body: &[u8]) -> (u16, String) {
        let (status, body) = self.call(method, target, body);
        let why: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status, why["error"].as_str().unwrap().to_string())
    }

    pub fn paint(&self, pixel: u32) -> Vec<u8> {
        let size = Size { width: 4, height: 2 };
        self.brush.show(size);
        self.brush.draw(size.whole(), |_, row| row.fill(pixel));
        png(&Picture { size, pixels: vec![pixel; 8] }).unwrap()
    }
}

#[test]
fn it_tells_what_can_be_asked_and_of_what() {
    let rig = rig();
    let (status, body) = rig.call("GET", "/", b"");
    let list: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, list["calls"].as_array().unwrap().len()), (200, CALLS.len()));
    let vm: Vm = serde_json::from_slice(&rig.call("GET", "/v1/vm", b"").1).unwrap();
    assert_eq!((vm.name.as_str(), vm.pid, vm.screen), ("a", std::process::id(), None));
    rig.paint(1);
    let vm: Vm = serde_json::from_slice(&rig.call("GET", "/v1/vm", b"").1).unwrap();
    assert_eq!(vm.screen.map(|s| (s.width, s.height)), Some((4, 2)));
}

#[test]
fn what_is_no_call_is_refused() {
    let rig = rig();
    assert_eq!(rig.refused("GET", "/v1/none", b"").0, 404);
    assert_eq!(rig.refused("GET", "/v1/vm/", b"").0, 404);
    let (status, why) = rig.refused("GET", "/v1/quit", b"");
    assert_eq!((status, why.contains("POST")), (405, true));
    assert_eq!(rig.refused("POST", "/v1/quit", b"{\"now\": true}").0, 400);
    assert!(rig.asked.try_recv().is_err());
}

#[test]
fn links_are_made_for_displays_that_want_one() {
    let made = |text: &'static str| Entrance { link: Some(Arc::new(move || Ok(text.to_string()))), address: None };
    let rig = rig_with(&[made("a"), Entrance::default(), made("b")]);
    let (status, body) = rig.call("POST", "/v1/link", b"");
    assert_eq!((status, &body[..]), (200, &b"{\"links\":[\"a\",\"b\"]}\n"[..]));
    assert_eq!(rig.refused("POST", "/v1/link", b"[]").0, 400);
    let (status, why) = self::rig().refused("POST", "/v1/link", b"");
    assert_eq!((status, why.contains("--display web")), (409, true));
}

#[test]
fn the_machine_is_asked_when_the_answer_is_on_its_way() {
    let rig = rig();
    assert_eq!(rig.call("POST", "/v1/power-button", b"").0, 200);
    assert_eq!(rig.asked.recv().unwrap(), Wish::PowerButton);
    assert_eq!(rig.call("POST", "/v1/quit", b"{}").0, 200);
    assert_eq!(rig.asked.recv().unwrap(), Wish::UserQuit);
}

#[test]
fn a_guest_that_does_not_shut_down_is_ended() {
    let rig = rig();
    assert_eq!(rig.refused("POST", "/v1/shutdown", b"").0, 400);
    assert_eq!(rig.call("POST", "/v1/shutdown", b"{\"timeout\": 0}").0, 200);
    assert_eq!(rig.asked.recv().unwrap(), Wish::PowerButton);
    assert_eq!(rig.asked.recv().unwrap(), Wish::UserQuit);
    rig.ended.write(1).unwrap();
    assert_eq!(rig.call("POST", "/v1/shutdown", b"{\"timeout\": 4000000000}").0, 200);
    assert_eq!(rig.asked.recv().unwrap(), Wish::PowerButton);
    let Rig { asked, _server, .. } = rig;
    drop(_server);
    assert!(asked.recv().is_err(), "it had ended: nothing more is asked");
}

#[test]
fn the_screen_is_a_png() {
    let rig = rig();
    assert_eq!(rig.refused("GET", "/v1/screen.png", b"").0, 409);
    let expected = rig.paint(0x123456);
    assert_eq!(rig.call("GET", "/v1/screen.png", b""), (200, expected));
    let cursor = Cursor { size: Size { width: 1, height: 1 }, hot: (0, 0), pixels: vec![0xffff_ffff] };
    rig.brush.cursor(Some(cursor));
    rig.brush.cursor_at((3, 1));
    let mut pixels = vec![0x12_3456; 8];
    pixels[7] = 0xff_ffff;
    let expected = png(&Picture { size: Size { width: 4, height: 2 }, pixels }).unwrap();
    assert_eq!(rig.call("GET", "/v1/screen.png?pointer=on", b""), (200, expected));
    assert_eq!(rig.refused("GET", "/v1/screen.png?pointer", b"").0, 400);
}

#[test]
fn the_screen_is_waited_for() {
    let rig = rig();
    let (first, second) = (rig.paint(5), rig.paint(6));
    assert_eq!(rig.call("POST", "/v1/await-screen", &second), (200, second.clone()));
    let (status, why) = rig.refused("POST", "/v1/await-screen?timeout=0", &first);
    assert_eq!((status, why.contains("100.00 percent")), (504, true), "{why}");
    assert_eq!(rig.call("POST", "/v1/await-screen?timeout=0&tolerance=100", &first), (200, second));
    for query in ["tolerance=101", "tolerance=", "timeout=-1", "timeout=NaN", "timeout=1e300", "colour=red", "timeout"]
    {
        assert_eq!(rig.refused("POST", &format!("/v1/await-screen?{query}"), &first).0, 400, "{query}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn noise_is_refused_by_every_call(body in prop::collection::vec(any::<u8>(), 1..300), query in "[ -~&&[^ ]]{0,40}") {
        let rig = rig();
        rig.paint(1);
        for call in CALLS.iter().filter(|call| call.method == "POST") {
            let (status, why) = rig.refused("POST", &format!("{}?{query}", call.path), &body);
            prop_assert!((400..500).contains(&status) && !why.is_empty(), "{}: {status}", call.path);
        }
        prop_assert_eq!(rig.call("GET", "/v1/vm", b"").0, 200);
    }
}
