use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver};
use crate::host::clipboard::Clipboard;
use crate::virtio::Device;
use std::sync::Arc;

/// Queues: control messages to and from the driver, and of the port.
const CONTROL_IN: usize = 2;
const CONTROL_OUT: usize = 3;
const IN: usize = 4;
const OUT: usize = 5;
const BUFFERS: u64 = DATA + 0x1_0000;

struct Rig {
    device: Box<dyn Device>,
    driver: Driver,
    clipboard: Arc<Clipboard>,
    posted: u64,
}

impl Rig {
    fn new() -> Rig {
        let host = Host::new(Arc::new(|_| {}));
        let mut device = (KIND.build)(&Options::default(), &host).unwrap().into_virtio();
        let driver = Driver::new(&mut *device, u64::MAX);
        Rig { device, driver, clipboard: host.seat.clipboard().clone(), posted: 0 }
    }

    fn send(&mut self, queue: usize, data: &[u8]) {
        self.driver.mem.write(DATA, data).unwrap();
        self.driver.post(queue, &[(DATA, data.len() as u32, false)]);
        self.driver.kick(&mut *self.device, queue).unwrap();
        self.driver.used(queue);
    }

    /// Gives a queue a buffer, and takes what is put into it.
    fn take(&mut self, queue: usize) -> Option<Vec<u8>> {
        let at = BUFFERS + self.posted * 0x1000;
        self.posted += 1;
        self.driver.post(queue, &[(at, 0x1000, true)]);
        self.driver.kick(&mut *self.device, queue).unwrap();
        self.driver.poll(&mut *self.device).unwrap();
        let (_, len) = *self.driver.used(queue).first()?;
        let mut out = vec![0; len as usize];
        self.driver.mem.slice(at, len as usize).unwrap().copy_to(&mut out);
        Some(out)
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn control(id: u32, event: u16, value: u16) -> Vec<u8> {
    [&id.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat()
}

#[test]
fn a_guest_finds_the_port_and_no_console_and_shares_text() {
    let mut rig = Rig::new();
    rig.send(CONTROL_OUT, &control(0, 0, 1));
    assert_eq!(rig.take(CONTROL_IN), Some(control(1, 1, 1)), "port 1 is the first");
    rig.send(CONTROL_OUT, &control(0, 3, 1));
    rig.send(CONTROL_OUT, &control(1, 3, 1));
    assert_eq!(rig.take(CONTROL_IN), Some([control(1, 7, 1), PORT.as_bytes().to_vec()].concat()));
    assert_eq!(rig.take(CONTROL_IN), Some(control(1, 6, 1)));
    rig.send(CONTROL_OUT, &control(1, 6, 1));
    // The agent says what it can, and is told; then somebody copies.
    let hello = [words(&[1, 28]), words(&[1, 6, 0, 0, 8]), words(&[1, 1 << 5])].concat();
    rig.send(OUT, &hello);
    let answer = rig.take(IN).unwrap();
    assert_eq!((answer.len(), &answer[..16]), (8 + 20 + 8, &words(&[1, 28, 1, 6])[..]));
    rig.clipboard.join(Arc::new(|| {})).put("copied");
    let grab = rig.take(IN).unwrap();
    assert_eq!(grab, [words(&[1, 24]), words(&[1, 7, 0, 0, 4]), words(&[1])].concat());
}
