use super::*;
use crate::platform::rig::{self, Wire};
use proptest::prelude::*;

/// 2024-02-29 23:59:58 UTC, a Thursday.
const LEAP: u64 = 1_709_251_198;

struct Rig {
    cmos: Cmos,
    wire: Arc<Wire>,
    now: Arc<Lock<Duration>>,
}

fn rig(low: u64, high: u64) -> Rig {
    let (wire, now) = (Wire::new(), Arc::new(Lock::new(Duration::from_secs(LEAP))));
    let clock = now.clone();
    let cmos = Cmos::with_clock(low, high, wire.clone(), Box::new(move || *clock.lock()));
    Rig { cmos, wire, now }
}

impl Rig {
    fn get(&self, index: u8) -> u8 {
        self.cmos.write(0, &[index]);
        rig::read8(&self.cmos, 1)
    }

    fn put(&self, index: u8, value: u8) {
        self.cmos.write(0, &[index]);
        self.cmos.write(1, &[value]);
    }

    fn pass(&self, time: Duration) {
        *self.now.lock() += time;
    }

    /// Century, year, month, day, hour, minute, second, day of the week.
    fn time(&self) -> [u8; 8] {
        [at::CENTURY, at::YEAR, at::MONTH, at::DAY, at::HOURS, at::MINUTES, at::SECONDS, at::WEEKDAY]
            .map(|i| self.get(i))
    }
}

#[test]
fn it_shows_the_time_in_each_format() {
    let r = rig(0, 0);
    assert_eq!(r.time(), [0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x58, 5]);
    r.put(at::B, HOURS_24 | BINARY);
    assert_eq!(r.time(), [20, 24, 2, 29, 23, 59, 58, 5]);
    r.put(at::B, 0);
    assert_eq!(r.get(at::HOURS), 0x11 | PM);
    r.pass(Duration::from_secs(2));
    assert_eq!(r.time(), [0x20, 0x24, 0x03, 0x01, 0x12, 0x00, 0x00, 6]);
    assert_eq!(r.get(at::D), VALID);
}

/// mc146818_does_rtc_work() wants UIP clear within 10 ms; it is set only just before the second turns.
#[test]
fn an_update_is_announced_shortly_before_the_second_turns() {
    let r = rig(0, 0);
    assert_eq!(r.get(at::A), 0x26);
    r.pass(Duration::from_micros(999_700));
    assert_eq!(r.get(at::A), 0x26);
    r.pass(Duration::from_micros(100));
    assert_eq!(r.get(at::A), 0x26 | UIP);
    r.pass(Duration::from_micros(200));
    assert_eq!(r.get(at::A), 0x26);
    assert_eq!(r.get(at::SECONDS), 0x59);
}

#[test]
fn the_time_can_be_set_and_stands_still_meanwhile() {
    let r = rig(0, 0);
    r.put(at::B, SET | HOURS_24);
    r.pass(Duration::from_secs(5));
    assert_eq!(r.get(at::SECONDS), 0x58);
    for (index, value) in
        [(at::CENTURY, 0x19), (at::YEAR, 0x99), (at::MONTH, 0x12), (at::DAY, 0x31), (at::SECONDS, 0x59)]
    {
        r.put(index, value);
    }
    r.put(at::B, HOURS_24);
    assert_eq!(r.time(), [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59, 6]);
    r.pass(Duration::from_secs(1));
    assert_eq!(r.time(), [0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 7]);
    // Without SET a field changes at once. The battery keeps it over a reset.
    r.put(at::YEAR, 0x38);
    r.cmos.reset().unwrap();
    assert_eq!(r.time(), [0x20, 0x38, 0x01, 0x01, 0x00, 0x00, 0x00, 6]);
}

#[test]
fn flags_are_seen_without_an_interrupt_and_cleared_by_reading() {
    let r = rig(0, 0);
    r.get(at::C);
    assert_eq!(r.get(at::C), 0);
    r.put(at::SECONDS_ALARM, 0x00);
    r.put(at::MINUTES_ALARM, 0xff);
    r.put(at::HOURS_ALARM, 0xff);
    r.pass(Duration::from_secs(1));
    assert_eq!(r.get(at::C), PERIODIC | UPDATE);
    r.pass(Duration::from_secs(1));
    assert_eq!(r.get(at::C), PERIODIC | UPDATE | ALARM);
    assert_eq!(r.get(at::C), 0);
    r.put(at::A, 0x20);
    r.pass(Duration::from_millis(10));
    assert_eq!(r.get(at::C), 0, "rate 0 is none");
    assert!(!r.wire.level());
}

#[test]
fn an_enabled_flag_holds_the_line_until_register_c_is_read() {
    let r = rig(0, 0);
    r.pass(Duration::from_secs(1));
    r.put(at::B, HOURS_24 | UPDATE);
    assert!(r.wire.level());
    assert_eq!(r.get(at::C) & (ANY | UPDATE), ANY | UPDATE);
    assert!(!r.wire.level());
    r.pass(Duration::from_secs(1));
    r.get(at::A);
    assert!(r.wire.level());
    r.cmos.reset().unwrap();
    assert!(!r.wire.level() && r.wire.alternates());
}

/// The waiting thread on the real clock: it raises the line by itself, each time anew.
#[test]
fn a_periodic_interrupt_comes_by_itself() {
    let wire = Wire::new();
    let cmos = Cmos::new(0, 0, wire.clone());
    cmos.write(0, &[at::B, HOURS_24 | PERIODIC]);
    for _ in 0..3 {
        while !wire.level() {
            std::thread::yield_now();
        }
        cmos.write(0, &[at::C]);
        assert_eq!(rig::read8(&cmos, 1) & (ANY | PERIODIC), ANY | PERIODIC);
    }
    assert!(cmos.waiter.lock().is_some());
    drop(cmos);
    assert!(Arc::strong_count(&wire) == 1, "the thread is gone");
}

#[test]
fn what_is_due_next() {
    let r = rig(0, 0);
    let due = |b: u8| {
        let mut state = r.cmos.shared.state.lock();
        state.flags = 0;
        state.put(at::B, b | HOURS_24);
        let host = (r.cmos.shared.clock)().as_nanos() as i128;
        state.next_interrupt(host)
    };
    r.pass(Duration::from_millis(250));
    r.put(at::SECONDS_ALARM, 0x01);
    r.put(at::MINUTES_ALARM, 0x00);
    r.put(at::HOURS_ALARM, 0x00);
    assert_eq!(due(0), None);
    assert_eq!(due(UPDATE), Some(750_000_000));
    assert_eq!(due(ALARM), Some(2_750_000_000));
    assert_eq!(due(UPDATE | SET), None);
    r.put(at::HOURS_ALARM, 0x77);
    assert_eq!(due(ALARM), None, "no such hour");
    assert!(due(PERIODIC).is_some_and(|ns| ns > 0 && ns <= 976_563), "1024 Hz");
}

#[test]
fn memory_sizes_are_where_firmware_leaves_them() {
    let word = |r: &Rig, at| u16::from(r.get(at)) | u16::from(r.get(at + 1)) << 8;
    let r = rig(0xc000_0000, 0x1_4000_0000);
    assert_eq!(word(&r, at::BASE_MEMORY), 640);
    assert_eq!((word(&r, at::EXTENDED_MEMORY), word(&r, at::EXTENDED_MEMORY_AGAIN)), (0xffff, 0xffff));
    assert_eq!(word(&r, at::MEMORY_ABOVE_16M), 0xbf00);
    assert_eq!([0x5b, 0x5c, 0x5d].map(|i| r.get(i)), [0x00, 0x40, 0x01]);
    let sum: u16 = (0x10..0x2e).map(|i| u16::from(r.get(i))).sum();
    assert_eq!(sum.to_be_bytes(), [r.get(0x2e), r.get(0x2f)]);
    let small = rig(32 << 20, 0);
    assert_eq!((word(&small, at::EXTENDED_MEMORY), word(&small, at::MEMORY_ABOVE_16M)), (31 << 10, 256));
    assert_eq!([0x5b, 0x5c, 0x5d].map(|i| small.get(i)), [0; 3]);
}

#[test]
fn index_and_data_may_come_in_one_store_and_other_bytes_are_ram() {
    let r = rig(0, 0);
    r.cmos.write(0, &[0x8f, 0x05]);
    assert_eq!(r.get(0x0f), 0x05, "the NMI bit is no part of the index");
    assert_eq!(rig::read8(&r.cmos, 0), 0xff);
    r.put(at::C, 0xff);
    r.put(at::D, 0);
    assert_eq!(r.get(at::D), VALID);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_access_is_harmless(accesses in prop::collection::vec((any::<u8>(), any::<u8>(), 0u64..3_000_000_000, rig::accesses(2)), 0..40)) {
        let r = rig(1 << 30, 0);
        for (index, value, ns, others) in &accesses {
            r.put(*index % 0x34, *value);
            r.pass(Duration::from_nanos(*ns));
            others.iter().for_each(|a| a.run(&r.cmos));
            let state = r.cmos.shared.state.lock();
            prop_assert_eq!(r.wire.level(), state.interrupt());
        }
        prop_assert!(r.wire.alternates());
        r.cmos.reset().unwrap();
        prop_assert!(!r.wire.level());
        // The clock goes on, whatever was written.
        r.put(at::B, HOURS_24 | BINARY);
        let before = r.get(at::SECONDS);
        r.pass(Duration::from_secs(1));
        prop_assert!(before < 60);
        prop_assert_eq!(r.get(at::SECONDS), (before + 1) % 60);
    }
}
