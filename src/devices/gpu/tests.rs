use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver};
use crate::host::screen::{Screen, Viewer};
use proptest::prelude::*;

const RESPONSE: u64 = DATA + 0x1000;
const TABLE: u64 = DATA + 0x2000;
const PIXELS: u64 = DATA + 0x10_0000;
const RED: u32 = 0xffff_0000;

/// A driver in front of the device.
struct Rig {
    screen: Arc<Screen>,
    device: Box<dyn Device>,
    driver: Driver,
}

fn header(kind: u32) -> Vec<u8> {
    words(&[kind, 0, 0, 0, 0, 0])
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn build(options: &str, host: &Host) -> Result<Box<dyn Device>> {
    (KIND.build)(&Options::parse(options, KIND.positional())?, host).map(Built::into_virtio)
}

impl Rig {
    fn new() -> Rig {
        let host = Host::new(Arc::new(|_| {}));
        let mut device = build("", &host).unwrap();
        let driver = Driver::new(&mut *device, u64::MAX);
        Rig { screen: host.screen, device, driver }
    }

    /// Sends a request on a queue; says what the answer is, which has room for so many bytes.
    fn send(&mut self, queue: usize, request: &[u8], room: u32) -> Vec<u8> {
        self.driver.mem.write(DATA, request).unwrap();
        self.driver.post(queue, &[(DATA, request.len() as u32, false), (RESPONSE, room, true)]);
        self.driver.kick(&mut *self.device, queue).unwrap();
        let used = self.driver.used(queue);
        let mut answer = vec![0; used[0].1 as usize];
        self.driver.mem.slice(RESPONSE, answer.len()).unwrap().copy_to(&mut answer);
        answer
    }

    /// The type of the answer to a request of `kind` with these fields.
    fn ask(&mut self, kind: u32, fields: &[u32]) -> u32 {
        let queue = usize::from(kind >= 0x300);
        let answer = self.send(queue, &[header(kind), words(fields)].concat(), 24);
        u32::from_le_bytes(answer[..4].try_into().unwrap())
    }

    fn create(&mut self, id: u32, format: u32, width: u32, height: u32) -> u32 {
        self.ask(0x101, &[id, format, width, height])
    }

    /// Pages of `len` bytes each, the last first, so that none follows on another.
    fn attach(&mut self, id: u32, count: u32, len: u32) -> u32 {
        let at = |i: u32| (PIXELS + u64::from((count - 1 - i) * len)) as u32;
        let table: Vec<u32> = (0..count).flat_map(|i| [at(i), 0, len, 0]).collect();
        self.driver.mem.write(TABLE, &words(&table)).unwrap();
        let request = [header(0x106), words(&[id, count])].concat();
        self.driver.mem.write(DATA, &request).unwrap();
        let parts = [(DATA, 32, false), (TABLE, count * 16, false), (RESPONSE, 24, true)];
        self.driver.post(0, &parts);
        self.driver.kick(&mut *self.device, 0).unwrap();
        self.driver.used(0);
        u32::from_le_bytes(self.driver.mem.read(RESPONSE).unwrap())
    }

    /// Puts pixel `value` at byte `at` of what `attach` made.
    fn put(&mut self, count: u32, len: u32, at: u32, value: [u8; 4]) {
        let place = PIXELS + u64::from((count - 1 - at / len) * len + at % len);
        self.driver.mem.write(place, &value).unwrap();
    }

    /// A resource of 64 by 32 pixels with 16 pages of 512 bytes: one for each two rows.
    fn picture(&mut self, id: u32) {
        assert_eq!(self.create(id, 2, 64, 32), OK);
        assert_eq!(self.attach(id, 16, 512), OK);
    }

    fn transfer(&mut self, id: u32, [x, y, width, height]: [u32; 4], offset: u32) -> u32 {
        self.ask(0x105, &[x, y, width, height, offset, 0, id, 0])
    }

    fn flush(&mut self, id: u32, [x, y, width, height]: [u32; 4]) -> u32 {
        self.ask(0x104, &[x, y, width, height, id, 0])
    }

    fn scanout(&mut self, id: u32, [x, y, width, height]: [u32; 4]) -> u32 {
        self.ask(0x103, &[x, y, width, height, 0, id])
    }

    /// What is seen at a place; `None`: nothing is shown at all.
    fn seen(&self, x: u32, y: u32) -> Option<u32> {
        let picture = self.screen.picture()?;
        Some(picture.pixels[(y * picture.size.width + x) as usize])
    }

    fn watch(&self) -> Viewer {
        let mut viewer = self.screen.watch().unwrap();
        viewer.news();
        viewer
    }
}

const OK: u32 = 0x1100;
const UNSPECIFIED: u32 = 0x1200;
const OUT_OF_MEMORY: u32 = 0x1201;
const SCANOUT: u32 = 0x1202;
const RESOURCE: u32 = 0x1203;
const PARAMETER: u32 = 0x1205;

#[test]
fn the_driver_learns_of_one_screen() {
    let mut rig = Rig::new();
    let answer = rig.send(0, &header(0x100), 408);
    assert_eq!(answer.len(), 408);
    assert_eq!(answer[..48], words(&[0x1101, 0, 0, 0, 0, 0, 0, 0, 1280, 800, 1, 0]));
    assert!(answer[48..].iter().all(|byte| *byte == 0), "there is no second");
    let answer = rig.send(0, &[header(0x10a), words(&[0, 0])].concat(), 1056);
    assert_eq!((answer.len(), &answer[..4], &answer[24..32]), (1056, &words(&[0x1104])[..], &words(&[128, 0])[..]));
    assert_eq!(answer[32..160], edid::edid(Size { width: 1280, height: 800 }));
    assert_eq!(rig.ask(0x10a, &[1, 0]), SCANOUT);
}

#[test]
fn a_picture_goes_from_guest_memory_to_the_screen() {
    let mut rig = Rig::new();
    rig.picture(1);
    assert_eq!(rig.seen(0, 0), None);
    assert_eq!(rig.scanout(1, [0, 0, 64, 32]), OK);
    assert_eq!(rig.screen.size(), Size { width: 64, height: 32 });
    let mut viewer = rig.watch();
    // The third row is in the second page.
    let at = (2 * 64 + 20) * 4;
    rig.put(16, 512, at, RED.to_le_bytes());
    assert_eq!(rig.transfer(1, [20, 2, 1, 1], at), OK);
    assert!(viewer.news().damage.is_empty(), "nothing is seen before it is flushed");
    assert_eq!(rig.flush(1, [0, 0, 64, 32]), OK);
    assert_eq!(viewer.news().damage, [Rect { x: 16, y: 2, width: 16, height: 1 }]);
    assert_eq!((rig.seen(20, 2), rig.seen(21, 2)), (Some(0xff_0000), Some(0)));
    // Several rows: each begins where the picture's own do.
    let below = (5 * 64 + 3) * 4;
    rig.put(16, 512, below, [1, 2, 3, 4]);
    assert_eq!(rig.transfer(1, [3, 4, 2, 2], (4 * 64 + 3) * 4), OK);
    assert_eq!(rig.flush(1, [3, 5, 1, 1]), OK);
    assert_eq!(rig.seen(3, 5), Some(0x03_0201));
}

#[test]
fn a_part_of_a_picture_can_be_what_is_shown() {
    let mut rig = Rig::new();
    rig.picture(1);
    assert_eq!(rig.scanout(1, [10, 20, 30, 10]), OK);
    assert_eq!(rig.screen.size(), Size { width: 30, height: 10 });
    let at = (20 * 64 + 10) * 4;
    rig.put(16, 512, at, RED.to_le_bytes());
    rig.transfer(1, [0, 0, 64, 32], 0);
    let mut viewer = rig.watch();
    rig.flush(1, [0, 0, 64, 20]);
    assert!(viewer.news().damage.is_empty(), "it is not in the part that is seen");
    rig.flush(1, [0, 0, 11, 21]);
    assert_eq!(rig.seen(0, 0), Some(0xff_0000));
}

#[test]
fn another_picture_of_the_same_size_is_shown_without_a_flicker() {
    let mut rig = Rig::new();
    rig.picture(1);
    rig.picture(2);
    rig.scanout(1, [0, 0, 64, 32]);
    rig.put(16, 512, 0, RED.to_le_bytes());
    rig.transfer(2, [0, 0, 1, 1], 0);
    let mut viewer = rig.watch();
    rig.scanout(2, [0, 0, 64, 32]);
    let news = viewer.news();
    assert_eq!((news.resized, &news.damage[..]), (false, &[Rect { x: 0, y: 0, width: 16, height: 1 }][..]));
    rig.flush(1, [0, 0, 64, 32]);
    assert_eq!(rig.seen(0, 0), Some(0xff_0000), "what is not shown is not drawn");
}

/// A picture with a red corner, on the screen.
fn shown() -> Rig {
    let mut rig = Rig::new();
    rig.picture(1);
    rig.put(16, 512, 0, RED.to_le_bytes());
    assert_eq!(rig.transfer(1, [0, 0, 64, 32], 0), OK);
    assert_eq!(rig.scanout(1, [0, 0, 64, 32]), OK);
    assert_eq!(rig.seen(0, 0), Some(0xff_0000));
    rig
}

#[test]
fn a_screen_that_is_switched_off_is_black() {
    let ways: [fn(&mut Rig); 2] =
        [|rig| assert_eq!(rig.ask(0x102, &[1, 0]), OK), |rig| assert_eq!(rig.scanout(0, [0; 4]), OK)];
    for way in ways {
        let mut rig = shown();
        way(&mut rig);
        assert_eq!(rig.screen.size(), Size { width: 64, height: 32 });
        assert_eq!(rig.seen(0, 0), Some(0));
    }
}

#[test]
fn a_device_that_is_reset_shows_nothing() {
    let mut rig = shown();
    rig.device.reset();
    assert!(rig.screen.picture().is_none());
}

#[test]
fn every_format_has_its_colours_where_the_specification_says() {
    let formats = [
        (1, [3, 2, 1, 0xff]),
        (2, [3, 2, 1, 0]),
        (3, [0xff, 1, 2, 3]),
        (4, [0, 1, 2, 3]),
        (67, [1, 2, 3, 0xff]),
        (68, [0, 3, 2, 1]),
        (121, [0xff, 3, 2, 1]),
        (134, [1, 2, 3, 0]),
    ];
    let mut rig = Rig::new();
    for (format, pixel) in formats {
        assert_eq!(rig.create(format, format, 8, 1), OK);
        assert_eq!(rig.attach(format, 1, 32), OK);
        rig.put(1, 32, 28, pixel);
        assert_eq!(rig.transfer(format, [0, 0, 8, 1], 0), OK);
        rig.scanout(format, [0, 0, 8, 1]);
        assert_eq!(rig.seen(7, 0), Some(0x01_0203), "format {format}");
    }
    for format in [0, 5, 66, 122, u32::MAX] {
        assert_eq!(rig.create(200, format, 8, 1), PARAMETER);
    }
}

#[test]
fn a_fence_has_passed_when_the_answer_comes() {
    let mut rig = Rig::new();
    let fenced = words(&[0x102, 1, 0xaaaa, 0xbbbb, 7, 3, 9, 0]);
    assert_eq!(rig.send(0, &fenced, 24), words(&[RESOURCE, 1, 0xaaaa, 0xbbbb, 7, 3]));
    let plain = words(&[0x102, 0, 0xaaaa, 0xbbbb, 7, 3, 9, 0]);
    assert_eq!(rig.send(0, &plain, 24), words(&[RESOURCE, 0, 0, 0, 0, 0]));
}

#[test]
fn wrong_requests_are_refused_and_say_why() {
    let mut rig = Rig::new();
    rig.picture(1);
    let all = [0, 0, 64, 32];
    assert_eq!(rig.create(0, 1, 8, 8), RESOURCE, "0 is none");
    assert_eq!(rig.create(1, 1, 8, 8), RESOURCE, "there is one");
    assert_eq!(rig.create(2, 1, 0, 8), PARAMETER);
    assert_eq!(rig.create(2, 1, 0x1_0000, 8), OUT_OF_MEMORY);
    assert_eq!(rig.create(2, 1, u32::MAX, u32::MAX), OUT_OF_MEMORY);
    assert_eq!(rig.ask(0x102, &[2, 0]), RESOURCE);
    assert_eq!(rig.attach(2, 1, 512), RESOURCE);
    assert_eq!(rig.attach(1, 1, 512), UNSPECIFIED, "it has pages");
    assert_eq!(rig.ask(0x106, &[1, 1]), UNSPECIFIED);
    assert_eq!(rig.transfer(2, all, 0), RESOURCE);
    assert_eq!(rig.transfer(1, [0, 0, 65, 32], 0), PARAMETER);
    assert_eq!(rig.transfer(1, [u32::MAX, 0, 2, 2], 0), PARAMETER);
    assert_eq!(rig.transfer(1, [0, 0, 0, 1], 0), PARAMETER);
    assert_eq!(rig.transfer(1, all, 4), PARAMETER, "beyond its pages");
    assert_eq!(rig.ask(0x105, &[0, 0, 1, 1, u32::MAX, u32::MAX, 1, 0]), PARAMETER);
    assert_eq!(rig.scanout(2, all), RESOURCE);
    assert_eq!(rig.scanout(1, [0, 0, 64, 33]), PARAMETER);
    assert_eq!(rig.ask(0x103, &[0, 0, 64, 32, 1, 1]), SCANOUT);
    assert_eq!(rig.flush(2, all), RESOURCE);
    assert_eq!(rig.flush(1, [64, 0, 1, 1]), PARAMETER);
    assert_eq!(rig.ask(0x107, &[1, 0]), OK);
    assert_eq!(rig.ask(0x107, &[1, 0]), UNSPECIFIED);
    assert_eq!(rig.transfer(1, all, 0), UNSPECIFIED, "it has no pages any more");
    for kind in [0, 0x108, 0x109, 0x10c, 0x200, 0x1100, u32::MAX] {
        assert_eq!(rig.send(0, &header(kind), 24)[..4], words(&[UNSPECIFIED]), "{kind:#x}");
    }
    assert_eq!(rig.send(0, &[header(0x300), vec![0; 32]].concat(), 24)[..4], words(&[UNSPECIFIED]), "the other queue's");
    assert_eq!(rig.send(1, &header(0x100), 24)[..4], words(&[UNSPECIFIED]), "the other queue's");
    assert_eq!(rig.send(0, &[header(0x101), vec![0; 15]].concat(), 24)[..4], words(&[PARAMETER]), "too short");
    assert!(rig.send(0, &header(0x100)[..23], 24).is_empty(), "no header");
    assert_eq!(rig.send(0, &header(0x100), 5).len(), 5, "no more than there is room for");
}

#[test]
fn pages_that_are_not_in_memory_are_refused() {
    let mut rig = Rig::new();
    assert_eq!(rig.create(1, 1, 64, 32), OK);
    for (low, high, len) in [(0x80_0000, 0, 1), (0x7f_ffff, 0, 2), (0, 1, 1), (u32::MAX, u32::MAX, u32::MAX)] {
        let request = [header(0x106), words(&[1, 1, low, high, len, 0])].concat();
        assert_eq!(rig.send(0, &request, 24)[..4], words(&[PARAMETER]));
    }
    assert_eq!(rig.ask(0x106, &[1, 16385]), PARAMETER, "so many pages no picture has");
    assert_eq!(rig.ask(0x106, &[1, 2]), PARAMETER, "they do not follow");
    assert_eq!(rig.attach(1, 16, 512), OK);
}

#[test]
fn pictures_take_a_bounded_amount_of_memory() {
    let mut rig = Rig::new();
    // 63 MiB each.
    assert_eq!((1..=5).map(|id| rig.create(id, 1, 4096, 4032)).collect::<Vec<_>>(), [OK, OK, OK, OK, OUT_OF_MEMORY]);
    assert_eq!(rig.ask(0x102, &[2, 0]), OK);
    assert_eq!(rig.create(5, 1, 4096, 4032), OK, "what was given back can be had again");
    let small = (10..).take_while(|id| rig.create(*id, 1, 1, 1) == OK).count();
    assert!((500..1100).contains(&small), "{small}: their number is bounded as well");
    rig.device.reset();
    assert_eq!(rig.create(5, 1, 4096, 4032), OK);
}

#[test]
fn the_pointer_has_a_picture() {
    let mut rig = Rig::new();
    rig.picture(1);
    rig.scanout(1, [0, 0, 64, 32]);
    assert_eq!((rig.create(2, 1, 64, 64), rig.attach(2, 1, 16384)), (OK, OK));
    // Half transparent red, as it comes: multiplied by its alpha.
    rig.put(1, 16384, 4, [0, 0, 0x40, 0x80]);
    rig.put(1, 16384, 8, [1, 2, 3, 0xff]);
    assert_eq!(rig.transfer(2, [0, 0, 64, 64], 0), OK);
    let mut viewer = rig.watch();
    assert_eq!(rig.ask(0x300, &[0, 5, 6, 0, 2, 7, 100, 0]), OK);
    let cursor = viewer.news().cursor.unwrap().unwrap();
    assert_eq!((cursor.size, cursor.hot), (Size { width: 64, height: 64 }, (7, 63)));
    assert_eq!(cursor.pixels[..3], [0, 0x8080_0000, 0xff03_0201]);
    let seen = |rig: &Rig, x: usize, y: usize| rig.screen.picture_with_pointer().unwrap().pixels[y * 64 + x];
    let under = rig.screen.picture().unwrap();
    assert_eq!(seen(&rig, 7, 6), 0x03_0201, "where it was put");
    assert_eq!(rig.ask(0x301, &[0, 9, 9, 0, 0, 0, 0, 0]), OK);
    assert_eq!(viewer.news().cursor, None, "it only moved");
    assert_eq!((seen(&rig, 11, 9), seen(&rig, 7, 6)), (0x03_0201, under.pixels[6 * 64 + 7]), "where it was moved to");
    assert_eq!(rig.ask(0x301, &[0, -1i32 as u32, 0, 0, 0, 0, 0, 0]), OK);
    assert_eq!(seen(&rig, 1, 0), 0x03_0201, "half of it left of the screen");
    assert_eq!(rig.ask(0x300, &[0, 0, 0, 0, 0, 0, 0, 0]), OK);
    assert_eq!(viewer.news().cursor, Some(None));
    assert_eq!(rig.ask(0x300, &[1, 0, 0, 0, 2, 0, 0, 0]), SCANOUT);
    assert_eq!(rig.ask(0x300, &[0, 0, 0, 0, 3, 0, 0, 0]), RESOURCE);
    assert_eq!(rig.create(4, 1, 257, 1), OK);
    assert_eq!(rig.ask(0x300, &[0, 0, 0, 0, 4, 0, 0, 0]), PARAMETER);
}

#[test]
fn a_wish_for_another_size_reaches_the_driver() {
    let mut rig = Rig::new();
    let config = rig.driver.io.config.clone();
    let events = |config: &ConfigSpace| {
        let mut bytes = [0; 16];
        config.read(0, &mut bytes);
        bytes.to_vec()
    };
    assert_eq!(events(&config), words(&[0, 0, 1, 0]));
    rig.screen.ask(Size { width: 1000, height: 700 });
    assert_eq!(rig.driver.poll(&mut *rig.device).unwrap(), 1);
    assert_eq!((events(&config), config.generation()), (words(&[1, 0, 1, 0]), 1));
    assert_eq!(rig.send(0, &header(0x100), 408)[32..40], words(&[1000, 700]));
    rig.device.config_written(4, &1u32.to_le_bytes(), &config, Some(&mut rig.driver.io));
    assert_eq!(events(&config), words(&[0, 0, 1, 0]));
    // The same again, and what no screen can be.
    for (width, height) in [(1000, 700), (0, 1), (u32::MAX, u32::MAX)] {
        rig.screen.ask(Size { width, height });
        rig.driver.poll(&mut *rig.device).unwrap();
        assert_eq!((events(&config)[0], config.generation()), (0, 1));
    }
    assert_eq!(rig.driver.poll(&mut *rig.device).unwrap(), 0, "it sleeps");
}

#[test]
fn options_say_what_is_wrong() {
    let says = |options: &str| format!("{:#}", build(options, &Host::new(Arc::new(|_| {}))).err().unwrap());
    assert_eq!(says("big"), "`size=big`: want WIDTHxHEIGHT, such as 1280x800");
    assert_eq!(says("0x5"), "`size=0x5`: want at most 16384 pixels a side, and 2^24 in all");
    let host = Host::new(Arc::new(|_| {}));
    let first = build("1024x768", &host).unwrap();
    assert!(build("", &host).err().unwrap().to_string().starts_with("a machine has one screen"));
    drop(first);
    build("", &host).unwrap();
}

/// Fields that are near something.
fn field() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..5, 2 => 60u32..70, 1 => Just(512), 1 => any::<u32>(), 1 => Just(PIXELS as u32)]
}

fn request() -> impl Strategy<Value = (u32, Vec<u32>, bool)> {
    let kind = prop_oneof![8 => 0x100u32..0x10b, 2 => 0x300u32..0x302, 1 => any::<u32>()];
    (kind, proptest::collection::vec(field(), 0..12), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever a driver asks for is answered, and what it takes stays bounded.
    #[test]
    fn hostile_requests_are_answered(requests in proptest::collection::vec(request(), 1..60)) {
        let host = Host::new(Arc::new(|_| {}));
        let ear = Arc::new(Ear { wish: Lock::new(None), bell: eventfd().unwrap() });
        let source: Arc<dyn Source> = ear.clone();
        let brush = host.screen.attach(Rank::Driver, Arc::downgrade(&source));
        let mut gpu = Gpu::new(brush, ear, Size { width: 640, height: 480 });
        let mut driver = Driver::new(&mut gpu, u64::MAX);
        for (kind, fields, cursor) in requests {
            let queue = usize::from(if fields.len() > 10 { cursor } else { kind >= 0x300 });
            let bytes = [header(kind), words(&fields)].concat();
            driver.mem.write(DATA, &bytes).unwrap();
            driver.post(queue, &[(DATA, bytes.len() as u32, false), (RESPONSE, 2000, true)]);
            driver.kick(&mut gpu, queue).unwrap();
            let used = driver.used(queue);
            prop_assert!(used.len() == 1 && used[0].1 >= 24);
            let kind = u32::from_le_bytes(driver.mem.read(RESPONSE).unwrap());
            prop_assert!((0x1100..0x1105).contains(&kind) || (0x1200..0x1206).contains(&kind));
            prop_assert!(gpu.resources.is_in_order());
            let shown = gpu.scanout.map_or(Size::default(), |(_, r)| Size { width: r.width, height: r.height });
            prop_assert_eq!(host.screen.size(), shown);
        }
    }
}
