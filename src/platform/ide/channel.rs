//! A channel: the ports through which the guest reaches two drives, their one interrupt, and the bus master.
//!
//! ```text
//! command block             read            write          control block
//!    0  data                                               0  alternate status (read), device control (write)
//!    1                      error           features
//!    2                      count           count          bus master
//!    3, 4, 5                address         address        0  command   2  status   4 to 7  table
//!    6                      device          device
//!    7                      status          command
//! ```

use super::drive::{After, BSY, Dma, Drive, Phase, READY, Registers, Unit};
use super::master::{Master, START, Trouble};
use super::worker::{Job, Work, Worker};
use crate::bus::Mmio;
use crate::irq::Line;
use crate::mem::{Memory, Slice};
use crate::sys::Lock;
use anyhow::{Context, Result};
use std::io;
use std::sync::{Arc, Condvar, MutexGuard, PoisonError, Weak};

/// Device control (ATA/ATAPI-6, 7.8): no interrupts, software reset, read what was written before.
const NIEN: u8 = 1 << 1;
const SRST: u8 = 1 << 2;
const HOB: u8 = 1 << 7;
/// Device register: the second drive.
const DEV: u8 = 1 << 4;
/// Commands that concern more than the drive's own business.
const DEVICE_RESET: u8 = 0x08;
const DIAGNOSTIC: u8 = 0x90;

/// The lock is taken before that of the interrupt line. It is not held while the thread is at work or waited for.
pub struct Channel {
    name: String,
    memory: Memory,
    line: Arc<dyn Line>,
    state: Lock<State>,
    /// The thread has ended a job.
    rests: Condvar,
    me: Weak<Channel>,
}

struct State {
    units: [Option<Unit>; 2],
    selected: usize,
    control: u8,
    /// The drive asks for attention.
    interrupt: bool,
    /// Level of the line.
    up: bool,
    master: Master,
    worker: Option<Worker>,
    /// What the thread is at.
    job: Option<UnderWay>,
}

struct UnderWay {
    unit: usize,
    /// The bus master is in use, and whether its table goes on after this.
    dma: Option<bool>,
}

impl Channel {
    pub fn new(
        number: usize,
        drives: [Option<Drive>; 2],
        memory: &Memory,
        line: Arc<dyn Line>,
    ) -> Result<Arc<Channel>> {
        let unit = |drive: Option<Drive>, n| drive.map(|drive| Unit::new(drive, 2 * number + n)).transpose();
        let [first, second] = drives;
        let units = [unit(first, 0)?, unit(second, 1)?];
        let state = State {
            units,
            selected: 0,
            control: 0,
            interrupt: false,
            up: false,
            master: Master::default(),
            worker: None,
            job: None,
        };
        let (name, memory) = (format!("ide{number}"), memory.clone());
        Ok(Arc::new_cyclic(|me| Channel {
            name,
            memory,
            line,
            state: Lock::new(state),
            rests: Condvar::new(),
            me: me.clone(),
        }))
    }

    pub fn command_block(self: &Arc<Channel>) -> Arc<dyn Mmio> {
        Arc::new(CommandBlock(self.clone()))
    }

    pub fn control_block(self: &Arc<Channel>) -> Arc<dyn Mmio> {
        Arc::new(ControlBlock(self.clone()))
    }

    /// When the thread is not at work.
    fn at_rest(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        while state.job.is_some() {
            state = self.rests.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    pub fn power_on(&self) {
        let mut s = self.at_rest();
        s.units.iter_mut().flatten().for_each(Unit::power_on);
        (s.selected, s.control, s.interrupt) = (0, 0, false);
        s.master = Master::default();
        self.update(&mut s);
    }

    /// Nothing goes to memory or comes from there any more, until the guest starts it again.
    pub fn halt(&self) {
        let mut s = self.at_rest();
        s.master.write(0, 0);
        s.master.ended(false);
    }

    pub fn read_master(&self, at: u64) -> u8 {
        self.state.lock().master.read(at)
    }

    pub fn write_master(&self, at: u64, value: u8) {
        let stops = at == 0 && value & START == 0;
        let mut s = if stops { self.at_rest() } else { self.state.lock() };
        match s.master.write(at, value) {
            (true, _) => self.transfer(&mut s),
            (_, true) => s.master.ended(false),
            _ => {}
        }
    }

    fn interrupt(&self, s: &mut State) {
        s.interrupt = true;
        self.update(s);
    }

    /// The line follows the drive, and the bus master notes that it went up.
    fn update(&self, s: &mut State) {
        let up = s.interrupt && s.control & NIEN == 0;
        if up != s.up {
            s.up = up;
            self.line.set(up);
            if up {
                s.master.interrupt();
            }
        }
    }

    fn register(&self, at: u64) -> u8 {
        let mut s = self.state.lock();
        let previous = usize::from(s.control & HOB != 0);
        let selected = s.selected;
        let Some(Some(unit)) = s.units.get(selected) else { return 0 };
        let Registers { count, low, mid, high, device, .. } = unit.registers;
        let either = |pair: [u8; 2]| if previous == 1 { pair[1] } else { pair[0] };
        let value = match at {
            1 => unit.error,
            2 => either(count),
            3 => either(low),
            4 => either(mid),
            5 => either(high),
            // Bits 7 and 5 are always set in old drives.
            6 => device & !DEV | 0xa0 | (selected as u8) << 4,
            _ => unit.status,
        };
        if at == 7 {
            s.interrupt = false;
            self.update(&mut s);
        }
        value
    }

    fn set_register(&self, at: u64, value: u8) {
        let mut s = self.state.lock();
        s.control &= !HOB;
        match at {
            // While a reset lasts nobody listens.
            7 if s.control & SRST != 0 => return,
            7 => return self.command(s, value),
            _ => {}
        }
        if at == 6 {
            s.selected = usize::from(value & DEV != 0);
        }
        // Both drives listen.
        for unit in s.units.iter_mut().flatten().filter(|unit| !unit.occupied()) {
            let r = &mut unit.registers;
            let pair = match at {
                1 => &mut r.features,
                2 => &mut r.count,
                3 => &mut r.low,
                4 => &mut r.mid,
                5 => &mut r.high,
                _ => {
                    r.device = value;
                    continue;
                }
            };
            *pair = [value, pair[0]];
        }
    }

    fn command<'a>(&'a self, mut s: MutexGuard<'a, State>, command: u8) {
        let selected = s.selected;
        let resets = |s: &State| command == DEVICE_RESET && s.unit(selected).is_some_and(|unit| unit.cdrom);
        if command == DIAGNOSTIC || resets(&s) {
            drop(s);
            s = self.at_rest();
        }
        s.interrupt = false;
        self.update(&mut s);
        if command == DIAGNOSTIC {
            s.units.iter_mut().flatten().for_each(Unit::reset);
            s.selected = 0;
            return self.interrupt(&mut s);
        }
        let resets = resets(&s);
        let idle = s.job.is_none();
        let Some(Some(unit)) = s.units.get_mut(selected) else { return };
        if resets {
            return unit.reset();
        }
        if idle && !unit.occupied() {
            let after = unit.command(command);
            self.follow(&mut s, selected, after);
        }
    }

    fn follow(&self, s: &mut State, unit: usize, after: After) {
        match after {
            After::Nothing => {}
            After::Interrupt => self.interrupt(s),
            After::Dma => self.transfer(s),
            After::Flush => self.begin(s, UnderWay { unit, dma: None }, Work::Flush),
        }
    }

    /// A drive and the bus master have met, or one of them waits for the other.
    fn transfer(&self, s: &mut State) {
        let waits = |unit: &Option<Unit>| matches!(unit, Some(Unit { phase: Phase::Dma(_), .. }));
        let Some(number) = s.units.iter().position(waits).filter(|_| s.master.started()) else { return };
        let Some(Some(unit)) = s.units.get_mut(number) else { return };
        let Phase::Dma(dma) = std::mem::replace(&mut unit.phase, Phase::Idle) else { return };
        let flush = unit.flushes_writes();
        let len = match &dma {
            Dma::Read { len, .. } | Dma::Write { len, .. } => *len,
            Dma::Reply(bytes) => bytes.len() as u64,
        };
        let (regions, more) = match s.master.regions(&self.memory, len) {
            Ok(found) => found,
            Err(trouble) => return self.nowhere(s, number, &trouble),
        };
        let under_way = UnderWay { unit: number, dma: Some(more) };
        match dma {
            Dma::Read { at, .. } => self.begin(s, under_way, Work::Read { at, to: regions }),
            Dma::Write { at, .. } => self.begin(s, under_way, Work::Write { at, from: regions, flush }),
            Dma::Reply(bytes) => {
                scatter(&regions, &bytes);
                self.ended(s, under_way, Ok(()));
            }
        }
    }

    /// Nothing was transferred. Of a table that is too short nobody is told but the bus master's status (Bus Master IDE, 3.1).
    fn nowhere(&self, s: &mut State, number: usize, trouble: &Trouble) {
        s.master.ended(*trouble == Trouble::Nowhere);
        let Some(Some(unit)) = s.units.get_mut(number) else { return };
        match trouble {
            Trouble::Short => unit.status = READY,
            Trouble::Nowhere => {
                let _ = unit.fail(super::drive::ABRT);
                self.interrupt(s);
            }
        }
    }

    /// Gives the thread something to do.
    fn begin(&self, s: &mut State, under_way: UnderWay, work: Work) {
        let Some(Some(unit)) = s.units.get_mut(under_way.unit) else { return };
        (unit.phase, unit.status) = (Phase::Working, BSY);
        let job = Job { image: unit.image.clone(), work };
        match self.worker(s) {
            Ok(worker) if worker.give(job) => s.job = Some(under_way),
            Ok(_) => self.ended(s, under_way, Err(io::ErrorKind::BrokenPipe.into())),
            Err(e) => self.ended(s, under_way, Err(io::Error::other(format!("{e:#}")))),
        }
    }

    fn worker<'a>(&self, s: &'a mut State) -> Result<&'a Worker> {
        if s.worker.is_none() {
            let me = self.me.clone();
            let done = move |result| {
                let Some(channel) = me.upgrade() else { return };
                let mut s = channel.state.lock();
                if let Some(under_way) = s.job.take() {
                    channel.ended(&mut s, under_way, result);
                }
                channel.rests.notify_all();
            };
            s.worker = Some(Worker::start(&self.name, done)?);
        }
        s.worker.as_ref().context("there is no thread")
    }

    fn ended(&self, s: &mut State, under_way: UnderWay, result: io::Result<()>) {
        let failed = result.is_err();
        // While the table goes on, the bus master stays active (Bus Master IDE, 3.1).
        if under_way.dma.is_some_and(|more| failed || !more) {
            s.master.ended(false);
        }
        let Some(Some(unit)) = s.units.get_mut(under_way.unit) else { return };
        let after = unit.worked(result);
        self.follow(s, under_way.unit, after);
    }
}

impl State {
    fn unit(&self, number: usize) -> Option<&Unit> {
        self.units.get(number)?.as_ref()
    }
}

fn scatter(regions: &[Slice], bytes: &[u8]) {
    let mut done = 0;
    for region in regions {
        done += region.copy_from(bytes.get(done..).unwrap_or_default());
    }
}

struct CommandBlock(Arc<Channel>);

impl Mmio for CommandBlock {
    /// The data port takes 16 or 32 bits (and gives bytes, if it must); the others have 8.
    fn read(&self, offset: u64, data: &mut [u8]) {
        if offset > 0 {
            data.fill(0xff);
            if let Some(first) = data.first_mut() {
                *first = self.0.register(offset);
            }
            return;
        }
        let mut s = self.0.state.lock();
        let selected = s.selected;
        let Some(Some(unit)) = s.units.get_mut(selected) else { return data.fill(0xff) };
        let after = unit.read_data(data);
        self.0.follow(&mut s, selected, after);
    }

    fn write(&self, offset: u64, data: &[u8]) {
        if offset > 0 {
            if let Some(first) = data.first() {
                self.0.set_register(offset, *first);
            }
            return;
        }
        let mut s = self.0.state.lock();
        let selected = s.selected;
        let Some(Some(unit)) = s.units.get_mut(selected) else { return };
        let after = unit.write_data(data);
        self.0.follow(&mut s, selected, after);
    }
}

struct ControlBlock(Arc<Channel>);

impl Mmio for ControlBlock {
    fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        let s = self.0.state.lock();
        if let Some(first) = data.first_mut() {
            *first = s.unit(s.selected).map_or(0, |unit| unit.status);
        }
    }

    fn write(&self, _offset: u64, data: &[u8]) {
        let Some(value) = data.first().copied() else { return };
        let mut s = if value & SRST != 0 { self.0.at_rest() } else { self.0.state.lock() };
        let before = std::mem::replace(&mut s.control, value & (NIEN | SRST | HOB));
        match (before & SRST != 0, value & SRST != 0) {
            (false, true) => {
                s.interrupt = false;
                for unit in s.units.iter_mut().flatten() {
                    unit.reset();
                    unit.status = BSY;
                }
            }
            (true, false) => {
                s.units.iter_mut().flatten().for_each(Unit::reset);
                s.selected = 0;
            }
            _ => {}
        }
        self.0.update(&mut s);
    }
}
