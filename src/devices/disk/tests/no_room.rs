//! `on-enospc=stop`: a full host loses nothing.

use super::*;
use crate::event::Request as Event;
use crate::sys::{Lock, mount};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// An image on a host without room, until there is some.
struct Full {
    file: std::fs::File,
    room: Arc<AtomicBool>,
}

impl Full {
    fn if_room(&self) -> io::Result<()> {
        match self.room.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
        }
    }
}

impl Image for Full {
    fn size(&self) -> u64 {
        1 << 20
    }
    fn physical_block(&self) -> u32 {
        4096
    }
    fn read_at(&self, at: u64, to: &[Slice]) -> io::Result<()> {
        crate::mem::vectored::read_at(self.file.as_fd(), at, to).map(drop)
    }
    fn read_bytes(&self, _: u64, to: &mut [u8]) -> io::Result<()> {
        to.fill(0);
        Ok(())
    }
    fn write_at(&self, at: u64, from: &[Slice]) -> io::Result<()> {
        self.if_room()?;
        crate::mem::vectored::write_at(self.file.as_fd(), at, from)
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
    fn discard(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_zeroes(&self, _: u64, _: u64, _: bool) -> io::Result<()> {
        self.if_room()
    }
}

struct Told(Arc<Lock<Vec<Event>>>);

impl Told {
    fn new() -> (Told, crate::event::Notify) {
        let told = Arc::new(Lock::new(Vec::new()));
        let tell = told.clone();
        (Told(told), Arc::new(move |event| tell.lock().push(event)))
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock())
    }
}

fn full_event() -> Event {
    Event::DiskFull { image: "probe".into(), why: io::Error::from_raw_os_error(libc::ENOSPC).to_string() }
}

fn room_event() -> Event {
    Event::DiskHasRoom { image: "probe".into() }
}

fn rig(options: &str) -> (Rig, Arc<AtomicBool>, Told) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let room = Arc::new(AtomicBool::new(false));
    let (told, notify) = Told::new();
    let spec = Spec::parse(&Options::parse(&format!("probe{options}"), KIND.positional()).unwrap()).unwrap();
    let mut disk = Disk::new(Box::new(Full { file, room: room.clone() }), &spec, &notify).unwrap();
    let driver = Driver::new(&mut disk, u64::MAX);
    (Rig { path, _dir: dir, disk: Box::new(disk), driver }, room, told)
}

impl Rig {
    /// Posts a write of `byte` to sector `n`, with buffers of its own.
    fn write_later(&mut self, n: u64, byte: u8) {
        let (header, data, status) = (DATA + n * 64, DATA + 0x1_0000 + n * 512, DATA + n * 64 + 32);
        let raw = [&VIRTIO_BLK_T_OUT.to_le_bytes()[..], &[0; 4], &n.to_le_bytes()].concat();
        self.driver.mem.write(header, &raw).unwrap();
        self.driver.mem.write(data, &[byte; 512]).unwrap();
        self.driver.mem.write(status, &[NOT_WRITTEN]).unwrap();
        self.driver.post(0, &[(header, 16, false), (data, 512, false), (status, 1, true)]);
    }

    fn later(&self, n: u64) -> u8 {
        self.driver.mem.read::<1>(DATA + n * 64 + 32).unwrap()[0]
    }
}

#[test]
fn writes_wait_for_room_and_none_is_lost() {
    for cache in ["writeback", "writethrough"] {
        let (mut r, room, told) = rig(&format!(",on-enospc=stop,cache={cache}"));
        for n in 0..10 {
            r.write_later(n, n as u8 + 1);
        }
        r.driver.kick(r.disk.as_mut(), 0).unwrap();
        assert_eq!(told.take(), [full_event()], "said once");
        assert_eq!(r.driver.used(0), []);
        // Another that comes meanwhile, and a read, which needs no room.
        r.write_later(10, 11);
        r.driver.kick(r.disk.as_mut(), 0).unwrap();
        assert_eq!((r.driver.used(0).len(), told.take().len()), (0, 0));
        room.store(true, Ordering::SeqCst);
        assert_eq!(r.used(0, 11).unwrap().len(), 11);
        assert_eq!(told.take(), [room_event()]);
        assert!((0..11).all(|n| r.later(n) == OK));
        for (n, sector) in r.file().chunks(512).take(11).enumerate() {
            assert_eq!(sector, [n as u8 + 1; 512]);
        }
    }
}

#[test]
fn it_is_told_again_when_it_happens_again() {
    let (mut r, room, told) = rig(",on-enospc=stop");
    for round in 0..2 {
        room.store(false, Ordering::SeqCst);
        r.write_later(round, 7);
        r.driver.kick(r.disk.as_mut(), 0).unwrap();
        // It asks in vain once.
        while r.driver.poll(r.disk.as_mut()).unwrap() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(told.take(), [full_event()]);
        room.store(true, Ordering::SeqCst);
        r.used(0, 1).unwrap();
        assert_eq!(told.take(), [room_event()]);
    }
}

#[test]
fn a_reset_ends_the_waiting() {
    let (mut r, _room, told) = rig(",on-enospc=stop");
    r.write_later(0, 7);
    r.driver.kick(r.disk.as_mut(), 0).unwrap();
    r.disk.quiesce(&mut r.driver.io).unwrap();
    assert_eq!(told.take(), [full_event(), room_event()]);
    r.disk.reset();
    r.disk.start(&mut r.driver.io).unwrap();
    assert_eq!((r.driver.used(0).len(), r.driver.poll(r.disk.as_mut()).unwrap()), (0, 0));
    assert_eq!(r.later(0), NOT_WRITTEN);
}

#[test]
fn it_is_reported_unless_something_else_is_wanted() {
    for options in ["", ",on-enospc=report"] {
        let (mut r, _room, told) = rig(options);
        r.write_later(0, 7);
        r.driver.kick(r.disk.as_mut(), 0).unwrap();
        assert_eq!((r.driver.used(0).len(), r.later(0), told.take().len()), (1, IOERR, 0));
    }
    let says = format!("{:#}", build(Path::new("/x"), ",on-enospc=ignore").err().unwrap());
    assert!(says.contains("want report or stop"), "{says}");
}

/// The same on a real file system, with each way of asking the host.
pub fn a_full_file_system_is_waited_for(io: &str) {
    let dir = tempfile::tempdir().unwrap();
    // What a thread mounts for itself goes with it.
    let small = mount::unshare_mounts().and_then(|()| mount::mount("tmpfs", Path::new("kiln"), dir.path(), 0, "size=640k"));
    if let Err(e) = small {
        println!("SKIPPED: mount a small file system: {e}");
        return;
    }
    let path = dir.path().join("disk.img");
    let ballast = dir.path().join("ballast");
    std::fs::File::create(&path).unwrap().set_len(u64::from(ROOM) * PLACES).unwrap();
    std::fs::write(&ballast, vec![1; 384 << 10]).unwrap();
    let (told, notify) = Told::new();
    let text = format!("{},io={io},on-enospc=stop", path.display());
    let options = Options::parse(&text, KIND.positional()).unwrap();
    let mut disk = (KIND.build)(&options, &Host::new(notify)).unwrap().into_virtio();
    let driver = Driver::new(disk.as_mut(), u64::MAX);
    let mut r = Rig { _dir: dir, path, disk, driver };
    for n in 0..PLACES {
        let place = Place(n);
        r.driver.mem.slice(place.data(), ROOM as usize).unwrap().fill(n as u8 + 1);
        r.post(0, place, VIRTIO_BLK_T_OUT, n * u64::from(ROOM) / 512, &[(place.data(), ROOM, false)]);
    }
    r.driver.kick(r.disk.as_mut(), 0).unwrap();
    let mut answered = 0;
    while told.0.lock().is_empty() {
        r.driver.poll(r.disk.as_mut()).unwrap();
    }
    answered += r.driver.used(0).len();
    assert!(matches!(told.take()[..], [Event::DiskFull { .. }]));
    std::fs::remove_file(&ballast).unwrap();
    while told.0.lock().is_empty() {
        r.driver.poll(r.disk.as_mut()).unwrap();
        answered += r.driver.used(0).len();
    }
    answered += r.driver.used(0).len();
    assert!(matches!(told.take()[..], [Event::DiskHasRoom { .. }]));
    assert_eq!(answered, PLACES as usize);
    assert!((0..PLACES).all(|n| r.status(Place(n)) == OK));
    for (n, bytes) in r.file().chunks(ROOM as usize).enumerate() {
        assert!(bytes.iter().all(|byte| usize::from(*byte) == n + 1), "{n}");
    }
}
