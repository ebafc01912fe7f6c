mod client;
mod clip;
mod door;
mod encode;
mod hostile;
mod lights;
mod listen;

use super::*;
use crate::host::screen::{Brush, Cursor, Rank, Rect, Screen, Size, Source};
use crate::host::seat::{Button, Class, Event, Input, Seat};
use crate::sys::{Lock, eventfd};
use client::{Client, Seen, take};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// Notes what it is asked for.
#[derive(Default)]
struct Device {
    asked: Lock<Vec<Size>>,
    events: Lock<Vec<Event>>,
    class: Option<Class>,
    bell: Option<Lock<mpsc::Sender<()>>>,
}

impl Source for Device {
    fn asked(&self, size: Size) {
        self.asked.lock().push(size);
    }
}

impl Input for Device {
    fn class(&self) -> Class {
        self.class.unwrap_or(Class::Keyboard)
    }
    fn ready(&self) -> bool {
        true
    }
    fn put(&self, events: &[Event]) {
        self.events.lock().extend(events);
        self.bell.iter().for_each(|bell| bell.lock().send(()).unwrap());
    }
}

const SIZE: Size = Size { width: 320, height: 240 };

/// A screen with something on it, and a server for as many as come.
struct Served {
    room: Room,
    brush: Brush,
    device: Arc<Device>,
    stop: Arc<EventFd>,
    door: Door,
    threads: Lock<Vec<JoinHandle<Result<()>>>>,
}

impl Served {
    fn new() -> Served {
        let room = Room { screen: Screen::new(), seat: Seat::new(), sound: Arc::default() };
        let device = Arc::new(Device::default());
        let weak: Weak<dyn Source> = Arc::downgrade(&(device.clone() as Arc<dyn Source>));
        let brush = room.screen.attach(Rank::Driver, weak);
        brush.show(SIZE);
        brush.draw(SIZE.whole(), paint);
        let (stop, threads) = (Arc::new(eventfd().unwrap()), Lock::default());
        Served { room, brush, device, stop, door: Door::Open, threads }
    }

    fn connect(&self) -> UnixStream {
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (room, door, stop) = (self.room.clone(), self.door.clone(), self.stop.clone());
        let live = move || serve(Box::new(Socket::new(far, true)), &room, &door, &stop);
        self.threads.lock().push(std::thread::spawn(live));
        near
    }

    fn client(&self) -> Client<UnixStream> {
        Client::new(self.connect())
    }

    /// Until all clients have been shown out.
    fn wait(&self) {
        self.threads.lock().drain(..).for_each(|thread| drop(thread.join().unwrap()));
    }

    /// Why the last one was.
    fn why(&self) -> String {
        let thread = self.threads.lock().pop().unwrap();
        format!("{:#}", thread.join().unwrap().unwrap_err())
    }

    fn expect(&self, client: &Client<UnixStream>) {
        let picture = self.room.screen.picture().unwrap();
        assert_eq!(client.canvas.size, picture.size);
        assert!(client.canvas.pixels == picture.pixels, "another picture");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.write(1).unwrap();
        self.wait();
    }
}

/// A bit of everything: plain, text, few colours, many, and noise.
fn paint(y: u32, row: &mut [u32]) {
    for (x, pixel) in row.iter_mut().enumerate() {
        let x = x as u32;
        *pixel = match (x / 80, y / 60) {
            (0, _) => 0x123456,
            (1, _) => [0, 0xffffff][((((x * 7) ^ (y * 13)) >> 2) & 1) as usize],
            (2, 0) => (x / 8 % 5) * 0x333333,
            (2, _) => (x % 100) * 0x010203,
            _ => ((x * 7919) ^ (y * 104_729)).wrapping_mul(0x9e37_79b1) >> 8,
        };
    }
}

/// Encodings that a viewer may ask for.
const KINDS: [&[i32]; 4] = [&[0], &[16], &[7, -224], &[7]];

#[test]
fn the_picture_arrives_whatever_the_encoding() {
    for kinds in KINDS {
        let served = Served::new();
        let mut client = served.client();
        assert_eq!((client.canvas.size, client.name.as_str()), (SIZE, "kiln"));
        client.encodings(kinds);
        client.request(false);
        client.update();
        served.expect(&client);
    }
}

#[test]
fn changes_arrive_when_they_happen_and_nothing_else_does() {
    for kinds in KINDS {
        let served = Served::new();
        let (mut one, mut two) = (served.client(), served.client());
        for client in [&mut one, &mut two] {
            client.encodings(kinds);
            client.request(false);
            client.update();
            client.request(true);
        }
        let changed = Rect { x: 40, y: 100, width: 3, height: 2 };
        served.brush.draw(changed, |_, row| row.fill(0xabcdef));
        for client in [&mut one, &mut two] {
            assert_eq!(client.update(), [Seen::Pixels(Rect { x: 32, y: 100, width: 16, height: 2 })]);
            served.expect(client);
        }
    }
}

#[test]
fn only_what_was_asked_for_is_sent_and_the_rest_later() {
    let served = Served::new();
    let mut client = served.client();
    client.send(&[3, 1, 0, 16, 0, 8, 0, 32, 0, 4]);
    assert_eq!(client.update(), [Seen::Pixels(Rect { x: 16, y: 8, width: 32, height: 4 })]);
    client.request(true);
    client.update();
    served.expect(&client);
}

#[test]
fn formats_of_all_widths() {
    // Bits, depth, big endian, maxima, shifts.
    let formats = [
        (32, 24, 0, [255, 255, 255], [0, 8, 16]),
        (32, 24, 1, [255, 255, 255], [16, 8, 0]),
        (32, 24, 0, [255, 255, 255], [24, 16, 8]),
        (32, 32, 0, [255, 255, 255], [16, 8, 0]),
        (16, 16, 0, [31, 63, 31], [11, 5, 0]),
        (16, 15, 1, [31, 31, 31], [10, 5, 0]),
        (8, 8, 0, [7, 7, 3], [0, 3, 6]),
    ];
    for kinds in KINDS {
        for (bits, depth, big, max, shift) in formats {
            let served = Served::new();
            let mut client = served.client();
            let max: Vec<u8> = max.iter().flat_map(|m: &u16| m.to_be_bytes()).collect();
            let format = [&[bits, depth, big, 1][..], &max, &shift, &[0; 3]].concat();
            client.send(&[&[0; 4][..], &format].concat());
            client.decoder.format = format.clone().try_into().unwrap();
            client.encodings(kinds);
            client.request(false);
            client.update();
            let mut picture = served.room.screen.picture().unwrap().pixels;
            pixel::Format::parse(&client.decoder.format).unwrap().translate(&mut picture);
            assert!(client.canvas.pixels == picture, "{kinds:?}, {bits} bits {depth} {big}");
        }
    }
    let format = pixel::Format::parse(&[16, 16, 0, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0]).unwrap();
    let mut pixels = [0xff8000, 0x000000, 0xffffff, 0x0000ff];
    format.translate(&mut pixels);
    assert_eq!(pixels, [0xfc00, 0, 0xffff, 0x1f]);
}

#[test]
fn the_guest_changes_the_size_and_viewers_follow() {
    let served = Served::new();
    let large = Size { width: 400, height: 100 };
    let (mut old, mut plain, mut fixed) = (served.client(), served.client(), served.client());
    old.encodings(&[-223]);
    plain.encodings(&[-308, -223]);
    for client in [&mut old, &mut fixed] {
        client.request(false);
        client.update();
        client.request(true);
    }
    plain.request(false);
    assert_eq!(plain.update(), [Seen::ExtendedSize(0, 0, SIZE)], "so that it knows it may ask");
    plain.update();
    plain.request(true);
    served.brush.show(large);
    served.brush.draw(large.whole(), paint);
    assert_eq!(old.update(), [Seen::Size(large)]);
    assert_eq!(plain.update(), [Seen::ExtendedSize(0, 0, large)]);
    for client in [&mut old, &mut plain] {
        client.request(false);
        while client.canvas.pixels.contains(&0xdead) {
            client.update();
            client.request(true);
        }
        served.expect(client);
    }
    // Who can only have the first size sees what fits into it.
    fixed.update();
    while fixed.canvas.pixels[0] != 0x123456 {
        fixed.request(true);
        fixed.update();
    }
    assert_eq!(fixed.canvas.size, SIZE);
    assert_eq!(fixed.canvas.pixels[320 * 150], 0, "nothing is there");
}

#[test]
fn a_viewer_asks_for_a_size() {
    let served = Served::new();
    let mut client = served.client();
    client.encodings(&[-308]);
    client.request(false);
    client.update();
    client.update();
    client.request(true);
    // With one screen in the layout.
    client.send(&[&[251, 0, 5, 0, 3, 0, 1, 0][..], &[0; 16]].concat());
    assert_eq!(client.update(), [Seen::ExtendedSize(1, 4, SIZE)]);
    assert_eq!(*served.device.asked.lock(), [Size { width: 1280, height: 768 }]);
    client.send(&[251, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(client.update(), [Seen::ExtendedSize(1, 3, SIZE)]);
    assert_eq!(served.device.asked.lock().len(), 1);
}

#[test]
fn the_pointer_has_a_picture() {
    let served = Served::new();
    let size = Size { width: 9, height: 2 };
    let mut pixels = vec![0xff102030; 18];
    pixels[8] = 0x80ff_ff00;
    pixels[17] = 0;
    served.brush.cursor(Some(Cursor { size, hot: (3, 1), pixels }));
    let mut client = served.client();
    client.encodings(&[-239]);
    client.request(false);
    let seen = client.update();
    let Seen::Cursor { hot, size: got, pixels, mask } = &seen[0] else { panic!("{seen:?}") };
    assert_eq!((*hot, *got), ((3, 1), size));
    assert_eq!(pixels[..4], [0x30, 0x20, 0x10, 0]);
    assert_eq!(mask[..], [0xff, 0x80, 0xff, 0]);
    client.encodings(&[-314]);
    client.request(true);
    let seen = client.update();
    let Seen::Cursor { pixels, .. } = &seen[0] else { panic!("{seen:?}") };
    assert_eq!(pixels[..4], [0x10, 0x20, 0x30, 0xff]);
    assert_eq!(pixels[32..36], [0x80, 0x80, 0, 0x80], "multiplied by alpha");
    client.request(true);
    served.brush.cursor(None);
    let seen = client.update();
    assert!(matches!(&seen[0], Seen::Cursor { size, .. } if size.is_empty()), "{seen:?}");
}

#[test]
fn a_screen_that_shows_nothing_is_black() {
    let served = Served::new();
    let mut client = served.client();
    client.request(false);
    client.update();
    client.request(true);
    served.brush.hide();
    client.update();
    assert!(client.canvas.pixels.iter().all(|p| *p == 0));
    let late = served.client();
    assert_eq!(late.canvas.size, NOTHING);
}

#[test]
fn updates_without_asking_wait_for_who_is_slow() {
    let served = Served::new();
    let mut client = served.client();
    client.encodings(&[-312, -313, 16]);
    // The server's own fence, which says that it has them, and that it has continuous updates.
    assert_eq!(take(&mut client.stream, 9), [248, 0, 0, 0, 0x80, 0, 0, 0, 0]);
    assert_eq!(take(&mut client.stream, 1), [150]);
    client.send(&[150, 1, 0, 0, 0, 0, 1, 0x40, 0, 0xf0]);
    for n in 0..4 {
        client.update();
        served.expect(&client);
        assert_eq!(take(&mut client.stream, 10), [248, 0, 0, 0, 0x80, 0, 0, 1, 1, b'k']);
        client.send(&[248, 0, 0, 0, 0, 0, 0, 1, 1, b'k']);
        served.brush.draw(Rect { x: n, y: n, width: 2, height: 2 }, |_, row| row.fill(n));
    }
    client.update();
    take(&mut client.stream, 10);
    // Two may be on their way.
    served.brush.draw(SIZE.whole(), |_, row| row.fill(0));
    client.update();
    take(&mut client.stream, 10);
    served.brush.draw(SIZE.whole(), |_, row| row.fill(1));
    client.send(&[248, 0, 0, 0, 0x80, 0, 0, 0, 1, 9]);
    assert_eq!(take(&mut client.stream, 10), [248, 0, 0, 0, 0, 0, 0, 0, 1, 9], "before the picture");
    client.send(&[248, 0, 0, 0, 0, 0, 0, 1, 1, b'k']);
    client.update();
    served.expect(&client);
    take(&mut client.stream, 10);
    client.send(&[150, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(take(&mut client.stream, 1), [150]);
}

#[test]
fn what_was_said_before_hanging_up_counts() {
    let served = Served::new();
    let keyboard = Arc::new(Device::default());
    served.room.seat.attach(keyboard.clone());
    // It asks for pictures that nobody will take, types, and goes.
    let mut client = served.client();
    for _ in 0..50 {
        client.request(false);
        client.send(&[[4, 1, 0, 0, 0, 0, 0, b'x'], [4, 0, 0, 0, 0, 0, 0, b'x']].concat());
    }
    drop(client);
    served.wait();
    assert_eq!(keyboard.events.lock().len(), 100);
}

#[test]
fn keys_and_buttons_arrive_and_are_let_go() {
    let served = Served::new();
    let (told, heard) = mpsc::channel();
    let device = |class| {
        let bell = Some(Lock::new(told.clone()));
        let device = Arc::new(Device { class: Some(class), bell, ..Device::default() });
        served.room.seat.attach(device.clone());
        device
    };
    let (keyboard, tablet) = (device(Class::Keyboard), device(Class::Tablet));
    let wait = || heard.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut client = served.client();
    client.encodings(&[-258, -316]);
    client.request(true);
    let seen = client.update();
    assert_eq!(seen[..2], [Seen::Yes(-258), Seen::Yes(-316)]);
    // The place of a, with the symbol of q.
    client.send(&[255, 0, 0, 1, 0, 0, 0, 0x71, 0, 0, 0, 0x1e]);
    wait();
    assert_eq!(*keyboard.events.lock(), [Event::Key { code: 30, down: true }]);
    // By its symbol: a plus takes Shift.
    keyboard.events.lock().clear();
    client.send(&[4, 1, 0, 0, 0, 0, 0, b'+']);
    wait();
    let shifted = keyboard.events.lock().clone();
    assert_eq!(shifted[..2], [Event::Key { code: 42, down: true }, Event::Key { code: 13, down: true }]);
    client.send(&[4, 0, 0, 0, 0, 0, 0, b'+']);
    wait();
    keyboard.events.lock().clear();
    client.send(&[5, 1, 0, 9, 0xff, 0xff]);
    wait();
    let expected = [Event::MoveTo { x: 9, y: 239, screen: SIZE }, Event::Button { button: Button::Left, down: true }];
    assert_eq!(std::mem::take(&mut *tablet.events.lock()), expected);
    client.send(&[5, 0x90, 0, 9, 0xff, 0xff, 2]);
    wait();
    let expected = [
        Event::Button { button: Button::Left, down: false },
        Event::Button { button: Button::Forward, down: true },
        Event::Wheel { x: 0, y: 1 },
    ];
    assert_eq!(std::mem::take(&mut *tablet.events.lock()), expected);
    drop(client);
    wait();
    wait();
    assert_eq!(*keyboard.events.lock(), [Event::Key { code: 30, down: false }]);
    assert_eq!(*tablet.events.lock(), [Event::Button { button: Button::Forward, down: false }]);
}

#[test]
fn changes_in_many_places_arrive_as_few_rectangles() {
    for kinds in KINDS {
        let served = Served::new();
        let large = Size { width: 2048, height: 1024 };
        served.brush.show(large);
        let mut client = served.client();
        client.encodings(kinds);
        client.request(false);
        client.update();
        // A chessboard: 65536 places that do not touch.
        served.brush.draw(large.whole(), |y, row| {
            row.iter_mut().enumerate().for_each(|(x, p)| *p = ((x as u32 / 16 + y) & 1) * 0xffffff);
        });
        client.request(true);
        client.update();
        served.expect(&client);
    }
}
