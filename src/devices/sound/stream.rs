//! One stream of sound: the buffers that the driver gave, each of which takes as long as what is in it is to be heard. There is
//! no clock of a sound card, so the host's is the clock.

use super::protocol::{STATUS, Status};
use crate::host::sound::{Format, Sink};
use crate::sys::timer::Timer;
use crate::virtio::{Chain, Queue};
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most bytes in one buffer.
const LONGEST: usize = 1 << 20;
/// A buffer that is over so much too late does not put off the next; one that is later does.
const SLACK: Duration = Duration::from_millis(200);
/// A longer buffer is heard in pieces of a tenth of a second: whoever hears it need not have room for more.
const PIECES: u32 = 10;
/// The device is not called more often than this.
const SHORTEST: Duration = Duration::from_millis(1);

/// As virtio 1.2, 5.14.6.6.1 has it; but Linux prepares a stopped stream, or gives it other parameters, without releasing it if
/// no buffer is left there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no parameters.
    New,
    Set,
    Prepared,
    Running,
    Stopped,
}

pub struct Stream {
    pub state: State,
    format: Option<Format>,
    waiting: VecDeque<Chain>,
    current: Option<(Chain, Instant)>,
    /// When the last buffer was over.
    clock: Option<Instant>,
    pub timer: Timer,
    /// `None`: it records, and all it hears is silence.
    sink: Option<Box<dyn Sink>>,
}

impl Stream {
    pub fn new(sink: Option<Box<dyn Sink>>) -> Result<Stream> {
        let timer = Timer::off().context("create a timer")?;
        let (state, waiting) = (State::New, VecDeque::new());
        Ok(Stream { state, format: None, waiting, current: None, clock: None, timer, sink })
    }

    pub fn set(&mut self, format: Format) -> Result<(), Status> {
        if self.state == State::Running {
            return Err(Status::BadMessage);
        }
        (self.state, self.format) = (State::Set, Some(format));
        Ok(())
    }

    pub fn prepare(&mut self) -> Result<(), Status> {
        if matches!(self.state, State::New | State::Running) {
            return Err(Status::BadMessage);
        }
        self.state = State::Prepared;
        Ok(())
    }

    pub fn start(&mut self, now: Instant, queue: &mut Queue) -> Result<Result<(), Status>> {
        let (true, Some(format)) = (matches!(self.state, State::Prepared | State::Stopped), self.format) else {
            return Ok(Err(Status::BadMessage));
        };
        self.state = State::Running;
        self.clock = None;
        if let Some(sink) = &mut self.sink {
            sink.start(format);
        }
        self.run(now, queue).map(Ok)
    }

    pub fn stop(&mut self) -> Result<Result<(), Status>> {
        if self.state != State::Running {
            return Ok(Err(Status::BadMessage));
        }
        self.halt()?;
        self.state = State::Stopped;
        Ok(Ok(()))
    }

    fn halt(&mut self) -> Result<()> {
        self.timer.cancel().context("stop a timer")?;
        // What is heard already is not heard again.
        if let Some((chain, _)) = self.current.take() {
            self.waiting.push_front(chain);
        }
        if let (State::Running, Some(sink)) = (self.state, &mut self.sink) {
            sink.stop();
        }
        Ok(())
    }

    /// All buffers go back before this is answered (5.14.6.6.5.1).
    pub fn release(&mut self, queue: &mut Queue) -> Result<Result<(), Status>> {
        if matches!(self.state, State::New | State::Running) {
            return Ok(Err(Status::BadMessage));
        }
        self.state = State::Set;
        let any = !self.waiting.is_empty();
        while let Some(mut chain) = self.waiting.pop_front() {
            self.finish(&mut chain, Status::Ok, queue)?;
        }
        if any {
            queue.signal()?;
        }
        Ok(Ok(()))
    }

    /// The driver is gone: forgets everything.
    pub fn reset(&mut self) {
        if let Err(e) = self.halt() {
            log::warn!("sound: {e:#}");
        }
        (self.state, self.format, self.clock) = (State::New, None, None);
        self.waiting.clear();
    }

    /// Takes a buffer whose header has been taken off.
    pub fn take(&mut self, mut chain: Chain, queue: &mut Queue) -> Result<()> {
        let status = match self.state {
            State::New | State::Set => Status::BadMessage,
            _ if self.len(&chain).is_none() => Status::BadMessage,
            _ => {
                self.waiting.push_back(chain);
                return Ok(());
            }
        };
        self.finish(&mut chain, status, queue)
    }

    /// Gives back what is no buffer for this stream.
    pub fn refuse(&mut self, mut chain: Chain, queue: &mut Queue) -> Result<()> {
        self.finish(&mut chain, Status::BadMessage, queue)
    }

    /// Bytes of sound in a buffer; `None`: it is none.
    fn len(&self, chain: &Chain) -> Option<usize> {
        let (readable, writable) = chain.sizes();
        let status = writable.checked_sub(STATUS)?;
        let len = if self.sink.is_some() { readable } else { status };
        (len <= LONGEST).then_some(len)
    }

    /// Begins and ends buffers whose time has come.
    pub fn run(&mut self, now: Instant, queue: &mut Queue) -> Result<()> {
        let (State::Running, Some(format)) = (self.state, self.format) else {
            self.timer.cancel().context("stop a timer")?;
            return Ok(());
        };
        let mut any = false;
        loop {
            if self.current.is_none() {
                let Some(mut chain) = self.waiting.pop_front() else {
                    self.timer.cancel().context("stop a timer")?;
                    break;
                };
                let begin = self.clock.filter(|clock| *clock + SLACK > now).unwrap_or(now);
                let due = begin + self.begin(&mut chain, format);
                self.current = Some((chain, due));
            }
            match self.current.take() {
                Some((mut chain, due)) if due <= now => {
                    self.clock = Some(due);
                    if self.has_more(&chain, format) {
                        self.waiting.push_front(chain);
                    } else {
                        self.finish(&mut chain, Status::Ok, queue)?;
                        any = true;
                    }
                }
                Some((chain, due)) => {
                    self.current = Some((chain, due));
                    self.timer.again((due - now).max(SHORTEST)).context("set a timer")?;
                    break;
                }
                None => break,
            }
        }
        if any { queue.signal() } else { Ok(()) }
    }

    /// There is something in a buffer that was not heard.
    fn has_more(&self, chain: &Chain, format: Format) -> bool {
        self.sink.is_some() && self.len(chain).is_some_and(|len| len >= format.frame().max(1) as usize)
    }

    /// Lets the next piece of a buffer be heard; says how long it is. It is read only now: a driver may change it while it waits.
    fn begin(&mut self, chain: &mut Chain, format: Format) -> Duration {
        let frame = format.frame().max(1) as usize;
        let mut frames = self.len(chain).unwrap_or(0) / frame;
        if let Some(sink) = &mut self.sink {
            frames = frames.min((format.rate / PIECES).max(1) as usize);
            let mut bytes = vec![0; frames * frame];
            let n = chain.take_into(&mut bytes);
            sink.write(bytes.get(..n).unwrap_or_default());
        }
        Duration::from_secs_f64(frames as f64 / f64::from(format.rate.max(1)))
    }

    /// Gives a buffer back.
    fn finish(&mut self, chain: &mut Chain, status: Status, queue: &mut Queue) -> Result<()> {
        let mut written = 0;
        if self.sink.is_none() {
            let silence = self.format.map_or(0, |f| f.sample.silence());
            let len = self.len(chain).filter(|_| status == Status::Ok).unwrap_or(0);
            written += chain.put(&vec![silence; len]);
        }
        // The status stands at the very end, whatever of the sound there is.
        let (_, left) = chain.sizes();
        if status != Status::Ok && left > STATUS {
            crate::mem::vectored::skip(&mut chain.writable, left - STATUS);
        }
        let bytes = [(status as u32).to_le_bytes(), [0; 4]].concat();
        written += chain.put(&bytes);
        queue.push(chain, written as u32)
    }
}
