use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver};
use crate::sys::{Lock, fd};
use proptest::prelude::*;
use std::sync::Arc;

const ANSWER: u64 = DATA + 0x1000;
const SOUND: u64 = DATA + 0x1_0000;
const RECEIVE: usize = 3;
const OK: u32 = 0x8000;
const BAD: u32 = 0x8001;
const NOT: u32 = 0x8002;
/// S16, two channels, 48000 Hz: 192 bytes a millisecond.
const S16: u32 = 2 | 5 << 8 | 7 << 16;

#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Start(Format),
    Sound(Vec<u8>),
    Stop,
}

#[derive(Clone, Default)]
struct Ear(Arc<Lock<Vec<Heard>>>);

impl Sink for Ear {
    fn start(&mut self, format: Format) {
        self.0.lock().push(Heard::Start(format));
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().push(Heard::Sound(bytes.to_vec()));
    }
    fn stop(&mut self) {
        self.0.lock().push(Heard::Stop);
    }
}

struct Rig {
    ear: Ear,
    device: Sound,
    driver: Driver,
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Rig {
    fn new(offer: Offer) -> Rig {
        let ear = Ear::default();
        let mut device = Sound::new(Box::new(ear.clone()), offer).unwrap();
        let driver = Driver::new(&mut device, u64::MAX);
        Rig { ear, device, driver }
    }

    /// A stream that is about to start.
    fn prepared(number: u32) -> Rig {
        let mut rig = Rig::new(Offer::All);
        assert_eq!(rig.set(number, S16), OK);
        assert_eq!(rig.ask(0x102, &[number]), OK);
        rig
    }

    fn send(&mut self, request: &[u8]) -> Vec<u8> {
        self.driver.mem.write(DATA, request).unwrap();
        self.driver.post(CONTROL, &[(DATA, request.len() as u32, false), (ANSWER, 256, true)]);
        self.driver.kick(&mut self.device, CONTROL).unwrap();
        let mut answer = vec![0; self.driver.used(CONTROL)[0].1 as usize];
        self.driver.mem.slice(ANSWER, answer.len()).unwrap().copy_to(&mut answer);
        answer
    }

    fn ask(&mut self, code: u32, fields: &[u32]) -> u32 {
        let answer = self.send(&[words(&[code]), words(fields)].concat());
        u32::from_le_bytes(answer[..4].try_into().unwrap())
    }

    fn set(&mut self, number: u32, what: u32) -> u32 {
        self.ask(0x101, &[number, 7680, 1920, 0, what])
    }

    /// A buffer for a stream, `len` bytes of `value` to play or to fill.
    fn give(&mut self, number: u32, len: u32, value: u8) {
        let queue = TRANSMIT + number as usize;
        self.driver.mem.write(SOUND - 4, &words(&[number])).unwrap();
        self.driver.mem.slice(SOUND, len as usize).unwrap().fill(value);
        self.driver.mem.write(ANSWER, &[0xaa; 8]).unwrap();
        let sound = (SOUND, len, queue != TRANSMIT);
        self.driver.post(queue, &[(SOUND - 4, 4, false), sound, (ANSWER, 8, true)]);
        self.driver.kick(&mut self.device, queue).unwrap();
    }

    /// The status of the buffer that was given back last.
    fn status(&self) -> u32 {
        u32::from_le_bytes(self.driver.mem.read(ANSWER).unwrap())
    }

    /// Lets time pass until so many buffers of a stream have come back.
    fn until_back(&mut self, number: usize, count: usize) -> Vec<(u16, u32)> {
        let mut back = self.driver.used(TRANSMIT + number);
        while back.len() < count {
            fd::wait_readable([self.device.streams[number].timer.as_fd()]).unwrap();
            self.driver.poll(&mut self.device).unwrap();
            back.extend(self.driver.used(TRANSMIT + number));
        }
        back
    }

    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.ear.0.lock())
    }
}

#[test]
fn the_driver_learns_of_two_streams() {
    let mut rig = Rig::new(Offer::All);
    assert_eq!(rig.device.config(), words(&[0, 2, 2]));
    let answer = rig.send(&words(&[0x100, 0, 2, 32]));
    assert_eq!(answer.len(), 4 + 2 * 32);
    let one = |direction: u8| [&words(&[0, 0, 0xa_0030, 0, 0x3fff, 0])[..], &[direction, 1, 2, 0, 0, 0, 0, 0]].concat();
    assert_eq!(answer, [words(&[OK]), one(0), one(1)].concat());
    let answer = rig.send(&words(&[0x200, 1, 1, 24]));
    assert_eq!((answer.len(), &answer[4..12]), (28, &[0, 0, 0, 0, 1, 2, 3, 4][..]));
    assert_eq!(rig.ask(1, &[0, 0, 24]), OK, "no jacks are all the jacks there are");
    for request in [[1, 0, 1, 24], [0x100, 0, 3, 32], [0x100, 2, 1, 32], [0x100, u32::MAX, 2, 32], [0x100, 0, 2, 31]] {
        assert_eq!(rig.send(&words(&request)), words(&[BAD]), "{request:x?}");
    }
    assert_eq!(rig.send(&words(&[2, 0, 0, 0])), words(&[NOT]));
    assert_eq!(rig.send(&words(&[0x100, 0, 2])), words(&[BAD]), "too short");
    assert_eq!(rig.send(&[0, 1]), words(&[BAD]), "too short");
}

#[test]
fn a_file_has_one_format_and_the_guest_is_offered_that() {
    let format = Format { sample: Sample::S32, channels: 2, rate: 44100 };
    let mut rig = Rig::new(Offer::of(format).unwrap());
    assert_eq!(rig.send(&words(&[0x100, 0, 1, 32]))[12..31], [&words(&[1 << 17, 0, 1 << 6, 0])[..], &[0, 2, 2]].concat());
    assert_eq!(rig.set(0, S16), NOT);
    assert_eq!(rig.set(0, 2 | 17 << 8 | 6 << 16), OK);
    assert_eq!(Offer::of(Format { rate: 48001, ..format }), None);
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    let mut rig = Rig::new(Offer::All);
    for what in [5 << 8 | 7 << 16, 3 | 5 << 8 | 7 << 16, 2 | 6 << 8 | 7 << 16, 2 | 5 << 8 | 14 << 16, u32::MAX] {
        assert_eq!(rig.set(0, what), NOT, "{what:x}");
    }
    assert_eq!(rig.ask(0x101, &[0, 100, 0, 0, S16]), BAD);
    assert_eq!(rig.ask(0x101, &[0, 100, 101, 0, S16]), BAD);
    assert_eq!(rig.ask(0x101, &[0, 100, 100, 1, S16]), NOT, "there are no features");
    assert_eq!(rig.ask(0x101, &[2, 100, 100, 0, S16]), BAD);
    for code in 0x102..0x106 {
        for number in [0, 1, 2, 0xffff_fffe, u32::MAX] {
            assert_eq!(rig.ask(code, &[number]), BAD, "{code:x} {number}");
        }
    }
}

#[test]
fn a_buffer_is_heard_and_goes_back_when_its_time_is_over() {
    let mut rig = Rig::prepared(0);
    rig.give(0, 1920, 1);
    rig.give(0, 1920, 2);
    assert!(rig.driver.used(TRANSMIT).is_empty() && rig.heard().is_empty(), "it has not started");
    let before = Instant::now();
    assert_eq!(rig.ask(0x104, &[0]), OK);
    let format = Format { sample: Sample::S16, channels: 2, rate: 48000 };
    // The driver may change what waits: it is read when it is heard.
    assert_eq!(rig.heard(), [Heard::Start(format), Heard::Sound(vec![2; 1920])]);
    assert!(rig.driver.used(TRANSMIT).is_empty());
    assert_eq!(rig.until_back(0, 2), [(0, 8), (3, 8)]);
    assert!(before.elapsed() >= std::time::Duration::from_millis(20), "1920 bytes are 10 ms");
    assert_eq!(rig.status(), OK);
    assert_eq!(rig.heard(), [Heard::Sound(vec![2; 1920])]);
    assert!(rig.driver.io.readable().is_empty(), "with nothing to play it sleeps");
    // Late, but it goes on.
    rig.give(0, 192, 3);
    rig.until_back(0, 1);
    assert_eq!(rig.ask(0x105, &[0]), OK);
    assert_eq!(rig.heard(), [Heard::Sound(vec![3; 192]), Heard::Stop]);
}

#[test]
fn a_stream_that_is_stopped_keeps_its_buffers_until_it_is_released() {
    let mut rig = Rig::prepared(0);
    rig.ask(0x104, &[0]);
    rig.give(0, 960_000, 1);
    rig.give(0, 960_000, 2);
    assert_eq!(rig.ask(0x103, &[0]), BAD, "it runs");
    assert_eq!(rig.set(0, S16), BAD, "it runs");
    assert_eq!(rig.ask(0x105, &[0]), OK);
    assert_eq!(rig.ask(0x105, &[0]), BAD, "it does not run");
    assert!(rig.driver.used(TRANSMIT).is_empty());
    rig.heard();
    // What has been heard is not heard again: it goes on with the rest, a tenth of a second at a time.
    assert_eq!(rig.ask(0x104, &[0]), OK);
    assert_eq!(rig.heard()[1..], [Heard::Sound(vec![2; 19200])]);
    rig.ask(0x105, &[0]);
    assert!(rig.driver.used(TRANSMIT).is_empty());
    assert_eq!(rig.ask(0x103, &[0]), OK);
    assert_eq!(rig.driver.used(TRANSMIT).len(), 2, "all have come back");
    assert_eq!(rig.ask(0x102, &[0]), OK, "and it can be used again");
}

#[test]
fn a_long_buffer_is_heard_in_pieces_and_goes_back_as_one() {
    let mut rig = Rig::prepared(0);
    rig.ask(0x104, &[0]);
    let before = Instant::now();
    // A quarter of a second, and three bytes that are no frame.
    rig.give(0, 48003, 1);
    assert_eq!(rig.heard()[1..], [Heard::Sound(vec![1; 19200])]);
    assert_eq!(rig.until_back(0, 1), [(0, 8)]);
    assert!(before.elapsed() >= std::time::Duration::from_millis(250));
    assert_eq!(rig.heard(), [Heard::Sound(vec![1; 19200]), Heard::Sound(vec![1; 9600])]);
    assert_eq!(rig.status(), OK);
}

#[test]
fn what_is_recorded_is_silence() {
    let mut rig = Rig::prepared(1);
    rig.ask(0x104, &[1]);
    rig.give(1, 384, 0x55);
    assert!(rig.driver.used(RECEIVE).is_empty(), "it takes as long as it is");
    assert_eq!(rig.until_back(1, 1), [(0, 392)]);
    assert_eq!(rig.driver.mem.read::<384>(SOUND).unwrap(), [0; 384]);
    assert_eq!(rig.status(), OK);
    assert!(rig.heard().is_empty());
}

#[test]
fn buffers_that_are_none_go_back_at_once() {
    let mut rig = Rig::new(Offer::All);
    rig.give(0, 192, 1);
    assert_eq!((rig.driver.used(TRANSMIT).len(), rig.status()), (1, BAD), "no parameters");
    let mut rig = Rig::prepared(0);
    rig.give(0, (1 << 20) + 1, 1);
    assert_eq!((rig.driver.used(TRANSMIT).len(), rig.status()), (1, BAD), "too long");
    rig.driver.mem.write(SOUND - 4, &words(&[1])).unwrap();
    rig.driver.post(TRANSMIT, &[(SOUND - 4, 196, false), (ANSWER, 8, true)]);
    rig.driver.kick(&mut rig.device, TRANSMIT).unwrap();
    assert_eq!((rig.driver.used(TRANSMIT).len(), rig.status()), (1, BAD), "another stream's");
    rig.driver.post(TRANSMIT, &[(SOUND - 4, 2, false), (ANSWER, 3, true)]);
    rig.driver.kick(&mut rig.device, TRANSMIT).unwrap();
    assert_eq!(rig.driver.used(TRANSMIT)[0].1, 3, "no header, and no room for a status");
}

#[test]
fn a_reset_silences_it() {
    let mut rig = Rig::prepared(0);
    rig.ask(0x104, &[0]);
    rig.give(0, 1920, 1);
    rig.heard();
    rig.device.reset();
    assert_eq!(rig.heard(), [Heard::Stop]);
    assert_eq!(rig.ask(0x104, &[0]), BAD, "it is as new");
}

#[test]
fn options_say_what_is_wrong() {
    let build = |options: &str| {
        let options = Options::parse(options, KIND.positional()).unwrap();
        (KIND.build)(&options, &Host::new(Arc::new(|_| {}))).map(Built::into_virtio)
    };
    let says = |options: &str| format!("{:#}", build(options).err().unwrap());
    assert_eq!(says("speaker"), "`to=speaker`: want host, null or wav=FILE");
    assert_eq!(says("wav=/nowhere/a.wav"), "create /nowhere/a.wav: No such file or directory (os error 2)");
    assert_eq!(says("wav=a.wav,rate=7"), "`rate=7`: want a usual one, such as 44100 or 48000");
    assert_eq!(says("wav=a.wav,format=mp3"), "`format=mp3`: want u8, s16, s32 or float");
    let dir = tempfile::tempdir().unwrap();
    build(&format!("wav={},format=float,rate=96000", dir.path().join("a.wav").display())).unwrap();
}

fn field() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..4, 2 => Just(S16), 1 => 1u32..4000, 1 => any::<u32>()]
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u32, Vec<u32>),
    Give(u32, u32, bool),
    Time,
}

fn step() -> impl Strategy<Value = Step> {
    let code = prop_oneof![6 => 0x101u32..0x106, 1 => Just(0x100), 1 => any::<u32>()];
    prop_oneof![
        4 => (code, proptest::collection::vec(field(), 0..6)).prop_map(|(code, fields)| Step::Ask(code, fields)),
        3 => (0u32..3, 0u32..5000, any::<bool>()).prop_map(|(number, len, late)| Step::Give(number, len, late)),
        1 => Just(Step::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever a driver does, each request is answered, and each buffer goes back once at the most.
    #[test]
    fn hostile_drivers_are_answered(steps in proptest::collection::vec(step(), 1..60)) {
        let mut rig = Rig::prepared(0);
        let (mut given, mut back) = (0, 0);
        for step in steps {
            match step {
                Step::Ask(code, fields) => {
                    let status = rig.ask(code, &fields);
                    prop_assert!((OK..=NOT).contains(&status));
                }
                Step::Give(number, len, receive) if given - back < 10 => {
                    let queue = TRANSMIT + usize::from(receive);
                    rig.driver.mem.write(SOUND - 4, &words(&[number])).unwrap();
                    rig.driver.post(queue, &[(SOUND - 4, 4 + len % 64, false), (SOUND, len, true)]);
                    rig.driver.kick(&mut rig.device, queue).unwrap();
                    given += 1;
                }
                _ => drop(rig.driver.poll(&mut rig.device).unwrap()),
            }
            back += rig.driver.used(TRANSMIT).len() + rig.driver.used(RECEIVE).len();
            prop_assert!(back <= given);
        }
    }
}
