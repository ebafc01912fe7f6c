use super::*;
use crate::config::Options;
use crate::devices::Host;
use crate::devices::ring::{DATA, Driver, MEMORY, Part};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

mod no_room;
mod many;
use no_room::*;
use many::*;

const HEADER: u64 = DATA;
const BODY: u64 = DATA + 0x1_0000;
const STATUS: u64 = DATA + 0x8000;
const NOT_WRITTEN: u8 = 0xee;

struct Rig {
    _dir: tempfile::TempDir,
    path: PathBuf,
    disk: Box<dyn Device>,
    driver: Driver,
}

fn notify() -> crate::event::Notify {
    Arc::new(|_| {})
}

fn build(path: &Path, options: &str) -> Result<Box<dyn Device>> {
    let text = format!("{}{options}", path.display());
    (KIND.build)(&Options::parse(&text, KIND.positional())?, &Host::new(Arc::new(|_| {}))).map(Built::into_virtio)
}

impl Rig {
    fn new(io: &str, options: &str, sectors: usize) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        std::fs::write(&path, (0..sectors * 512).map(|i| (i / 512) as u8).collect::<Vec<_>>()).unwrap();
        let mut disk = build(&path, &format!(",io={io}{options}")).unwrap();
        let driver = Driver::new(disk.as_mut(), u64::MAX);
        Rig { _dir: dir, path, disk, driver }
    }

    fn header(&self, kind: u32, sector: u64) {
        let mut h = kind.to_le_bytes().to_vec();
        h.extend([0; 4]);
        h.extend(sector.to_le_bytes());
        self.driver.mem.write(HEADER, &h).unwrap();
    }

    /// Sends a request and says its status and the length it was given back with.
    fn send(&mut self, kind: u32, sector: u64, body: &[Part]) -> (u8, u32) {
        self.header(kind, sector);
        let parts = [&[(HEADER, 16, false)], body, &[(STATUS, 1, true)]].concat();
        self.send_raw(&parts).unwrap()
    }

    fn send_raw(&mut self, parts: &[Part]) -> Result<(u8, u32)> {
        self.driver.mem.write(STATUS, &[NOT_WRITTEN]).unwrap();
        let head = self.driver.post(0, parts);
        self.driver.kick(self.disk.as_mut(), 0)?;
        let used = self.used(0, 1)?;
        assert_eq!(used.len(), 1);
        assert_eq!(used[0].0, head);
        Ok((self.driver.mem.read::<1>(STATUS)?[0], used[0].1))
    }

    /// Waits until the device has answered `count` requests.
    fn used(&mut self, queue: usize, count: usize) -> Result<Vec<(u16, u32)>> {
        let mut used = self.driver.used(queue);
        while used.len() < count {
            if self.driver.poll(self.disk.as_mut())? == 0 {
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            used.extend(self.driver.used(queue));
        }
        Ok(used)
    }

    fn ranges(&mut self, kind: u32, ranges: &[(u64, u32, u32)]) -> u8 {
        let mut raw = Vec::new();
        for (sector, sectors, flags) in ranges {
            raw.extend(sector.to_le_bytes());
            raw.extend(sectors.to_le_bytes());
            raw.extend(flags.to_le_bytes());
        }
        self.driver.mem.write(BODY, &raw).unwrap();
        self.send(kind, 0, &[(BODY, raw.len() as u32, false)]).0
    }

    fn file(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}

/// The tests that are done with each way of asking the host.
macro_rules! ways {
    ($($test:ident),* $(,)?) => {
        mod sync {
            $(#[test] fn $test() { super::$test("sync"); })*
        }
        mod auto {
            $(#[test] fn $test() { super::$test("auto"); })*
        }
        mod direct {
            $(#[test] fn $test() { if super::has_direct() { super::$test("auto,direct"); } })*
        }
        mod uring {
            $(#[test] fn $test() { if super::has_uring() { super::$test("uring"); } })*
        }
    };
}
ways![
    reads_and_writes_go_where_they_should,
    a_request_may_be_cut_anywhere,
    nothing_beyond_the_end_is_reached,
    ranges_are_zeroed_and_discarded,
    a_readonly_disk_is_not_written,
    the_serial_number_is_told,
    what_is_not_known_is_not_supported,
    a_request_without_room_for_an_answer_stops_the_device,
    the_configuration_space_is_the_specifications,
    every_queue_is_served,
    hostile_requests_break_nothing,
    a_disk_is_a_vector_of_bytes,
    all_that_was_asked_for_is_answered,
    a_reset_waits_for_what_is_under_way,
    an_image_made_shorter_is_an_error,
    a_part_of_a_sector_is_padded_with_zeroes,
    a_flush_covers_what_was_answered,
    a_full_file_system_is_waited_for,
];

fn has_uring() -> bool {
    has(",io=uring")
}

fn has_direct() -> bool {
    has(",direct")
}

/// Says so when the host does not let us.
fn has(options: &str) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(4096).unwrap();
    match build(file.path(), options) {
        Ok(_) => true,
        Err(e) => {
            println!("SKIPPED: {e:#}");
            false
        }
    }
}

const OK: u8 = VIRTIO_BLK_S_OK as u8;
const IOERR: u8 = VIRTIO_BLK_S_IOERR as u8;
const UNSUPP: u8 = VIRTIO_BLK_S_UNSUPP as u8;

fn reads_and_writes_go_where_they_should(io: &str) {
    let mut r = Rig::new(io, "", 64);
    let body = [(BODY, 512, true), (BODY + 0x1000, 1024, true)];
    assert_eq!(r.send(VIRTIO_BLK_T_IN, 5, &body), (OK, 1537));
    let m = &r.driver.mem;
    assert_eq!((m.read::<512>(BODY).unwrap(), m.read::<512>(BODY + 0x1200).unwrap()), ([5; 512], [7; 512]));
    m.write(BODY, &[0xaa; 1024]).unwrap();
    assert_eq!(r.send(VIRTIO_BLK_T_OUT, 62, &[(BODY, 1000, false), (BODY, 24, false)]), (OK, 1));
    assert_eq!(r.file()[61 * 512..], [vec![61; 512], vec![0xaa; 1024]].concat());
    assert_eq!(r.driver.interrupts(), 2);
    assert_eq!(r.send(VIRTIO_BLK_T_FLUSH, 0, &[]), (OK, 1));
}

fn a_request_may_be_cut_anywhere(io: &str) {
    let mut r = Rig::new(io, "", 64);
    r.header(VIRTIO_BLK_T_IN, 9);
    // Header in three pieces with an empty one between; data and status in one descriptor, then an empty one.
    let parts = [
        (HEADER, 3, false),
        (HEADER + 3, 0, false),
        (HEADER + 3, 9, false),
        (HEADER + 12, 4, false),
        (BODY, 100, true),
        (STATUS - 412, 413, true),
        (BODY, 0, true),
    ];
    assert_eq!(r.send_raw(&parts).unwrap(), (OK, 513));
    assert_eq!(r.driver.mem.read::<100>(BODY).unwrap(), [9; 100]);
    assert_eq!(r.driver.mem.read::<412>(STATUS - 412).unwrap(), [9; 412]);
    // Header and data in one descriptor.
    r.header(VIRTIO_BLK_T_OUT, 3);
    r.driver.mem.write(HEADER + 16, &[0xbb; 512]).unwrap();
    assert_eq!(r.send_raw(&[(HEADER, 528, false), (STATUS, 1, true)]).unwrap(), (OK, 1));
    assert_eq!(r.file()[3 * 512..4 * 512], [0xbb; 512]);
}

fn nothing_beyond_the_end_is_reached(io: &str) {
    let mut r = Rig::new(io, "", 64);
    let before = r.file();
    for (sector, len) in [(64, 512), (63, 1024), (u64::MAX, 512), (u64::MAX / 512 + 1, 512), (1 << 55, 512), (0, 511)] {
        assert_eq!(r.send(VIRTIO_BLK_T_IN, sector, &[(BODY, len, true)]), (IOERR, len + 1), "read {len} at {sector}");
        assert_eq!(r.send(VIRTIO_BLK_T_OUT, sector, &[(BODY, len, false)]), (IOERR, 1), "write {len} at {sector}");
    }
    for (sector, sectors) in [(64, 1), (0, 65), (u64::MAX, 1), (0, u32::MAX), (u64::MAX / 512 + 1, 1)] {
        assert_eq!(r.ranges(VIRTIO_BLK_T_WRITE_ZEROES, &[(0, 1, 0), (sector, sectors, 0)]), IOERR);
        assert_eq!(r.ranges(VIRTIO_BLK_T_DISCARD, &[(sector, sectors, 0)]), IOERR);
    }
    assert!(r.file() == before, "a refused request changes nothing");
}

fn ranges_are_zeroed_and_discarded(io: &str) {
    let mut r = Rig::new(io, "", 64);
    assert_eq!(r.ranges(VIRTIO_BLK_T_WRITE_ZEROES, &[(1, 2, 0), (60, 4, 1)]), OK);
    let file = r.file();
    assert!(file[512..1536].iter().chain(&file[60 * 512..]).all(|b| *b == 0));
    assert_eq!((file[511], file[1536], file[60 * 512 - 1], file.len()), (0, 3, 59, 64 * 512));
    assert_eq!(r.ranges(VIRTIO_BLK_T_DISCARD, &[(8, 8, 0)]), OK);
    assert_eq!((r.file()[8 * 512 - 1], r.file()[16 * 512]), (7, 16));
    assert_eq!(r.ranges(VIRTIO_BLK_T_DISCARD, &[(8, 8, 1)]), UNSUPP, "unmap has no meaning for discard");
    assert_eq!(r.ranges(VIRTIO_BLK_T_WRITE_ZEROES, &[(8, 8, 2)]), UNSUPP, "a flag that there is not");
    assert_eq!(r.ranges(VIRTIO_BLK_T_WRITE_ZEROES, &[]), IOERR);
    assert_eq!(r.ranges(VIRTIO_BLK_T_WRITE_ZEROES, &[(0, 1, 0); RANGES + 1]), IOERR);
    assert_eq!(r.send(VIRTIO_BLK_T_DISCARD, 0, &[(BODY, 17, false)]).0, IOERR);
}

fn a_readonly_disk_is_not_written(io: &str) {
    let mut r = Rig::new(io, ",readonly", 64);
    let before = r.file();
    assert_eq!(r.disk.features() >> VIRTIO_BLK_F_RO & 1, 1);
    assert_eq!(r.disk.features() >> VIRTIO_BLK_F_DISCARD & 1, 0);
    assert_eq!(r.send(VIRTIO_BLK_T_OUT, 0, &[(BODY, 512, false)]), (IOERR, 1));
    for kind in [VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_T_DISCARD] {
        assert_eq!(r.ranges(kind, &[(0, 1, 0)]), IOERR);
    }
    assert_eq!(r.send(VIRTIO_BLK_T_FLUSH, 0, &[]), (OK, 1));
    assert_eq!(r.send(VIRTIO_BLK_T_IN, 63, &[(BODY, 512, true)]), (OK, 513));
    assert!(r.file() == before);
}

fn the_serial_number_is_told(io: &str) {
    let mut r = Rig::new(io, ",serial=0123456789abcdefXYZ!", 8);
    assert_eq!(r.send(VIRTIO_BLK_T_GET_ID, 0, &[(BODY, 20, true)]), (OK, 21));
    assert_eq!(&r.driver.mem.read::<20>(BODY).unwrap(), b"0123456789abcdefXYZ!");
    r.driver.mem.write(BODY, &[1; 20]).unwrap();
    assert_eq!(r.send(VIRTIO_BLK_T_GET_ID, 0, &[(BODY, 4, true)]), (OK, 5));
    assert_eq!(&r.driver.mem.read::<5>(BODY).unwrap(), b"0123\x01");
    let says = format!("{:#}", build(Path::new("/x"), ",serial=0123456789abcdefXYZ!?").err().unwrap());
    assert!(says.contains("want 20 bytes at most"), "{says}");
}

fn what_is_not_known_is_not_supported(io: &str) {
    let mut r = Rig::new(io, "", 8);
    for kind in [2, 3, 5, 7, 9, 10, 14, 15, 0x8000_0000, u32::MAX] {
        assert_eq!(r.send(kind, 0, &[(BODY, 512, true)]), (UNSUPP, 513), "{kind}");
    }
}

fn a_request_without_room_for_an_answer_stops_the_device(io: &str) {
    for parts in [&[(HEADER, 16, false)][..], &[(HEADER, 16, false), (STATUS, 0, true)]] {
        let mut r = Rig::new(io, "", 8);
        r.header(VIRTIO_BLK_T_FLUSH, 0);
        assert!(r.send_raw(parts).is_err());
        assert_eq!(r.driver.used(0), []);
    }
    let mut r = Rig::new(io, "", 8);
    assert_eq!(r.send_raw(&[(HEADER, 15, false), (STATUS, 1, true)]).unwrap(), (IOERR, 1), "a header cut short");
    assert_eq!(r.send_raw(&[(STATUS, 1, true)]).unwrap(), (IOERR, 1), "no header");
}

/// An image that counts flushes and can fail.
struct Probe {
    flushes: Arc<std::sync::atomic::AtomicU32>,
    error: Option<i32>,
}

impl Image for Probe {
    fn size(&self) -> u64 {
        1 << 40
    }
    fn physical_block(&self) -> u32 {
        4096
    }
    fn read_at(&self, _: u64, _: &[Slice]) -> io::Result<()> {
        self.error.map_or(Ok(()), |e| Err(io::Error::from_raw_os_error(e)))
    }
    fn read_bytes(&self, _offset: u64, to: &mut [u8]) -> io::Result<()> {
        to.fill(0);
        Ok(())
    }

    fn write_at(&self, at: u64, to: &[Slice]) -> io::Result<()> {
        self.read_at(at, to)
    }
    fn flush(&self) -> io::Result<()> {
        self.flushes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(())
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        self.read_at(0, &[])
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        self.read_at(0, &[])
    }
}

/// A disk of 1 TiB that holds nothing.
fn probe(error: Option<i32>, cache: Cache, features: u64) -> (Rig, Arc<std::sync::atomic::AtomicU32>) {
    let flushes = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let cache = format!("{cache:?}").to_lowercase();
    let spec = Spec::parse(&Options::parse(&format!("probe,cache={cache}"), KIND.positional()).unwrap()).unwrap();
    let mut disk = Disk::new(Box::new(Probe { flushes: flushes.clone(), error }), &spec, &notify()).unwrap();
    let driver = Driver::new(&mut disk, features);
    let dir = tempfile::tempdir().unwrap();
    (Rig { path: dir.path().into(), _dir: dir, disk: Box::new(disk), driver }, flushes)
}

#[test]
fn a_request_is_not_larger_than_was_said() {
    let (mut r, _) = probe(None, Cache::Writeback, u64::MAX);
    for (sectors, status) in [(RANGE, OK), (RANGE + 1, IOERR)] {
        assert_eq!(r.ranges(VIRTIO_BLK_T_DISCARD, &[(7, sectors, 0)]), status);
        assert_eq!(r.ranges(VIRTIO_BLK_T_WRITE_ZEROES, &[(7, sectors, 0)]), status);
    }
}

/// Flushes after: one write; then a flush; then, with the cache turned round by the driver, another write.
fn flushes(cache: Cache, features: u64) -> [u32; 3] {
    let (mut r, count) = probe(None, cache, features);
    let now = || count.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(r.send(VIRTIO_BLK_T_OUT, 0, &[(BODY, 512, false)]), (OK, 1));
    let first = now();
    assert_eq!(r.send(VIRTIO_BLK_T_FLUSH, 0, &[]), (OK, 1));
    let second = now();
    let config = r.driver.io.config.clone();
    let mut byte = [0];
    config.read(WRITEBACK_AT as u64, &mut byte);
    for (at, data) in [(WRITEBACK_AT, &[7][..]), (WRITEBACK_AT, &[1 - byte[0], 0]), (0, &[1 - byte[0]]), (usize::MAX, &[0])] {
        let mut before = [0; 60];
        config.read(0, &mut before);
        r.disk.config_written(at, data, &config, None);
        let mut after = [0; 60];
        config.read(0, &mut after);
        assert_eq!(before, after, "{at} {data:?}");
    }
    r.disk.config_written(WRITEBACK_AT, &[1 - byte[0]], &config, None);
    r.send(VIRTIO_BLK_T_OUT, 0, &[(BODY, 512, false)]);
    [first, second, now()]
}

#[test]
fn the_cache_keeps_its_promises() {
    assert_eq!(flushes(Cache::Writeback, u64::MAX), [0, 1, 2]);
    assert_eq!(flushes(Cache::Writethrough, u64::MAX), [1, 2, 2]);
    assert_eq!(flushes(Cache::Unsafe, u64::MAX), [0, 0, 0]);
    // The driver knows of no cache.
    assert_eq!(flushes(Cache::Writeback, 0)[..2], [1, 2]);
    assert_eq!(flushes(Cache::Unsafe, 0)[..2], [0, 0]);
}

#[test]
fn a_failing_host_is_an_io_error() {
    for error in [libc::ENOSPC, libc::EIO] {
        let (mut r, _) = probe(Some(error), Cache::Writeback, u64::MAX);
        assert_eq!(r.send(VIRTIO_BLK_T_OUT, 0, &[(BODY, 512, false)]), (IOERR, 1));
        assert_eq!(r.send(VIRTIO_BLK_T_IN, 0, &[(BODY, 512, true)]), (IOERR, 513));
        assert_eq!(r.ranges(VIRTIO_BLK_T_DISCARD, &[(0, 1, 0)]), IOERR);
    }
}

fn the_configuration_space_is_the_specifications(io: &str) {
    let r = Rig::new(io, ",queues=4", 64);
    let c = r.disk.config();
    assert_eq!(c.len(), 60);
    assert_eq!((&c[..8], &c[8..16]), (&64u64.to_le_bytes()[..], &[0, 0, 64, 0, 254, 0, 0, 0][..]));
    assert_eq!((&c[20..24], c[32], &c[34..36]), (&[0, 2, 0, 0][..], 1, &[4, 0][..]));
    assert_eq!((c[36..40] == c[48..52], &c[40..44], c[56]), (true, &[16, 0, 0, 0][..], 1));
    assert_eq!(r.disk.queue_sizes(), [256; 4]);
    assert_eq!(r.disk.features() >> VIRTIO_BLK_F_MQ & 1, 1);
    for (options, says) in [
        (",queues=0", "`queues=0`: want 1 to 16"),
        (",queues=17", "`queues=17`: want 1 to 16"),
        (",cache=none", "`cache=none`: want writeback, writethrough or unsafe"),
        (",format=qcow", "want auto, raw, qcow2, vmdk, vdi or vpc"),
        (",throwaway,keep-as=x", "contradict each other"),
    ] {
        let error = format!("{:#}", build(&r.path, options).err().unwrap());
        assert!(error.contains(says), "{error}");
    }
}

fn every_queue_is_served(io: &str) {
    let mut r = Rig::new(io, ",queues=3", 64);
    r.header(VIRTIO_BLK_T_IN, 1);
    for queue in 0..3 {
        r.driver.mem.write(STATUS, &[NOT_WRITTEN]).unwrap();
        r.driver.post(queue, &[(HEADER, 16, false), (BODY, 512, true), (STATUS, 1, true)]);
        r.driver.kick(r.disk.as_mut(), queue).unwrap();
        assert_eq!((r.used(queue, 1).unwrap().len(), r.driver.mem.read::<1>(STATUS).unwrap()), (1, [OK]));
    }
    r.disk.queue_ready(99, &mut r.driver.io).unwrap();
}

fn part() -> impl Strategy<Value = Part> {
    let at = prop_oneof![8 => DATA..DATA + 0x2_0000, 1 => MEMORY - 600..MEMORY, 1 => any::<u64>()];
    let len = prop_oneof![4 => (0..5u32).prop_map(|n| n * 512), 3 => 0..40u32, 1 => any::<u32>()];
    (at, len, any::<bool>())
}

/// Requests that are well formed enough to reach the device, and wrong in every way that is left:
/// the device answers or stops, the image keeps its size, and memory outside the test's is not touched.
fn hostile_requests_break_nothing(io: &str) {
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let kind = prop_oneof![0..16u32, any::<u32>()];
    let sector = prop_oneof![0..70u64, any::<u64>()];
    let requests = prop::collection::vec((kind, sector, prop::collection::vec(part(), 0..6), any::<bool>()), 1..8);
    let test = |requests: Vec<(u32, u64, Vec<Part>, bool)>| {
        let mut r = Rig::new(io, "", 64);
        for (kind, sector, mut parts, sane) in requests {
            r.header(kind, sector);
            parts.sort_by_key(|p| p.2);
            if sane {
                parts.insert(0, (HEADER, 16, false));
                parts.push((STATUS, 1, true));
            }
            if parts.is_empty() {
                continue;
            }
            r.driver.post(0, &parts);
            let result = r.driver.kick(r.disk.as_mut(), 0);
            let count = usize::from(result.is_ok());
            prop_assert_eq!(r.used(0, count).unwrap().len(), count);
            if result.is_err() {
                break;
            }
        }
        prop_assert_eq!(r.file().len(), 64 * 512);
        Ok(())
    };
    proptest::test_runner::TestRunner::new(config).run(&requests, test).unwrap();
}
