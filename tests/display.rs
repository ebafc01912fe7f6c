//! The screen, the keyboard and the pointer from outside: the real binary with a guest that draws (tests/display/guest.rs), looked at and typed
//! at by `kiln screenshot` and its like, by VNC clients, and by a browser. Pictures are compared in every pixel.

#[path = "display/browser.rs"]
mod browser;
#[path = "display/certificate.rs"]
mod certificate;
#[path = "display/clients.rs"]
mod clients;
#[path = "display/picture.rs"]
mod picture;
#[path = "support/rfb.rs"]
mod rfb;
mod support;
#[path = "display/veil.rs"]
mod veil;
#[path = "display/vm.rs"]
mod vm;

use browser::Browser;
use clients::{connect, press, shot, shows, vncdo};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{have_kvm, stderr};
use vm::{Shot, Vm};

/// What is there without `--gpu=size=`.
const SIZE: (u32, u32) = (1280, 800);
const NONE: &[&str] = &["--display", "none"];
const VNC: &[&str] = &["--display", "vnc=unix:vnc"];
/// The first windows of `--transport mmio` and their interrupts, for the guest.
const MMIO: &str = "transport=mmio mmio=0xf0000000:5,0xf0001000:10,0xf0002000:11";

#[test]
fn the_early_framebuffer_is_seen() {
    if !have_kvm("the_early_framebuffer_is_seen") {
        return;
    }
    for args in [&[][..], &["--transport", "mmio"]] {
        let vm = Vm::start(&[NONE, args].concat(), "early=3 idle");
        vm.screenshot().assert(SIZE, 3, "at first");
    }
    let vm = Vm::start(&["--display", "none", "--gpu=size=1024x600"], "early=4 idle");
    vm.screenshot().assert((1024, 600), 4, "in a size of its own");
}

#[test]
fn what_virtio_gpu_draws_is_seen() {
    if !have_kvm("what_virtio_gpu_draws_is_seen") {
        return;
    }
    let vm = Vm::start(&[NONE, &["--gpu=size=1920x1080"]].concat(), "gpu=5 cursor idle");
    vm.screenshot().assert((1920, 1080), 5, "over PCI");
    vm.kiln("screenshot", &["pointer.png", "--pointer"]);
    let shot = Shot::read(&vm.dir().join("pointer.png"));
    for ((x, y), is) in (0..shot.width * shot.height).map(|n| (n % shot.width, n / shot.width)).zip(&shot.pixels) {
        // The guest has put it there.
        let pointer = if x >= 100 && y >= 80 { picture::cursor(x - 100, y - 80) } else { 0 };
        let should = if pointer > 0 { pointer & 0xff_ffff } else { picture::pixel(5, x, y) };
        assert_eq!(*is, should, "with the pointer, at {x}, {y}");
    }
    let vm = Vm::start(&[NONE, &["--transport", "mmio"]].concat(), &format!("gpu=6 idle {MMIO}"));
    vm.screenshot().assert(SIZE, 6, "over MMIO");
    let mut vm = Vm::start(NONE, "early=7 gpu=8 idle rate=50 frames=11");
    vm.line("done");
    vm.screenshot().assert(SIZE, 19, "the driver's picture covers the early one, and the last is seen");
}

#[test]
fn what_is_typed_arrives_at_virtio_input() {
    if !have_kvm("what_is_typed_arrives_at_virtio_input") {
        return;
    }
    let mut vm = Vm::start(NONE, "gpu=1 input idle");
    vm.kiln("type", &["aB"]);
    // KEY_A; KEY_LEFTSHIFT around KEY_B. Type 1 is EV_KEY.
    vm.sequence(&[
        "input 0 1 30 1",
        "input 0 1 30 0",
        "input 0 1 42 1",
        "input 0 1 48 1",
        "input 0 1 48 0",
        "input 0 1 42 0",
    ]);
    vm.kiln("keys", &["ctrl-alt-f2"]);
    vm.sequence(&["input 0 1 29 1", "input 0 1 56 1", "input 0 1 60 1", "input 0 1 60 0"]);
    vm.kiln("click", &["640", "400"]);
    // EV_ABS: the middle of 0 to 32767, whichever way it is rounded; a pixel is 26 units wide.
    for axis in ["input 1 3 0 ", "input 1 3 1 "] {
        let line = vm.line(axis);
        let at: i32 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((at - 16384).abs() <= 42, "{line}");
    }
    // BTN_LEFT
    vm.sequence(&["input 1 1 272 1", "input 1 1 272 0"]);
}

#[test]
fn what_is_typed_arrives_at_ps2_where_nothing_else_listens() {
    if !have_kvm("what_is_typed_arrives_at_ps2_where_nothing_else_listens") {
        return;
    }
    let mut vm = Vm::start(NONE, "early=1 ps2 idle");
    vm.kiln("keys", &["shift-a", "right"]);
    // Set 1: shift, A, and both let go; an extended key.
    vm.sequence(&["ps2 key 2a", "ps2 key 1e", "ps2 key 9e", "ps2 key aa"]);
    vm.sequence(&["ps2 key e0", "ps2 key 4d", "ps2 key e0", "ps2 key cd"]);
    vm.kiln("click", &["100", "50"]);
    // The left button is bit 0 of a packet's first byte, in which bit 3 is always set.
    let pressed = |line: &str| u8::from_str_radix(line.rsplit(' ').next().unwrap(), 16).unwrap() & 9 == 9;
    while !pressed(&vm.line("ps2 aux")) {}
}

#[test]
fn a_vnc_client_sees_types_and_points() {
    if !have_kvm("a_vnc_client_sees_types_and_points") {
        return;
    }
    let mut vm = Vm::start(&["--display", "vnc"], "early=2 input idle");
    let server = vm.told("screen at vnc://").replace(':', "::");
    let picture = vm.dir().join("vnc.png");
    let output = vncdo(&server, &["--nocursor", "capture", picture.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    Shot::read(&picture).assert(SIZE, 2, "through vncdotool");
    // By keysym: it knows no scan codes. The pauses are there because it hangs up without waiting for anything.
    let output = vncdo(&server, &["--force-caps", "--delay", "500", "key", "a", "type", "B", "pause", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    vm.sequence(&["input 0 1 30 1", "input 0 1 30 0", "input 0 1 42 1", "input 0 1 48 1"]);
    let output = vncdo(&server, &["--delay", "500", "move", "320", "200", "click", "1", "pause", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    vm.sequence(&["input 1 1 272 1", "input 1 1 272 0"]);
}

#[test]
fn every_encoding_shows_the_same_picture() {
    if !have_kvm("every_encoding_shows_the_same_picture") {
        return;
    }
    let mut vm = Vm::start(VNC, "gpu=3 input echo=30 cursor idle");
    for (n, encoding) in [rfb::RAW, rfb::ZRLE, rfb::TIGHT].into_iter().enumerate() {
        let mut client = connect(&vm, &[encoding, rfb::CURSOR, rfb::EXTENDED_DESKTOP_SIZE, rfb::LAST_RECT]);
        client.until(|c| shows(c, 3 + n as u32) && c.cursor.is_some()).unwrap();
        shot(&client).assert(SIZE, 3 + n as u32, "at first");
        let pointer = client.cursor.as_ref().unwrap();
        assert_eq!((pointer.width, pointer.height, pointer.hot), (picture::CURSOR, picture::CURSOR, (3, 2)));
        let at = |i: usize| picture::cursor(i as u32 % picture::CURSOR, i as u32 / picture::CURSOR);
        assert!(pointer.pixels.iter().enumerate().all(|(i, p)| *p == at(i)), "the pointer's picture");
        press(&mut client);
        let next = 4 + n as u32;
        vm.line(&format!("flush {next}"));
        client.until(|c| shows(c, next)).unwrap();
        shot(&client).assert(SIZE, next, "after a change");
    }
}

#[test]
fn two_clients_at_once_and_one_that_comes_back() {
    if !have_kvm("two_clients_at_once_and_one_that_comes_back") {
        return;
    }
    let mut vm = Vm::start(VNC, "early=1 input echo=30 idle");
    let mut one = connect(&vm, &[rfb::ZRLE]);
    let mut two = connect(&vm, &[rfb::RAW]);
    one.until(|c| shows(c, 1)).unwrap();
    two.until(|c| shows(c, 1)).unwrap();
    one.extended_key(0x61, 0x1e, true).unwrap();
    vm.line("flush 2");
    one.until(|c| shows(c, 2)).unwrap();
    two.until(|c| shows(c, 2)).unwrap();
    // It leaves with a key held, which the next one presses again.
    drop(one);
    let mut again = connect(&vm, &[rfb::TIGHT]);
    again.until(|c| shows(c, 2)).unwrap();
    again.extended_key(0x61, 0x1e, true).unwrap();
    vm.line("flush 3");
    again.until(|c| shows(c, 3)).unwrap();
    two.until(|c| shows(c, 3)).unwrap();
    shot(&two).assert(SIZE, 3, "who stayed");
}

#[test]
fn a_client_asks_for_a_size_and_all_get_it() {
    if !have_kvm("a_client_asks_for_a_size_and_all_get_it") {
        return;
    }
    let mut vm = Vm::start(VNC, "gpu=9 idle");
    let mut plain = connect(&vm, &[rfb::ZRLE, rfb::DESKTOP_SIZE]);
    let mut client = connect(&vm, &[rfb::TIGHT, rfb::EXTENDED_DESKTOP_SIZE]);
    client.until(|c| shows(c, 9) && c.told).unwrap();
    for size in [(1600, 900), (800, 600), (1366, 768)] {
        client.resize(size.0, size.1).unwrap();
        vm.line(&format!("gpu {}x{}", size.0, size.1));
        let size = (size.0.into(), size.1.into());
        for client in [&mut client, &mut plain] {
            client.until(|c| (c.width, c.height) == size && shows(c, 9)).unwrap();
            shot(client).assert(size, 9, "in its new size");
        }
        vm.screenshot().assert(size, 9, "by kiln screenshot");
    }
    // Nobody has such a screen: refused, and nothing changes.
    client.resize(65535, 65535).unwrap();
    client.until(|c| c.answers.contains(&3)).unwrap();
    vm.screenshot().assert((1366, 768), 9, "after a wish that is too large");
}

#[test]
fn a_wrong_password_is_refused() {
    if !have_kvm("a_wrong_password_is_refused") {
        return;
    }
    let mut vm = Vm::start(&["--display", "vnc,password=secret"], "early=2 idle");
    let server = vm.told("screen at vnc://").replace(':', "::");
    let picture = vm.dir().join("vnc.png");
    let capture = |password: &str| {
        let picture = picture.to_str().unwrap();
        vncdo(&server, &["--password", password, "--timeout", "60", "--nocursor", "capture", picture])
    };
    // vncdotool ends with status 0 then too, but without a picture.
    capture("wrong");
    assert!(!picture.exists(), "with a wrong password");
    let output = capture("secret");
    assert!(output.status.success(), "{}", stderr(&output));
    Shot::read(&picture).assert(SIZE, 2, "with the password");
}

#[test]
fn a_client_comes_by_tls_with_a_password() {
    if !have_kvm("a_client_comes_by_tls_with_a_password") {
        return;
    }
    let mut vm = Vm::start(&["--display", "vnc,tls=on,password=more than eight bytes"], "gpu=4 input echo=30 idle");
    let address = vm.told("screen at vnc://");
    let fingerprint = vm.told("fingerprint of its certificate is ");
    assert!(veil::open(&address, &fingerprint, "more than", &[rfb::TIGHT]).is_err(), "with a wrong password");
    assert!(veil::open(&address, "00:11", "more than eight bytes", &[rfb::TIGHT]).is_err(), "at another server");
    let mut client = veil::open(&address, &fingerprint, "more than eight bytes", &[rfb::TIGHT]).unwrap();
    client.until(|c| shows(c, 4)).unwrap();
    press(&mut client);
    vm.line("flush 5");
    client.until(|c| shows(c, 5)).unwrap();
    shot(&client).assert(SIZE, 5, "by TLS");
    // Without TLS nobody comes in.
    let Err(why) = rfb::Client::open(Box::new(TcpStream::connect(&address).unwrap()), &[rfb::RAW]) else { panic!() };
    assert!(why.to_string().contains("password"), "{why}");
}

#[test]
fn what_one_client_cuts_the_others_have() {
    if !have_kvm("what_one_client_cuts_the_others_have") {
        return;
    }
    let vm = Vm::start(VNC, "gpu=1 idle");
    let (mut one, mut two) = (connect(&vm, &[rfb::RAW]), connect(&vm, &[rfb::ZRLE]));
    one.until(|c| shows(c, 1)).unwrap();
    two.until(|c| shows(c, 1)).unwrap();
    let hears = |client: &mut rfb::Client, text: &[u8]| {
        while client.text.as_deref() != Some(text) {
            client.next().unwrap();
        }
    };
    // Latin-1, and no UTF-8.
    one.cut(b"f\xfcr zwei").unwrap();
    hears(&mut two, b"f\xfcr zwei");
    two.cut(b"and back").unwrap();
    hears(&mut one, b"and back");
    assert_eq!(two.text.as_deref(), Some(&b"f\xfcr zwei"[..]), "nobody is told what they said themselves");
}

#[test]
fn a_browser_sees_and_types_and_its_link_works_once() {
    if !have_kvm("a_browser_sees_and_types_and_its_link_works_once") {
        return;
    }
    let mut vm = Vm::start(&["--display", "web"], "gpu=4 input idle");
    let link = vm.told("screen at http://");
    let (address, query) = link.split_once('/').unwrap();
    let get = |query: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_whitespace().nth(1).unwrap().to_string()
    };
    assert_eq!(get("?token=00000000000000000000000000000000"), "403", "a wrong token");
    assert_eq!(get(""), "403", "no token");
    let mut browser = Browser::start();
    browser.open(&format!("http://{link}"));
    browser.until("document.body.dataset.state === 'connected'");
    assert_eq!(get(query), "403", "a used token");
    let links: Vec<String> = (0..2).map(|_| vm.kiln("link", &[])).collect();
    let queries = links.iter().map(|link| link.trim_end().strip_prefix(&format!("http://{address}/")).unwrap());
    let answers: Vec<String> = queries.map(get).collect();
    assert_eq!(answers, ["403", "200"], "the link that was not used, and the one in its place");
    // The page asks for a screen of its own size, and the guest follows.
    let size = vm.line("gpu ");
    let (width, height) = size.trim_start_matches("gpu ").split_once('x').unwrap();
    let size: (u32, u32) = (width.parse().unwrap(), height.parse().unwrap());
    let mut seen = browser.screen();
    for _ in 0..200 {
        let shot = Shot::new(seen.0 as u32, (seen.1.len() / seen.0) as u32, &seen.1);
        if (shot.width, shot.height) == size && shot.differs(4).is_none() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
        seen = browser.screen();
    }
    Shot::new(seen.0 as u32, (seen.1.len() / seen.0) as u32, &seen.1).assert(size, 4, "in the browser");
    browser.key("KeyA", "a", 65);
    vm.sequence(&["input 0 1 30 1", "input 0 1 30 0"]);
    browser.click(400.0, 300.0);
    vm.sequence(&["input 1 1 272 1", "input 1 1 272 0"]);
}

#[test]
fn a_browser_plays_what_the_guest_plays() {
    if !have_kvm("a_browser_plays_what_the_guest_plays") {
        return;
    }
    let mut vm = Vm::start(&["--display", "web"], "early=1 sound=240000 idle");
    let link = vm.told("screen at http://");
    let mut browser = Browser::start();
    browser.open(&format!("http://{link}"));
    browser.until("document.body.dataset.state === 'connected' && !document.getElementById('sound').hidden");
    browser.click(500.0, 400.0);
    // The left and the right tone of tests/display/guest/sound.rs.
    browser.hears([441.0, 735.0], 0.5);
}

#[test]
fn who_listens_to_a_silent_guest_wakes_nobody() {
    if !have_kvm("who_listens_to_a_silent_guest_wakes_nobody") {
        return;
    }
    let mut vm = Vm::start(&["--display", "web"], "gpu=1 input echo=30 sound=1000 idle");
    let link = vm.told("screen at http://");
    let mut browser = Browser::start();
    browser.open(&format!("http://{link}"));
    browser.until("document.body.dataset.state === 'connected' && !document.getElementById('sound').hidden");
    browser.key("KeyA", "a", 65);
    browser.until("document.getElementById('sound').ariaPressed === 'true'");
    vm.line("sound ends");
    quiet(&mut vm, "a page that listens");
}

/// What happens once, such as giving memory back after start-up, falls into one of the stretches; a clock that ticks every two seconds or more
/// often would be in each. So one stretch in which nobody woke up shows that there is none.
fn quiet(vm: &mut Vm, what: &str) {
    let stretches: Vec<u64> = (0..5)
        .map(|_| {
            let before = vm.switches();
            std::thread::sleep(Duration::from_secs(2));
            vm.switches() - before
        })
        .collect();
    assert!(stretches.contains(&0), "{what}: wake-ups in stretches of 2 s: {stretches:?}");
}

#[test]
fn an_unchanged_screen_wakes_nobody() {
    if !have_kvm("an_unchanged_screen_wakes_nobody") {
        return;
    }
    for append in ["gpu=1 idle", "early=1 idle"] {
        let mut vm = Vm::start(VNC, append);
        let mut client = connect(&vm, &[rfb::TIGHT, rfb::EXTENDED_DESKTOP_SIZE]);
        client.until(|c| shows(c, 1)).unwrap();
        quiet(&mut vm, append);
    }
}

#[test]
fn bad_clients_disturb_nobody() {
    if !have_kvm("bad_clients_disturb_nobody") {
        return;
    }
    let mut vm = Vm::start(VNC, "gpu=1 input echo=30 idle");
    let mut good = connect(&vm, &[rfb::TIGHT]);
    good.until(|c| shows(c, 1)).unwrap();
    let before = vm.resident();
    let raw = || UnixStream::connect(vm.dir().join("vnc")).unwrap();
    // Silent from the start; half a greeting; half a message.
    let (silent, mut half) = (raw(), raw());
    half.write_all(b"RFB 003").unwrap();
    let mut torn = connect(&vm, &[rfb::RAW]);
    torn.wire().write_all(&[3, 1, 0]).unwrap();
    // Asks for everything, again and again, and never reads.
    let mut greedy = connect(&vm, &[rfb::RAW]);
    greedy.wire().set_write_patience(Duration::from_millis(200)).unwrap();
    while greedy.ask(false).is_ok() {}
    // Nonsense: a message that is not there, a cut text of 4 GiB, more encodings than are sent.
    for nonsense in [&[77u8; 64][..], &[6, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 1, 2], &[2, 0, 0xff, 0xff, 0, 0, 0, 1]] {
        let mut bad = connect(&vm, &[rfb::RAW]);
        bad.wire().write_all(nonsense).unwrap();
        let mut flood = vec![0; 1 << 20];
        flood[0] = 1;
        bad.wire().set_write_patience(Duration::from_millis(200)).unwrap();
        let _ = bad.wire().write_all(&flood);
    }
    for n in 2..6 {
        press(&mut good);
        vm.line(&format!("flush {n}"));
        good.until(|c| shows(c, n)).unwrap();
    }
    // A picture of 4 MiB and what is compressed of it, for each of those who hold on.
    let grown = vm.resident().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    let _ = (silent.shutdown(std::net::Shutdown::Both), half.read(&mut [0]));
    drop((torn, greedy));
    press(&mut good);
    vm.line("flush 6");
}
