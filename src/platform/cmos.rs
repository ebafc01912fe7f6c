//! The PC's clock and battery-backed memory (MC146818) at ports 0x70 (index) and 0x71 (data).
//!
//! It shows the host's time (UTC) plus what the guest has set it ahead. The flags of register C are worked out
//! when they are read; only while the guest has enabled one of their interrupts does a thread wait for it.

mod calendar;

use crate::bus::Mmio;
use crate::irq::Line;
use crate::part::Part;
use crate::sys::Lock;
use anyhow::Result;
use calendar::{Alarm, Time};
use std::sync::{Arc, Condvar, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

/// Registers and bytes of the memory by their index.
mod at {
    pub const SECONDS: u8 = 0x00;
    pub const SECONDS_ALARM: u8 = 0x01;
    pub const MINUTES: u8 = 0x02;
    pub const MINUTES_ALARM: u8 = 0x03;
    pub const HOURS: u8 = 0x04;
    pub const HOURS_ALARM: u8 = 0x05;
    pub const WEEKDAY: u8 = 0x06;
    pub const DAY: u8 = 0x07;
    pub const MONTH: u8 = 0x08;
    pub const YEAR: u8 = 0x09;
    pub const A: u8 = 0x0a;
    pub const B: u8 = 0x0b;
    pub const C: u8 = 0x0c;
    pub const D: u8 = 0x0d;
    pub const EQUIPMENT: u8 = 0x14;
    pub const BASE_MEMORY: u8 = 0x15;
    pub const EXTENDED_MEMORY: u8 = 0x17;
    pub const CHECKSUM: u8 = 0x2e;
    pub const EXTENDED_MEMORY_AGAIN: u8 = 0x30;
    pub const CENTURY: u8 = 0x32;
    pub const MEMORY_ABOVE_16M: u8 = 0x34;
    /// What to boot from: two nibbles, the lower first; in the upper nibble of the other byte a third.
    pub const BOOT_ORDER: u8 = 0x3d;
    pub const MEMORY_ABOVE_4G: u8 = 0x5b;
    /// Processors, less one.
    pub const CPUS: u8 = 0x5f;
}

/// Register A: an update is in progress; the time must not be read.
const UIP: u8 = 0x80;
/// How long before the update UIP is set (data sheet, "update cycle").
const UIP_NS: i128 = 244_000;
/// Register B: time stands still while it is set; flag interrupts; binary numbers; 24 hours.
const SET: u8 = 0x80;
const UPDATE_INTERRUPT: u8 = 0x10;
const INTERRUPTS: u8 = 0x70;
const BINARY: u8 = 0x04;
const HOURS_24: u8 = 0x02;
/// Register C has the interrupts' flags at the places where B enables them.
const PERIODIC: u8 = 0x40;
const ALARM: u8 = 0x20;
const UPDATE: u8 = 0x10;
const ANY: u8 = 0x80;
/// Register D: the battery is good.
const VALID: u8 = 0x80;
/// Hours of a 12-hour clock.
const PM: u8 = 0x80;

const SECOND_NS: i128 = 1_000_000_000;

/// Time since 1970 (UTC); the host's, but for tests.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

pub struct Cmos {
    shared: Arc<Shared>,
    waiter: Lock<Option<JoinHandle<()>>>,
}

struct Shared {
    line: Arc<dyn Line>,
    clock: Clock,
    state: Lock<State>,
    /// Something the waiting thread depends on has changed.
    changed: Condvar,
}

struct State {
    index: u8,
    /// While SET is on, the time's bytes are here; else those are not used.
    ram: [u8; 128],
    /// Seconds that the guest is ahead of the host.
    ahead: i64,
    /// The guest's time (nanoseconds) up to which `flags` are right.
    seen: i128,
    flags: u8,
    /// The level of the interrupt line.
    raised: bool,
    stopping: bool,
}

impl Cmos {
    /// `low` and `high` are the bytes of RAM below and above 4 GiB, for firmware and kernels that ask here;
    /// `line` is ISA interrupt 8.
    pub fn new(low: u64, high: u64, line: Arc<dyn Line>) -> Cmos {
        let host = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Cmos::with_clock(low, high, line, Box::new(host))
    }

    /// What a firmware for virtual machines finds there besides.
    pub fn for_firmware(&self, cpus: u32) {
        const DISK_THEN_CDROM: u8 = 0x32;
        let mut state = self.shared.state.lock();
        state.put(at::BOOT_ORDER, DISK_THEN_CDROM);
        state.put(at::CPUS, u8::try_from(cpus.saturating_sub(1)).unwrap_or(u8::MAX));
    }

    fn with_clock(low: u64, high: u64, line: Arc<dyn Line>, clock: Clock) -> Cmos {
        let now = clock().as_nanos() as i128;
        let ram = memory(low, high);
        let state = State { index: 0, ram, ahead: 0, seen: now, flags: 0, raised: false, stopping: false };
        let shared = Shared { line, clock, state: Lock::new(state), changed: Condvar::new() };
        Cmos { shared: Arc::new(shared), waiter: Lock::default() }
    }

    fn write_byte(&self, at: u64, value: u8) {
        match at {
            // Bit 7 masks NMIs, of which there are none.
            0 => self.shared.state.lock().index = value & 0x7f,
            1 => {
                let wanted = self.shared.change(|state, now| {
                    state.write(now, value);
                    state.ram(at::B) & INTERRUPTS != 0
                });
                if wanted {
                    self.wait_for_interrupts();
                }
            }
            _ => {}
        }
    }

    fn read_byte(&self, at: u64) -> u8 {
        match at {
            1 => self.shared.change(|state, now| state.read(now)),
            _ => 0xff,
        }
    }

    /// Starts the thread that raises interrupts when their time comes, unless it runs.
    fn wait_for_interrupts(&self) {
        let mut waiter = self.waiter.lock();
        if waiter.is_some() {
            return;
        }
        let shared = self.shared.clone();
        match std::thread::Builder::new().name("cmos".into()).stack_size(64 << 10).spawn(move || shared.wait()) {
            Ok(thread) => *waiter = Some(thread),
            Err(e) => log::error!("cmos: start thread for clock interrupts: {e}"),
        }
    }
}

impl Shared {
    /// Changes the state at the present moment, then the interrupt line.
    fn change<T>(&self, change: impl FnOnce(&mut State, i128) -> T) -> T {
        let mut state = self.state.lock();
        let host = (self.clock)().as_nanos() as i128;
        state.update_flags(host);
        let result = change(&mut state, host);
        self.set_line(&mut state);
        self.changed.notify_one();
        result
    }

    fn set_line(&self, state: &mut State) {
        let raised = state.interrupt();
        if raised != state.raised {
            state.raised = raised;
            self.line.set(raised);
        }
    }

    fn wait(&self) {
        let mut state = self.state.lock();
        while !state.stopping {
            let host = (self.clock)().as_nanos() as i128;
            state.update_flags(host);
            self.set_line(&mut state);
            state = match state.next_interrupt(host) {
                Some(ns) => {
                    let wait = Duration::from_nanos(u64::try_from(ns).unwrap_or(0));
                    self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    fn ram(&self, index: u8) -> u8 {
        self.ram.get(usize::from(index)).copied().unwrap_or(0xff)
    }

    fn put(&mut self, index: u8, value: u8) {
        if let Some(byte) = self.ram.get_mut(usize::from(index)) {
            *byte = value;
        }
    }

    fn is(&self, bit: u8) -> bool {
        self.ram(at::B) & bit != 0
    }

    /// The guest's time in nanoseconds since 1970.
    fn guest(&self, host: i128) -> i128 {
        host + i128::from(self.ahead) * SECOND_NS
    }

    fn encode(&self, value: u8) -> u8 {
        if self.is(BINARY) { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn decode(&self, byte: u8) -> u8 {
        if self.is(BINARY) { byte } else { (byte >> 4) * 10 + (byte & 0xf) }
    }

    fn encode_hour(&self, hour: u8) -> u8 {
        if self.is(HOURS_24) {
            return self.encode(hour);
        }
        let twelve = if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        self.encode(twelve) | if hour >= 12 { PM } else { 0 }
    }

    fn decode_hour(&self, byte: u8) -> u8 {
        if self.is(HOURS_24) {
            return self.decode(byte);
        }
        let twelve = self.decode(byte & !PM) % 12;
        if byte & PM != 0 { twelve + 12 } else { twelve }
    }

    /// Puts the time that `host` stands for into the time's bytes.
    fn latch(&mut self, host: i128) {
        let t = Time::at(self.guest(host).div_euclid(SECOND_NS) as i64);
        let (century, year) = ((t.year / 100) as u8, (t.year % 100) as u8);
        for (index, value) in [
            (at::SECONDS, self.encode(t.second)),
            (at::MINUTES, self.encode(t.minute)),
            (at::HOURS, self.encode_hour(t.hour)),
            (at::WEEKDAY, self.encode(t.weekday())),
            (at::DAY, self.encode(t.day)),
            (at::MONTH, self.encode(t.month)),
            (at::YEAR, self.encode(year)),
            (at::CENTURY, self.encode(century)),
        ] {
            self.put(index, value);
        }
    }

    /// The time's bytes are now.
    fn unlatch(&mut self, host: i128) {
        let field = |index| self.decode(self.ram(index));
        let t = Time {
            year: u16::from(field(at::CENTURY)) * 100 + u16::from(field(at::YEAR)),
            month: field(at::MONTH),
            day: field(at::DAY),
            hour: self.decode_hour(self.ram(at::HOURS)),
            minute: field(at::MINUTES),
            second: field(at::SECONDS),
        };
        self.ahead = t.seconds() - host.div_euclid(SECOND_NS) as i64;
        self.seen = self.guest(host);
    }

    fn alarm(&self) -> Alarm {
        let field =
            |index, decode: fn(&State, u8) -> u8| Some(self.ram(index)).filter(|b| *b < 0xc0).map(|b| decode(self, b));
        Alarm {
            hour: field(at::HOURS_ALARM, State::decode_hour),
            minute: field(at::MINUTES_ALARM, State::decode),
            second: field(at::SECONDS_ALARM, State::decode),
        }
    }

    /// Nanoseconds between periodic interrupts (data sheet, table 5, for a 32.768 kHz time base).
    fn period(&self) -> Option<i128> {
        let divider = match self.ram(at::A) & 0xf {
            0 => return None,
            // The two lowest rates stand for what 8 and 9 do.
            rate @ 1..=2 => rate + 7,
            rate => rate,
        };
        Some(SECOND_NS * (1 << (divider - 1)) / 32_768)
    }

    /// Brings the flags of register C up to date.
    fn update_flags(&mut self, host: i128) {
        let now = self.guest(host);
        let (before, second) = (self.seen.div_euclid(SECOND_NS) as i64, now.div_euclid(SECOND_NS) as i64);
        if now > self.seen {
            if self.period().is_some_and(|p| now / p != self.seen / p) {
                self.flags |= PERIODIC;
            }
            if second != before && !self.is(SET) {
                self.flags |= UPDATE;
                if self.alarm().next(before).is_some_and(|t| t <= second) {
                    self.flags |= ALARM;
                }
            }
        }
        self.seen = now;
    }

    fn interrupt(&self) -> bool {
        self.flags & self.ram(at::B) & INTERRUPTS != 0
    }

    /// Nanoseconds until an interrupt that is enabled; none is due while one is not acknowledged.
    fn next_interrupt(&self, host: i128) -> Option<i128> {
        if self.interrupt() {
            return None;
        }
        let now = self.guest(host);
        let second = now.div_euclid(SECOND_NS);
        let running = !self.is(SET);
        let update = (running && self.is(UPDATE)).then_some((second + 1) * SECOND_NS);
        let alarm = (running && self.is(ALARM)).then(|| self.alarm().next(second as i64)).flatten();
        let alarm = alarm.map(|t| i128::from(t) * SECOND_NS);
        let periodic = self.period().filter(|_| self.is(PERIODIC)).map(|p| (now / p + 1) * p);
        [update, alarm, periodic].into_iter().flatten().min().map(|t| t - now)
    }

    fn read(&mut self, host: i128) -> u8 {
        match self.index {
            at::SECONDS | at::MINUTES | at::HOURS | at::WEEKDAY..=at::YEAR | at::CENTURY if !self.is(SET) => {
                self.latch(host);
                self.ram(self.index)
            }
            at::A => {
                let left = SECOND_NS - self.guest(host).rem_euclid(SECOND_NS);
                self.ram(at::A) | if left <= UIP_NS && !self.is(SET) { UIP } else { 0 }
            }
            at::C => {
                let any = if self.interrupt() { ANY } else { 0 };
                std::mem::take(&mut self.flags) | any
            }
            at::D => VALID,
            index => self.ram(index),
        }
    }

    fn write(&mut self, host: i128, value: u8) {
        match self.index {
            at::SECONDS | at::MINUTES | at::HOURS | at::DAY..=at::YEAR | at::CENTURY if !self.is(SET) => {
                self.latch(host);
                self.put(self.index, value);
                self.unlatch(host);
            }
            at::A => self.put(at::A, value & !UIP),
            at::B => {
                let was_set = self.is(SET);
                if value & SET != 0 && !was_set {
                    self.latch(host);
                }
                self.put(at::B, if value & SET != 0 { value & !UPDATE_INTERRUPT } else { value });
                if value & SET == 0 && was_set {
                    self.unlatch(host);
                }
            }
            at::C | at::D => {}
            index => self.put(index, value),
        }
    }
}

/// What a PC's firmware leaves in the memory.
fn memory(low: u64, high: u64) -> [u8; 128] {
    let mut ram = [0; 128];
    let mut put = |index: u8, bytes: &[u8]| {
        let cells = ram.get_mut(usize::from(index)..).unwrap_or_default();
        cells.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    };
    let word = |value: u64| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
    // 32.768 kHz time base, 1024 Hz periodic rate; 24 hours, BCD.
    put(at::A, &[0x26, HOURS_24]);
    // A mathematics coprocessor.
    put(at::EQUIPMENT, &[0x02]);
    put(at::BASE_MEMORY, &word(low.min(640 << 10) >> 10));
    put(at::EXTENDED_MEMORY, &word(low.saturating_sub(1 << 20) >> 10));
    put(at::EXTENDED_MEMORY_AGAIN, &word(low.saturating_sub(1 << 20) >> 10));
    put(at::MEMORY_ABOVE_16M, &word(low.saturating_sub(16 << 20) >> 16));
    let [a, b, c, ..] = (high >> 16).min(0xff_ffff).to_le_bytes();
    put(at::MEMORY_ABOVE_4G, &[a, b, c]);
    // Sum of 0x10 to 0x2d, high byte first.
    let sum: u16 = ram.iter().take(usize::from(at::CHECKSUM)).skip(0x10).map(|b| u16::from(*b)).sum();
    let [high_byte, low_byte] = sum.to_be_bytes();
    let cells = ram.iter_mut().skip(usize::from(at::CHECKSUM));
    cells.zip([high_byte, low_byte]).for_each(|(to, from)| *to = from);
    ram
}

impl Mmio for Cmos {
    fn read(&self, offset: u64, data: &mut [u8]) {
        (offset..=u64::MAX).zip(data).for_each(|(at, byte)| *byte = self.read_byte(at));
    }

    fn write(&self, offset: u64, data: &[u8]) {
        (offset..=u64::MAX).zip(data).for_each(|(at, byte)| self.write_byte(at, *byte));
    }
}

impl Part for Cmos {
    fn name(&self) -> &str {
        "cmos"
    }

    /// The battery keeps the time and the memory; interrupts are off and flags clear (data sheet, RESET).
    fn reset(&self) -> Result<()> {
        self.shared.change(|state, host| {
            if state.is(SET) {
                state.unlatch(host);
            }
            let b = state.ram(at::B) & (BINARY | HOURS_24);
            state.put(at::B, b);
            state.flags = 0;
            state.index = 0;
        });
        Ok(())
    }
}

impl Drop for Cmos {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.waiter.lock().take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
