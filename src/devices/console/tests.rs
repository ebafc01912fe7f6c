use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver};
use crate::host::stream::Ready;
use crate::sys::Lock;
use proptest::prelude::*;

/// The host's end of a port.
#[derive(Default)]
struct Cable {
    sent: Lock<Vec<u8>>,
    waiting: Lock<Vec<u8>>,
    ready: Lock<Option<Ready>>,
    size: Lock<Option<(u16, u16)>>,
    hangups: Lock<u32>,
}

impl Cable {
    fn ring(&self) {
        let ready = self.ready.lock().clone();
        ready.into_iter().for_each(|ready| ready());
    }

    fn typed(&self, text: &[u8]) {
        self.waiting.lock().extend(text);
        self.ring();
    }

    fn resized(&self, columns: u16, rows: u16) {
        *self.size.lock() = Some((columns, rows));
        self.ring();
    }
}

impl Stream for Cable {
    fn write(&self, data: &[u8]) {
        self.sent.lock().extend(data);
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        let mut waiting = self.waiting.lock();
        let n = buf.len().min(waiting.len());
        buf[..n].copy_from_slice(&waiting[..n]);
        waiting.drain(..n);
        n
    }

    fn listen(&self, ready: Ready) {
        *self.ready.lock() = Some(ready);
    }

    fn hung_up(&self) {
        *self.hangups.lock() += 1;
    }

    fn size(&self) -> Option<(u16, u16)> {
        *self.size.lock()
    }
}

/// A console on a terminal of 80x25, and `more` named ports.
fn console(more: usize) -> (Console, Vec<Arc<Cable>>) {
    let cables: Vec<Arc<Cable>> = (0..=more).map(|_| Arc::default()).collect();
    *cables[0].size.lock() = Some((80, 25));
    let port = |(i, cable): (usize, &Arc<Cable>)| Port::new(&format!("port{i}"), cable.clone());
    (Console::new(cables.iter().enumerate().map(port).collect()), cables)
}

const ALL: u64 = 0b111;

/// Posts a buffer of `len` bytes for input at DATA + `at`.
fn offer(d: &mut Driver, device: &mut Console, queue: usize, at: u64, len: u32) {
    d.post(queue, &[(DATA + at, len, true)]);
    d.kick(device, queue).unwrap();
}

fn send(d: &mut Driver, device: &mut Console, queue: usize, data: &[u8]) {
    d.mem.write(DATA + 0x8000, data).unwrap();
    d.post(queue, &[(DATA + 0x8000, data.len() as u32, false)]);
    d.kick(device, queue).unwrap();
    assert_eq!(d.used(queue).len(), 1);
}

fn control(id: u32, event: u16, value: u16) -> Vec<u8> {
    [&id.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat()
}

fn tell(d: &mut Driver, device: &mut Console, id: u32, event: u16, value: u16) {
    send(d, device, CONTROL_OUT, &control(id, event, value));
}

/// Gives the device `n` buffers of 64 bytes for control messages, and says what it put there.
fn heard(d: &mut Driver, device: &mut Console, n: usize) -> Vec<Vec<u8>> {
    (0..n).for_each(|i| offer(d, device, CONTROL_IN, 0x1000 + 64 * i as u64, 64));
    let used = d.used(CONTROL_IN);
    let message = |(i, (_, len)): (usize, &(u16, u32))| {
        let mut bytes = vec![0; *len as usize];
        d.mem.slice(DATA + 0x1000 + 64 * i as u64, bytes.len()).unwrap().copy_to(&mut bytes);
        bytes
    };
    used.iter().enumerate().map(message).collect()
}

#[test]
fn ports_are_announced_named_and_opened() {
    let (mut console, cables) = console(2);
    assert_eq!(console.queue_sizes().len(), 8);
    assert_eq!(console.config(), [80, 0, 25, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    let mut d = Driver::new(&mut console, ALL);
    tell(&mut d, &mut console, u32::MAX, 0, 1);
    let added = heard(&mut d, &mut console, 3);
    assert_eq!(added, [control(0, 1, 1), control(1, 1, 1), control(2, 1, 1)]);
    // The console: with its size, rows first as Linux has it.
    tell(&mut d, &mut console, 0, 3, 1);
    let size = [control(0, 5, 0), vec![25, 0, 80, 0]].concat();
    assert_eq!(heard(&mut d, &mut console, 3), [control(0, 4, 1), control(0, 6, 1), size]);
    tell(&mut d, &mut console, 2, 3, 1);
    let name = [control(2, 7, 1), b"port2".to_vec()].concat();
    assert_eq!(heard(&mut d, &mut console, 2), [name, control(2, 6, 1)]);
    // Input waits until the guest opens the port; queue 6 is port 2's.
    offer(&mut d, &mut console, 6, 0, 16);
    cables[2].typed(b"hello");
    assert_eq!(d.poll(&mut console).unwrap(), 1);
    assert_eq!(d.used(6), []);
    tell(&mut d, &mut console, 2, 6, 1);
    assert_eq!(d.used(6).iter().map(|u| u.1).collect::<Vec<_>>(), [5]);
    assert_eq!(&d.mem.read::<5>(DATA).unwrap(), b"hello");
    // And queue 7 is its output.
    send(&mut d, &mut console, 7, b"thanks");
    assert_eq!((&**cables[2].sent.lock(), cables[1].sent.lock().len()), (&b"thanks"[..], 0));
    tell(&mut d, &mut console, 2, 6, 0);
    offer(&mut d, &mut console, 6, 0, 16);
    cables[2].typed(b"later");
    d.poll(&mut console).unwrap();
    assert_eq!(d.used(6), [], "closed again");
    assert_eq!(*cables[2].hangups.lock(), 1);
    tell(&mut d, &mut console, 2, 6, 1);
    console.reset();
    assert_eq!((*cables[1].hangups.lock(), *cables[2].hangups.lock()), (0, 2), "the driver went away with port 2 open");
}

#[test]
fn without_multiport_there_is_one_console() {
    for more in [0, 1] {
        let (mut console, cables) = console(more);
        let mut d = Driver::new(&mut console, 1 << F_SIZE);
        cables[0].typed(b"ls\r");
        d.poll(&mut console).unwrap();
        offer(&mut d, &mut console, 0, 0, 2);
        offer(&mut d, &mut console, 0, 16, 2);
        assert_eq!(d.used(0).iter().map(|u| u.1).collect::<Vec<_>>(), [2, 1]);
        assert_eq!((&d.mem.read::<2>(DATA).unwrap(), d.mem.read::<1>(DATA + 16).unwrap()), (b"ls", [b'\r']));
        send(&mut d, &mut console, 1, b"file\r\n");
        assert_eq!(*cables[0].sent.lock(), b"file\r\n");
    }
}

#[test]
fn input_is_not_lost_while_the_driver_has_no_buffers() {
    let (mut console, cables) = console(0);
    let mut d = Driver::new(&mut console, ALL);
    let text: Vec<u8> = (0..20_000u32).map(|i| (i % 251) as u8).collect();
    cables[0].typed(&text);
    assert_eq!(d.poll(&mut console).unwrap(), 1);
    assert_eq!(d.poll(&mut console).unwrap(), 0, "it does not spin");
    let mut got = Vec::new();
    while got.len() < text.len() {
        offer(&mut d, &mut console, 0, 0, 700);
        let used = d.used(0);
        assert_eq!(used.len(), 1);
        let mut bytes = vec![0; used[0].1 as usize];
        d.mem.slice(DATA, bytes.len()).unwrap().copy_to(&mut bytes);
        got.extend(bytes);
    }
    assert!(got == text);
    // A driver that starts anew gets what the last one left.
    cables[0].typed(b"rest");
    d.poll(&mut console).unwrap();
    console.reset();
    let mut d = Driver::new(&mut console, ALL);
    offer(&mut d, &mut console, 0, 0, 16);
    assert_eq!(&d.mem.read::<4>(DATA).unwrap(), b"rest");
}

#[test]
fn another_size_is_told_once() {
    let (mut single, cables) = console(0);
    let mut d = Driver::new(&mut single, ALL);
    let first = d.io.config.generation();
    assert_eq!(first, 1, "at the start");
    cables[0].resized(132, 43);
    cables[0].ring();
    d.poll(&mut single).unwrap();
    cables[0].ring();
    d.poll(&mut single).unwrap();
    let mut size = [0; 4];
    d.io.config.read(0, &mut size);
    assert_eq!((size, d.io.config.generation()), ([132, 0, 43, 0], 2));

    let (mut multi, cables) = console(1);
    let mut d = Driver::new(&mut multi, ALL);
    cables[0].resized(100, 30);
    d.poll(&mut multi).unwrap();
    assert_eq!(heard(&mut d, &mut multi, 1), Vec::<Vec<u8>>::new(), "the driver does not know the port yet");
    tell(&mut d, &mut multi, 0, 3, 1);
    let messages = heard(&mut d, &mut multi, 2);
    assert_eq!(messages.len(), 3, "with the buffer from before");
    cables[0].resized(132, 43);
    d.poll(&mut multi).unwrap();
    assert_eq!(heard(&mut d, &mut multi, 1), [[control(0, 5, 0), vec![43, 0, 132, 0]].concat()]);
    d.io.config.read(0, &mut size);
    assert_eq!(size, [132, 0, 43, 0]);
}

#[test]
fn a_driver_that_takes_no_answers_is_not_heard_without_end() {
    let (mut console, _) = console(30);
    let mut d = Driver::new(&mut console, ALL);
    d.mem.write(DATA, &control(0, 0, 1)).unwrap();
    for _ in 0..60 {
        d.post(CONTROL_OUT, &[(DATA, 8, false)]);
    }
    d.kick(&mut console, CONTROL_OUT).unwrap();
    assert_eq!(d.used(CONTROL_OUT).len(), 3, "3 times 31 answers wait");
    // Buffers for the answers set it going again.
    let mut answers = 0;
    for _ in 0..200 {
        answers += heard(&mut d, &mut console, 10).len();
    }
    assert_eq!((d.used(CONTROL_OUT).len(), answers), (57, 60 * 31));
}

#[test]
fn an_emergency_needs_no_driver() {
    let (mut console, cables) = console(0);
    let config = ConfigSpace::new(console.config());
    for byte in b"oops" {
        console.config_written(EMERG_WR, &u32::from(*byte).to_le_bytes(), &config, None);
    }
    console.config_written(0, b"xxxx", &config, None);
    assert_eq!(*cables[0].sent.lock(), b"oops");
}

#[test]
fn options_are_checked() {
    let build = |text: &str| {
        let options = Options::parse(text, KIND.positional())?;
        (KIND.build)(&options, &Host::new(Arc::new(|_| {}))).map(Built::into_virtio)
    };
    let says = |text: &str| format!("{:#}", build(text).err().unwrap());
    assert_eq!(build("none,ports=a=none+org.b.0=null").unwrap().queue_sizes().len(), 8);
    assert!(says("tcp").starts_with("stream=tcp: `tcp` is no stream; there are: stdio, "));
    assert_eq!(says("none,ports=a"), "`ports=a`: want NAME=STREAM, not `a`");
    assert_eq!(says("none,ports=a=none+a=none"), "`ports=a=none+a=none`: two ports are called `a`");
    assert!(says("none,ports=a/b=none").ends_with("want 1 to 63 printable characters"));
    assert!(says("none,ports=a=file=/nowhere/x").starts_with("port a=file=/nowhere/x: open /nowhere/x: No such file"));
    let many: Vec<String> = (0..31).map(|i| format!("p{i}=none")).collect();
    assert!(says(&format!("none,ports={}", many.join("+"))).ends_with("there are at most 30 ports"));
}

proptest! {
    #[test]
    fn any_control_messages_are_tolerated(
        messages in prop::collection::vec((0u32..5, 0u16..9, 0u16..3, 0u32..12), 1..64),
        features in 0u64..8,
    ) {
        let (mut console, cables) = console(2);
        let mut d = Driver::new(&mut console, features);
        for (id, event, value, len) in messages {
            let id = if id == 4 { u32::MAX } else { id };
            d.mem.write(DATA, &control(id, event, value)).unwrap();
            d.post(CONTROL_OUT, &[(DATA, len, false)]);
            d.post(CONTROL_IN, &[(DATA + 0x100, len, true)]);
            cables[2].typed(b"x");
            for queue in 0..8 {
                d.kick(&mut console, queue).unwrap();
            }
            d.poll(&mut console).unwrap();
        }
    }
}
