//! Several requests at a time: answered in any order, and each of them right.

use super::*;
use crate::mem::Memory;

/// What a request of the test uses: header, status, and 32 KiB of data.
#[derive(Clone, Copy)]
pub struct Place(pub u64);

pub const PLACES: u64 = 16;
pub const ROOM: u32 = 0x8000;

impl Place {
    pub fn header(self) -> u64 {
        DATA + self.0 * 64
    }

    pub fn status(self) -> u64 {
        DATA + self.0 * 64 + 32
    }

    pub fn data(self) -> u64 {
        DATA + 0x1_0000 + self.0 * u64::from(ROOM)
    }
}

impl Rig {
    /// Makes a request available, without a kick; says its head.
    pub fn post(&mut self, queue: usize, place: Place, kind: u32, sector: u64, body: &[Part]) -> u16 {
        let header = [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat();
        self.driver.mem.write(place.header(), &header).unwrap();
        self.driver.mem.write(place.status(), &[NOT_WRITTEN]).unwrap();
        self.driver.post(queue, &[&[(place.header(), 16, false)], body, &[(place.status(), 1, true)]].concat())
    }

    pub fn status(&self, place: Place) -> u8 {
        self.driver.mem.read::<1>(place.status()).unwrap()[0]
    }

    fn get(&self, place: Place, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.driver.mem.slice(place.data(), len).unwrap().copy_to(&mut bytes);
        bytes
    }
}

#[derive(Debug, Clone)]
enum Ask {
    Read(u64, u32),
    Write(u64, u32, u8),
    Zero(u64, u32),
    Flush,
}

impl Ask {
    fn sectors(&self) -> std::ops::Range<u64> {
        match *self {
            Ask::Read(at, n) | Ask::Write(at, n, _) | Ask::Zero(at, n) => at..at + u64::from(n),
            Ask::Flush => 0..0,
        }
    }
}

const SECTORS: u64 = 256;

fn ask() -> impl Strategy<Value = Ask> {
    let at = || 0..SECTORS - 64;
    prop_oneof![
        4 => (at(), 1..64u32).prop_map(|(at, n)| Ask::Read(at, n)),
        4 => (at(), 1..64u32, any::<u8>()).prop_map(|(at, n, seed)| Ask::Write(at, n, seed)),
        1 => (at(), 0..64u32).prop_map(|(at, n)| Ask::Zero(at, n)),
        1 => Just(Ask::Flush),
    ]
}

/// Batches of requests that do not touch each other (what those that do give is nobody's promise) beside a vector of bytes.
pub fn a_disk_is_a_vector_of_bytes(io: &str) {
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    let batches = prop::collection::vec(prop::collection::vec(ask(), 1..PLACES as usize), 1..6);
    let cache = prop_oneof![Just("writeback"), Just("writethrough"), Just("unsafe")];
    let test = |(batches, cache): (Vec<Vec<Ask>>, &str)| {
        let mut r = Rig::new(io, &format!(",cache={cache}"), SECTORS as usize);
        let mut model = r.file();
        for batch in batches {
            agrees(&mut r, &mut model, &apart(batch))?;
        }
        prop_assert!(r.file() == model);
        Ok(())
    };
    proptest::test_runner::TestRunner::new(config).run(&(batches, cache), test).unwrap();
}

/// Those of a batch that touch no earlier one.
fn apart(batch: Vec<Ask>) -> Vec<Ask> {
    let mut kept: Vec<Ask> = Vec::new();
    for ask in batch {
        let new = ask.sectors();
        let clear = |old: &Ask| new.end <= old.sectors().start || old.sectors().end <= new.start;
        if kept.iter().all(clear) {
            kept.push(ask);
        }
    }
    kept
}

fn agrees(r: &mut Rig, model: &mut [u8], batch: &[Ask]) -> Result<(), TestCaseError> {
    for (ask, place) in batch.iter().zip((0..).map(Place)) {
        let n = ask.sectors().count() as u32 * 512;
        // In pieces that end anywhere.
        let parts = |write| [(place.data(), n / 3, write), (place.data() + u64::from(n / 3), n - n / 3, write)];
        match ask {
            Ask::Read(at, _) => r.post(0, place, VIRTIO_BLK_T_IN, *at, &parts(true)),
            Ask::Write(at, _, seed) => {
                r.driver.mem.slice(place.data(), n as usize).unwrap().fill(*seed);
                r.post(0, place, VIRTIO_BLK_T_OUT, *at, &parts(false))
            }
            Ask::Zero(at, sectors) => {
                let raw = [&at.to_le_bytes()[..], &sectors.to_le_bytes(), &1u32.to_le_bytes()].concat();
                r.driver.mem.write(place.data(), &raw).unwrap();
                r.post(0, place, VIRTIO_BLK_T_WRITE_ZEROES, 0, &[(place.data(), 16, false)])
            }
            Ask::Flush => r.post(0, place, VIRTIO_BLK_T_FLUSH, 0, &[]),
        };
    }
    r.driver.kick(r.disk.as_mut(), 0).unwrap();
    prop_assert_eq!(r.used(0, batch.len()).unwrap().len(), batch.len());
    for (ask, place) in batch.iter().zip((0..).map(Place)) {
        let bytes = ask.sectors().start as usize * 512..ask.sectors().end as usize * 512;
        prop_assert_eq!(r.status(place), OK, "{:?}", ask);
        match ask {
            Ask::Read(..) => prop_assert!(r.get(place, bytes.len()) == model[bytes], "{:?}", ask),
            Ask::Write(_, _, seed) => model[bytes].fill(*seed),
            Ask::Zero(..) => model[bytes].fill(0),
            Ask::Flush => {}
        }
    }
    Ok(())
}

pub fn all_that_was_asked_for_is_answered(io: &str) {
    let mut r = Rig::new(io, ",queues=3", 4096);
    for round in 0..200u64 {
        let mut heads = [Vec::new(), Vec::new(), Vec::new()];
        for n in 0..PLACES {
            let (queue, place) = ((n % 3) as usize, Place(n));
            let sector = (round * 7 + n * 64) % 4000;
            heads[queue].push(r.post(queue, place, VIRTIO_BLK_T_IN, sector, &[(place.data(), 512 * 3, true)]));
        }
        for (queue, heads) in heads.iter_mut().enumerate() {
            r.driver.kick(r.disk.as_mut(), queue).unwrap();
            let mut used: Vec<u16> = r.used(queue, heads.len()).unwrap().iter().map(|(head, _)| *head).collect();
            used.sort();
            heads.sort();
            assert_eq!(used, *heads);
        }
        for n in 0..PLACES {
            let sector = (round * 7 + n * 64) % 4000;
            assert_eq!(r.status(Place(n)), OK);
            assert_eq!(r.get(Place(n), 1536)[1024], (sector + 2) as u8);
        }
    }
}

pub fn a_reset_waits_for_what_is_under_way(io: &str) {
    let mut r = Rig::new(io, ",cache=writethrough", 4096);
    for round in 0..30u64 {
        for n in 0..PLACES {
            let kind = if n % 2 == 0 { VIRTIO_BLK_T_IN } else { VIRTIO_BLK_T_OUT };
            r.post(0, Place(n), kind, (round + n) * 64, &[(Place(n).data(), ROOM, n % 2 == 0)]);
        }
        r.driver.kick(r.disk.as_mut(), 0).unwrap();
        r.disk.quiesce(&mut r.driver.io).unwrap();
        // Everything was answered, and the memory is the driver's alone.
        assert_eq!(r.driver.used(0).len(), PLACES as usize);
        let picture = |mem: &Memory| {
            let mut all = vec![0; (MEMORY - DATA) as usize];
            mem.slice(DATA, all.len()).unwrap().copy_to(&mut all);
            all
        };
        r.driver.mem.slice(DATA, (MEMORY - DATA) as usize).unwrap().fill(0x55);
        r.disk.reset();
        r.disk.start(&mut r.driver.io).unwrap();
        assert!(picture(&r.driver.mem).iter().all(|byte| *byte == 0x55));
    }
}

pub fn an_image_made_shorter_is_an_error(io: &str) {
    let mut r = Rig::new(io, "", 64);
    std::fs::OpenOptions::new().write(true).open(&r.path).unwrap().set_len(10 * 512).unwrap();
    let body = [(BODY, 1024, true)];
    assert_eq!(r.send(VIRTIO_BLK_T_IN, 8, &body).0, OK);
    assert_eq!(r.send(VIRTIO_BLK_T_IN, 9, &body).0, IOERR);
    assert_eq!(r.send(VIRTIO_BLK_T_IN, 40, &body).0, IOERR);
}

pub fn a_part_of_a_sector_is_padded_with_zeroes(io: &str) {
    if io.contains("direct") {
        return; // such a file is refused
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, [7; 700]).unwrap();
    let mut disk = build(&path, &format!(",io={io}")).unwrap();
    let driver = Driver::new(disk.as_mut(), u64::MAX);
    let mut r = Rig { _dir: dir, path, disk, driver };
    let read = |r: &mut Rig| {
        r.driver.mem.slice(BODY, 1024).unwrap().fill(0xff);
        assert_eq!(r.send(VIRTIO_BLK_T_IN, 0, &[(BODY, 600, true), (BODY + 600, 424, true)]), (OK, 1025));
        r.driver.mem.read::<1024>(BODY).unwrap().to_vec()
    };
    assert_eq!(read(&mut r), [vec![7; 700], vec![0; 324]].concat());
    assert_eq!(r.file().len(), 700, "reading makes no file longer");
    assert_eq!(r.send(VIRTIO_BLK_T_OUT, 1, &[(BODY, 512, false)]).0, OK);
    assert_eq!(r.file().len(), 1024);
}

/// A flush that is asked for after a write was answered finds it in the file, and none overtakes it.
pub fn a_flush_covers_what_was_answered(io: &str) {
    let mut r = Rig::new(io, "", 4096);
    for n in 0..50u8 {
        let place = Place(0);
        r.driver.mem.slice(place.data(), ROOM as usize).unwrap().fill(n);
        r.post(0, place, VIRTIO_BLK_T_OUT, u64::from(n) * 64, &[(place.data(), ROOM, false)]);
        r.driver.kick(r.disk.as_mut(), 0).unwrap();
        r.used(0, 1).unwrap();
        r.post(0, Place(1), VIRTIO_BLK_T_FLUSH, 0, &[]);
        r.driver.kick(r.disk.as_mut(), 0).unwrap();
        r.used(0, 1).unwrap();
        assert_eq!((r.status(place), r.status(Place(1))), (OK, OK));
        assert!(r.file()[usize::from(n) * 64 * 512..][..ROOM as usize].iter().all(|byte| *byte == n));
    }
}

/// The host gives no io_uring: `auto` does without, `uring` says so.
#[test]
fn where_io_uring_is_refused_it_is_done_without() {
    crate::sys::uring::refuse_on_this_thread();
    let mut r = Rig::new("auto", "", 64);
    assert_eq!(r.send(VIRTIO_BLK_T_IN, 5, &[(BODY, 512, true)]), (OK, 513));
    assert_eq!(r.driver.mem.read::<512>(BODY).unwrap(), [5; 512]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, [0; 512]).unwrap();
    let says = format!("{:#}", build(&path, ",io=uring").err().unwrap());
    assert!(says.contains("`io=uring`") && says.contains("not permitted"), "{says}");
}

#[test]
fn what_is_no_file_cannot_be_served_by_io_uring() {
    let spec = Spec::parse(&Options::parse("probe,io=uring", KIND.positional()).unwrap()).unwrap();
    let says = format!("{:#}", Disk::new(Box::new(Probe { flushes: Arc::default(), error: None }), &spec, &notify()).err().unwrap());
    assert!(says.contains("`io=uring`") && says.contains("raw image"), "{says}");
}
