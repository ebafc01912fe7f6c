use super::*;
use crate::sys::fd::wait_readable;
use proptest::prelude::*;

const LEN: u64 = 1 << 20;
const SIZE: Size = Size { width: 320, height: 200 };

/// A slot whose guest is the test.
#[derive(Default, Clone)]
struct Fake {
    dirty: Arc<Lock<Vec<u64>>>,
    asked: Arc<AtomicU64>,
    full: Arc<AtomicBool>,
}

impl Slot for Fake {
    fn place(&self, at: Option<u64>) -> Result<()> {
        anyhow::ensure!(at.is_none() || !self.full.load(Ordering::SeqCst), "something is there");
        Ok(())
    }

    fn take_dirty(&self) -> Result<Vec<u64>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(std::mem::take(&mut *self.dirty.lock()))
    }
}

struct Rig {
    vga: Arc<Vga>,
    screen: Arc<Screen>,
    memory: Video,
    slot: Fake,
    registers: Arc<dyn Mmio>,
}

fn rig(boot: Option<Size>) -> Rig {
    let (memory, slot, screen) = (Video::new(LEN).unwrap(), Fake::default(), Screen::new());
    let vga = Vga::new(memory.clone(), slot.clone(), boot, &screen);
    let registers = vga.registers(vec![0, 0xff, 0xff]);
    Rig { vga, screen, memory, slot, registers }
}

impl Rig {
    fn set(&self, register: u16, value: u16) {
        self.registers.write(0x500 + 2 * u64::from(register), &value.to_le_bytes());
    }

    fn get(&self, register: u16) -> u16 {
        let mut value = [0; 2];
        self.registers.read(0x500 + 2 * u64::from(register), &mut value);
        u16::from_le_bytes(value)
    }

    fn mode(&self, x: u16, y: u16, bits: u16, enable: u16) {
        [(4, 0), (1, x), (2, y), (3, bits), (4, enable)].iter().for_each(|(r, v)| self.set(*r, *v));
    }

    /// As the guest does it: KVM takes note.
    fn guest_writes(&self, at: u64, pixel: u32) {
        self.memory.write(at, &pixel.to_le_bytes());
        let mut dirty = self.slot.dirty.lock();
        dirty.resize((LEN / PAGE / 64) as usize, 0);
        dirty[(at / PAGE / 64) as usize] |= 1 << (at / PAGE % 64);
    }

    fn pixel(&self, x: u32, y: u32) -> u32 {
        let picture = self.screen.picture().unwrap();
        picture.pixels[(y * picture.size.width + x) as usize]
    }

    fn wait_asleep(&self) -> u64 {
        loop {
            match self.vga.card.watch.asleep() {
                (true, wakes) => return wakes,
                _ => std::thread::yield_now(),
            }
        }
    }
}

#[test]
fn a_kernel_finds_the_mode_set_once_the_guest_sees_the_memory() {
    let r = rig(Some(SIZE));
    assert_eq!(r.screen.size(), SIZE);
    assert_eq!(r.vga.framebuffer(), None);
    r.vga.place(Some(0xc000_0000));
    let expected = Framebuffer { base: 0xc000_0000, len: LEN, size: SIZE, pitch: 1280 };
    assert_eq!(r.vga.framebuffer(), Some(expected));
    r.slot.full.store(true, Ordering::SeqCst);
    r.vga.place(Some(0xd000_0000));
    assert_eq!(r.vga.framebuffer(), None);
    assert_eq!(rig(None).screen.size(), Size::default());
}

#[test]
fn registers_say_what_there_is() {
    let r = rig(None);
    assert_eq!((r.get(0), r.get(10), r.get(11)), (0xb0c5, 16, 0));
    r.set(0, 0xb0c0);
    r.set(0, 0x1234);
    assert_eq!(r.get(0), 0xb0c0);
    r.set(4, 2);
    assert_eq!((r.get(1), r.get(2), r.get(3)), (16000, 12000, 32));
    r.mode(640, 200, 32, 0x41);
    assert_eq!((r.get(1), r.get(2), r.get(6), r.get(7)), (640, 200, 640, 409));
    r.set(1, 320);
    assert_eq!(r.get(1), 640, "a mode that is set stays");
    let mut bytes = [9; 4];
    r.registers.read(0, &mut bytes);
    assert_eq!(bytes, [0, 0xff, 0xff, 0]);
    r.registers.read(0x600, &mut bytes);
    assert_eq!(bytes, [8, 0, 0, 0]);
    let status = || {
        let mut byte = [0];
        r.registers.read(0x41a, &mut byte);
        byte
    };
    assert_ne!(status(), status(), "who waits for a retrace gets one");
}

#[test]
fn setting_a_mode_shows_it_and_its_end_hides_it() {
    let r = rig(None);
    r.memory.write(0, &[1; 4]);
    r.mode(640, 200, 32, 0xc1);
    assert_eq!((r.screen.size(), r.pixel(0, 0)), (Size { width: 640, height: 200 }, 0x01_0101));
    r.mode(640, 200, 32, 0x41);
    assert_eq!(r.pixel(0, 0), 0, "cleared");
    r.memory.write(640 * 4 * 3 + 8, &0xab_cdefu32.to_le_bytes());
    r.set(8, 2);
    r.set(9, 3);
    assert_eq!(r.pixel(0, 0), 0xab_cdef, "panned");
    r.set(4, 0);
    assert!(r.screen.picture().is_none());
}

#[test]
fn what_there_is_no_memory_for_is_not_shown() {
    let r = rig(None);
    for (x, y, bits, enable) in
        [(640, 480, 32, 0x41), (0, 480, 32, 0x41), (640, 200, 8, 0x41), (640, 200, 32, 0x40), (16384, 16384, 15, 1)]
    {
        r.mode(x, y, bits, enable);
        assert!(r.screen.picture().is_none(), "{x}x{y}, {bits} bits");
    }
    r.mode(512, 512, 32, 1);
    assert!(r.screen.picture().is_some(), "to the last byte");
    r.set(9, 1);
    assert!(r.screen.picture().is_none());
}

#[test]
fn nobody_looks_and_nothing_runs() {
    let r = rig(Some(SIZE));
    r.guest_writes(0, 5);
    assert_eq!(r.slot.asked.load(Ordering::SeqCst), 0);
    assert_eq!(r.pixel(0, 0), 5);
    assert_eq!(r.slot.asked.load(Ordering::SeqCst), 1);
    r.guest_writes(320 * 4 * 100, 6);
    assert_eq!((r.pixel(0, 0), r.pixel(0, 100)), (5, 6));
}

#[test]
fn a_store_for_the_guest_is_seen() {
    let r = rig(Some(SIZE));
    assert_eq!(r.pixel(0, 0), 0);
    let aperture = r.vga.aperture();
    aperture.write(4094, &[1, 2, 3, 4]);
    let mut back = [0; 4];
    aperture.read(4094, &mut back);
    assert_eq!(back, [1, 2, 3, 4]);
    assert_eq!((r.pixel(1023 % 320, 1023 / 320), r.pixel(1024 % 320, 1024 / 320)), (0x01_0000, 0x0403));
}

#[test]
fn a_quiet_screen_sleeps_until_the_guest_stores() {
    let r = rig(Some(SIZE));
    let mut viewer = r.screen.watch().unwrap();
    let wakes = r.wait_asleep();
    viewer.news();
    let asked = r.slot.asked.load(Ordering::SeqCst);
    let mut seen = 0;
    r.guest_writes(0, 7);
    assert!(r.vga.woken(None, &mut seen), "the vCPU goes on");
    assert!(!r.vga.woken(None, &mut seen) || r.vga.card.watch.asleep().1 > wakes + 1, "it stopped for another reason");
    wait_readable([viewer.bell()]).unwrap();
    assert!(!viewer.news().damage.is_empty());
    assert!(r.wait_asleep() > wakes && r.slot.asked.load(Ordering::SeqCst) > asked);
    // Of two that were stopped one comes first.
    r.vga.aperture().write(0, &[1]);
    assert!(r.vga.woken(None, &mut seen));
    drop(viewer);
    assert!(!r.vga.card.watch.asleep().0, "nobody looks, nothing is protected");
    r.vga.place(Some(0xc000_0000));
    assert!(!r.vga.woken(Some(0x1000), &mut 0), "that is not video memory");
}

#[test]
fn a_driver_above_it_stops_it_and_uncovered_it_draws_all() {
    let r = rig(Some(SIZE));
    let viewer = r.screen.watch().unwrap();
    r.wait_asleep();
    let none: std::sync::Weak<Eye> = std::sync::Weak::new();
    let driver = r.screen.attach(Rank::Driver, none);
    driver.show(Size { width: 64, height: 64 });
    assert!(!r.vga.card.watch.asleep().0);
    r.memory.write(0, &[9, 0, 0, 0]);
    driver.hide();
    assert_eq!(r.pixel(0, 0), 9);
    drop(viewer);
}

#[test]
fn a_reset_clears_it() {
    let r = rig(Some(SIZE));
    r.guest_writes(0, 7);
    r.mode(100, 100, 16, 1);
    r.vga.reset().unwrap();
    assert_eq!((r.screen.size(), r.pixel(0, 0)), (SIZE, 0));
}

proptest! {
    #[test]
    fn wild_accesses_are_harmless(
        writes in prop::collection::vec((0u64..0x1010, prop::collection::vec(any::<u8>(), 1..9)), 0..40),
        modes in prop::collection::vec((0u16..12, any::<u16>()), 0..40),
        dirty in prop::collection::vec(any::<u64>(), 0..10),
    ) {
        let r = rig(None);
        r.mode(300, 300, 16, 1);
        for (register, value) in modes {
            r.set(register, value);
            if let Some(shown) = r.vga.card.registers.lock().mode() {
                let end = shown.start + u64::from(shown.pitch) * u64::from(shown.size.height - 1)
                    + u64::from(shown.size.width * shown.format.bytes());
                prop_assert!(end <= LEN);
            }
        }
        *r.slot.dirty.lock() = dirty;
        for (at, data) in writes {
            r.registers.write(at, &data);
            let mut back = data.clone();
            r.registers.read(at, &mut back);
            r.vga.aperture().write(LEN - 4 + at, &data);
            r.vga.aperture().read(LEN - 4 + at, &mut back);
            r.vga.card.look();
        }
        let _ = r.screen.picture();
    }
}
