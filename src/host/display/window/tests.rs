use super::x11::Window;
use crate::host::display::Room;
use crate::host::screen::{Cursor, Rank, Screen, Size, Source};
use crate::host::display::fakes::{Card, Desk};
use crate::host::seat::{Button, Class, Event, Seat};
use crate::sys::Lock;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{self, ConnectionExt as _, EventMask, ImageFormat};
use x11rb::rust_connection::RustConnection;

/// An X server without a monitor.
struct Server(Child, String);

impl Server {
    fn start() -> Server {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"]).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("run Xvfb; if it is not installed: make setup");
        let mut number = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Server(child, format!(":{}", number.trim()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    for _ in 0..400 {
        if let Some(found) = seen() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never: {what}");
}

fn pixel(x: u32, y: u32) -> u32 {
    (x * 7 + y * 131).wrapping_mul(0x9e_3779) & 0xff_ffff
}

/// What is in the window; `None`: not yet of that size.
fn content(x: &RustConnection, window: xproto::Window, size: Size) -> Option<Vec<u32>> {
    let (width, height) = (size.width as u16, size.height as u16);
    let image = x.get_image(ImageFormat::Z_PIXMAP, window, 0, 0, width, height, u32::MAX).unwrap().reply().ok()?;
    Some(image.data.chunks_exact(4).map(|p| u32::from_le_bytes(p.try_into().unwrap()) & 0xff_ffff).collect())
}

#[test]
fn a_window_shows_the_screen_and_its_keys_and_clicks_arrive() {
    let server = Server::start();
    let (x, number) = RustConnection::connect(Some(&server.1)).unwrap();
    let root = x.setup().roots[number].root;
    let (screen, seat, card) = (Screen::new(), Seat::new(), Arc::new(Card::default()));
    let desks = [Class::Keyboard, Class::Tablet].map(|class| Arc::new(Desk(class, Lock::default())));
    desks.iter().for_each(|d| seat.attach(d.clone()));
    let source: Weak<dyn Source> = Arc::downgrade(&card) as _;
    let brush = screen.attach(Rank::Driver, source);
    let paint = |size: Size| {
        brush.show(size);
        brush.draw(size.whole(), |y, row| (0..).zip(row).for_each(|(x, p)| *p = pixel(x, y)));
        (0..size.height).flat_map(|y| (0..size.width).map(move |x| pixel(x, y))).collect::<Vec<_>>()
    };
    let small = Size { width: 320, height: 200 };
    let first = paint(small);
    let window = Window::open(Some(&server.1), &Room { screen, seat, sound: Arc::default() }).unwrap();
    let id = until("a window", || x.query_tree(root).unwrap().reply().unwrap().children.first().copied());
    until("the picture", || content(&x, id, small).filter(|c| *c == first));

    // The guest has another size, and the window follows.
    let large = Size { width: 640, height: 480 };
    let second = paint(large);
    until("the other picture", || content(&x, id, large).filter(|c| *c == second));
    assert!(card.0.lock().is_empty(), "nobody asked for it");

    brush.cursor(Some(Cursor { size: Size { width: 2, height: 2 }, hot: (1, 0), pixels: vec![0x80ff_ffff; 4] }));
    let mut key = xproto::KeyPressEvent {
        response_type: xproto::KEY_PRESS_EVENT,
        detail: 30 + 8,
        sequence: 0,
        time: 0,
        root,
        event: id,
        child: 0,
        root_x: 0,
        root_y: 0,
        event_x: 10,
        event_y: 20,
        state: xproto::KeyButMask::default(),
        same_screen: true,
    };
    let mut send = |kind: u8, detail: u8| {
        (key.response_type, key.detail) = (kind, detail);
        x.send_event(false, id, EventMask::NO_EVENT, key).unwrap();
        x.flush().unwrap();
    };
    send(xproto::KEY_PRESS_EVENT, 38);
    send(xproto::KEY_RELEASE_EVENT, 38);
    for detail in [1, 4] {
        send(xproto::BUTTON_PRESS_EVENT, detail);
        send(xproto::BUTTON_RELEASE_EVENT, detail);
    }
    let key = |down| Event::Key { code: 30, down };
    until("a key", || Some(desks[0].1.lock().clone()).filter(|e| *e == [key(true), key(false)]));
    let seen = until("the wheel", || Some(desks[1].1.lock().clone()).filter(|e| e.contains(&Event::Wheel { x: 0, y: -1 })));
    for want in [Event::MoveTo { x: 10, y: 20, screen: large }, Event::Button { button: Button::Left, down: true }] {
        assert!(seen.contains(&want), "{seen:?}");
    }

    // People make it larger, and the guest is asked.
    x.configure_window(id, &xproto::ConfigureWindowAux::new().width(800).height(600)).unwrap();
    x.flush().unwrap();
    until("a wish", || card.0.lock().contains(&Size { width: 800, height: 600 }).then_some(()));

    drop(window);
    until("no window", || x.query_tree(root).unwrap().reply().unwrap().children.is_empty().then_some(()));
}

#[test]
fn without_a_server_it_says_so() {
    let room = Room { screen: Screen::new(), seat: Seat::new(), sound: Arc::default() };
    let error = Window::open(Some(":77777"), &room).err().unwrap();
    assert!(format!("{error:#}").starts_with("connect to the X server: "), "{error:#}");
}
