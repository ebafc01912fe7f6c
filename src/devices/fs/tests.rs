use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver};
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

const HIPRIO: usize = 0;
const REQUESTS: usize = 1;
const REPLY: u64 = DATA + 0x1_0000;
const STEP: u64 = 0x1000;

fn build(options: &str) -> Result<Box<dyn Device>> {
    let options = Options::parse(options, KIND.positional()).unwrap();
    (KIND.build)(&options, &Host::new(Arc::new(|_| {}))).map(Built::into_virtio)
}

/// A device on `dir`, with a driver that has said INIT.
struct Guest {
    device: Box<dyn Device>,
    driver: Driver,
    count: u64,
}

fn request(opcode: u32, unique: u64, node: u64, body: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    raw.extend((40 + body.len() as u32).to_le_bytes());
    raw.extend(opcode.to_le_bytes());
    raw.extend(unique.to_le_bytes());
    raw.extend(node.to_le_bytes());
    raw.extend([0; 16]);
    raw.extend(body);
    raw
}

fn words(all: &[u64]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Guest {
    fn new(dir: &Path, options: &str) -> Guest {
        let mut device = build(&format!("{}{options}", dir.display())).unwrap();
        let driver = Driver::new(device.as_mut(), u64::MAX);
        let mut guest = Guest { device, driver, count: 0 };
        guest.init();
        guest
    }

    fn init(&mut self) {
        let mut init = [7u32, 38, 0x2_0000, u32::MAX, u32::MAX].map(u32::to_le_bytes).concat();
        init.resize(64, 0);
        assert_eq!(self.call(26, 0, &init).unwrap().len(), 64);
    }

    /// Sends a request; says its number. The reply will be at [`Guest::reply`].
    fn send(&mut self, queue: usize, opcode: u32, node: u64, body: &[u8]) -> u64 {
        self.count += 1;
        let unique = self.count;
        let (at, back) = (DATA + unique % 16 * STEP, REPLY + unique % 16 * STEP);
        let raw = request(opcode, unique, node, body);
        self.driver.mem.write(at, &raw).unwrap();
        self.driver.mem.write(back, &[0; 16]).unwrap();
        let (head, rest) = (at, at + 40);
        let mut parts = vec![(head, 40, false), (rest, raw.len() as u32 - 40, false)];
        if queue == REQUESTS {
            parts.extend([(back, 16, true), (back + 16, STEP as u32 - 16, true)]);
        }
        self.driver.post(queue, &parts);
        self.driver.kick(self.device.as_mut(), queue).unwrap();
        unique
    }

    /// The reply to `unique`, none while there is none.
    fn reply(&self, unique: u64) -> Option<Result<Vec<u8>, i32>> {
        let at = REPLY + unique % 16 * STEP;
        let [len, error, ..] = self.driver.mem.read::<16>(at).unwrap().as_chunks::<4>().0.to_vec()[..] else { return None };
        let (len, error) = (u32::from_le_bytes(len) as usize, i32::from_le_bytes(error));
        if len == 0 {
            return None;
        }
        assert_eq!(self.driver.mem.read::<8>(at + 8).unwrap(), unique.to_le_bytes());
        let mut out = vec![0; len - 16];
        self.driver.mem.slice(at + 16, len - 16).unwrap().copy_to(&mut out);
        Some(if error == 0 { Ok(out) } else { Err(-error) })
    }

    fn call(&mut self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        let unique = self.send(REQUESTS, opcode, node, body);
        let reply = self.reply(unique).expect("a reply");
        let used = self.driver.used(REQUESTS);
        assert_eq!(used.len(), 1);
        assert_eq!(used[0].1 as usize, 16 + reply.as_ref().map_or(0, Vec::len));
        reply
    }

    fn open(&mut self, name: &[u8]) -> (u64, u64) {
        let first = |raw: Vec<u8>| u64::from_le_bytes(*raw.first_chunk().unwrap());
        let node = first(self.call(1, 1, name).unwrap());
        (node, first(self.call(14, node, &words(&[libc::O_RDWR as u64])).unwrap()))
    }

    /// fuse_lk_in for all of the file.
    fn lock(fh: u64, kind: i32, flags: u64) -> Vec<u8> {
        words(&[fh, 1, 0, i64::MAX as u64, kind as u64, flags])
    }
}

#[test]
fn the_options_make_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let device = build(&format!("{path},tag=home")).unwrap();
    let config = device.config();
    assert_eq!((device.id(), config.len()), (26, 40));
    assert_eq!(&config[..6], b"home\0\0");
    assert_eq!(config[36..], 1u32.to_le_bytes());
    assert_eq!(device.queue_sizes(), [512, 512]);
    let said = |options: &str| format!("{:#}", build(options).err().unwrap());
    let long = "x".repeat(37);
    assert_eq!(said(&format!("{path},tag={long}")), format!("`tag={long}`: want 1 to 36 bytes"));
    assert!(said(&format!("{path},tag=")).contains("want 1 to 36 bytes"));
    assert!(build(&format!("{path},tag={}", "x".repeat(36))).is_ok());
    assert_eq!(said(&format!("{path}/no")), format!("open {path}/no: No such file or directory (os error 2)"));
    fs::write(dir.path().join("file"), b"").unwrap();
    assert_eq!(said(&format!("{path}/file")), format!("open {path}/file: Not a directory (os error 20)"));
    assert_eq!(said(&format!("{path},cache=some")), "`cache=some`: want auto, always or never");
    assert_eq!(said(&format!("{path},locks=all")), "`locks=all`: want guest or host");
}

#[test]
fn a_file_is_read_and_written_in_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), b"hello").unwrap();
    let mut g = Guest::new(dir.path(), "");
    let (node, fh) = g.open(b"f\0");
    assert_eq!(g.call(15, node, &words(&[fh, 1, 100, 0, 0])).unwrap(), b"ello");
    let mut write = words(&[fh, 5, 6, 0, 0]);
    write.extend(b" world");
    assert_eq!(g.call(16, node, &write).unwrap()[..4], 6u32.to_le_bytes());
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"hello world");
    assert_eq!(g.call(9999, node, &[0]), Err(libc::ENOSYS));
    g.call(18, node, &words(&[fh, 0, 0])).unwrap();
    g.send(HIPRIO, 2, node, &words(&[1]));
    assert_eq!(g.driver.used(HIPRIO), [(0, 0)], "FORGET has no reply");
    assert_eq!(g.call(3, node, &words(&[0, 0])), Err(libc::ESTALE));
}

#[test]
fn a_read_only_device_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let mut g = Guest::new(dir.path(), ",readonly");
    let mut mkdir = words(&[0o755]);
    mkdir.extend(b"d\0");
    assert_eq!(g.call(9, 1, &mkdir), Err(libc::EROFS));
    assert_eq!(Guest::new(dir.path(), "").call(9, 1, &mkdir).unwrap().len(), 128);
}

#[test]
fn what_waits_for_a_lock_is_answered_when_it_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let host = File::create(dir.path().join("f")).unwrap();
    let mut g = Guest::new(dir.path(), ",locks=host");
    let (node, fh) = g.open(b"f\0");
    host.lock().unwrap();
    let waits = g.send(REQUESTS, 33, node, &Guest::lock(fh, libc::F_WRLCK, 1));
    assert_eq!((g.reply(waits), g.driver.used(REQUESTS)), (None, vec![]));
    assert_eq!(g.call(32, node, &Guest::lock(fh, libc::F_WRLCK, 1)), Err(libc::EAGAIN), "others go on");
    host.unlock().unwrap();
    while g.driver.poll(g.device.as_mut()).unwrap() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(g.reply(waits), Some(Ok(vec![])));
    assert_eq!(g.driver.used(REQUESTS).len(), 1);
    assert!(host.try_lock().is_err());
}

#[test]
fn what_waits_for_a_lock_is_interrupted_and_ends_with_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let host = File::create(dir.path().join("f")).unwrap();
    let mut g = Guest::new(dir.path(), ",locks=host");
    let (node, fh) = g.open(b"f\0");
    host.lock().unwrap();
    let waits = g.send(REQUESTS, 33, node, &Guest::lock(fh, libc::F_WRLCK, 1));
    g.send(HIPRIO, 36, node, &words(&[waits]));
    assert_eq!(g.driver.poll(g.device.as_mut()).unwrap(), 1);
    assert_eq!(g.reply(waits), Some(Err(libc::EINTR)));
    g.driver.used(REQUESTS);
    // A reset while one waits: it is given up, and what comes after knows nothing of it.
    let lost = g.send(REQUESTS, 33, node, &Guest::lock(fh, libc::F_WRLCK, 1));
    g.device.quiesce(&mut g.driver.io).unwrap();
    g.device.reset();
    host.unlock().unwrap();
    g.device.start(&mut g.driver.io).unwrap();
    g.init();
    assert_eq!(g.driver.poll(g.device.as_mut()).unwrap(), 0);
    assert_eq!(g.reply(lost), None);
    assert!(host.try_lock().is_ok(), "nobody holds what nobody waits for");
}
