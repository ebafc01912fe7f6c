//! The thread that moves frames between the rings and the link. vCPUs touch registers only, and ring its bell; it holds
//! the [`Engine`] while it touches guest memory, so whoever got hold of that after switching something off knows that it
//! does no more.

use super::names::{RDBAL, TDBAL};
use super::receive::{Next, Receiver};
use super::registers::Registers;
use super::transmit::{Settings, Transmitter};
use crate::host::link::Link;
use crate::mem::Memory;
use crate::sys::readiness::{Watch, wait};
use crate::sys::{EventFd, Lock, eventfd, fd};
use anyhow::{Context, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Bytes. Touched page by page.
const STACK: usize = 256 << 10;

/// What the thread and the vCPUs share. Lock order: `turn`, `engine`, `registers`, `call`.
pub struct Shared {
    pub registers: Lock<Registers>,
    engine: Lock<Engine>,
    /// Whoever waits for the engine holds this, so that the thread does not take it again at once.
    turn: Lock<()>,
    call: Lock<Call>,
    bell: EventFd,
}

/// What the thread is called for. The bell is rung only while it sleeps, or is about to.
#[derive(Default)]
struct Call {
    asleep: bool,
    work: bool,
    stop: bool,
}

impl Shared {
    pub fn new(registers: Registers, link: Box<dyn Link>, memory: &Memory) -> Result<Arc<Shared>> {
        Ok(Arc::new(Shared {
            registers: Lock::new(registers),
            engine: Lock::new(Engine::new(link, memory.clone())),
            turn: Lock::new(()),
            call: Lock::default(),
            bell: eventfd().context("create an eventfd")?,
        }))
    }

    /// There may be something to do.
    pub fn kick(&self) {
        self.call(|call| call.work = true);
    }

    fn call(&self, what: impl FnOnce(&mut Call)) {
        let mut call = self.call.lock();
        what(&mut call);
        if std::mem::take(&mut call.asleep)
            && let Err(e) = self.bell.write(1)
        {
            log::error!("call a network card's thread: {e}");
        }
    }

    /// Returns when what was going on in guest memory has ended. What was switched off before does not begin again.
    pub fn settle(&self) {
        let _turn = self.turn.lock();
        drop(self.engine.lock());
    }
}

/// A handle on the thread. Dropping it ends it.
pub struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub fn start(name: &str, shared: &Arc<Shared>) -> Result<Worker> {
        let link = shared.engine.lock().link.fd(0).map(fd::duplicate).transpose().context("watch the network")?;
        let (mine, id) = (shared.clone(), name.to_string());
        let body = move || {
            if let Err(e) = work(&mine, link) {
                log::error!("{id}: {e:#}; the card is dead");
            }
        };
        let thread = std::thread::Builder::new().name(name.to_string()).stack_size(STACK).spawn(body);
        let thread = thread.context("start the card's thread")?;
        Ok(Worker { shared: shared.clone(), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.call(|call| call.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        *self.shared.call.lock() = Call::default();
        // It is 0 perhaps: then there is nothing to read.
        let _ = self.shared.bell.read();
    }
}

fn work(shared: &Shared, link: Option<OwnedFd>) -> Result<()> {
    let mut round = Round { again: true, watch: false };
    loop {
        {
            let mut call = shared.call.lock();
            if call.stop {
                return Ok(());
            }
            round.again |= std::mem::take(&mut call.work);
            call.asleep = !round.again;
        }
        if !round.again {
            let link = link.as_ref().filter(|_| round.watch);
            let link = link.map_or(Watch::NONE, |fd| Watch::new(fd.as_fd(), true, false));
            let mut watches = [Watch::new(fd::of(&shared.bell), true, false), link];
            wait(&mut watches, None).context("wait for the driver")?;
            shared.call.lock().asleep = false;
            if watches[0].ready() {
                let _ = shared.bell.read();
            }
        }
        drop(shared.turn.lock());
        round = shared.engine.lock().round(&shared.registers);
    }
}

/// What touches guest memory.
struct Engine {
    link: Box<dyn Link>,
    memory: Memory,
    transmitter: Transmitter,
    receiver: Receiver,
    /// The reset after which its state came about.
    generation: u64,
    /// There will be nothing from the link any more.
    gone: bool,
}

/// How to go on.
struct Round {
    /// At once.
    again: bool,
    /// When the link has something, too.
    watch: bool,
}

impl Round {
    const IDLE: Round = Round { again: false, watch: false };
}

impl Engine {
    fn new(link: Box<dyn Link>, memory: Memory) -> Engine {
        let (transmitter, receiver) = (Transmitter::new(), Receiver::new());
        Engine { link, memory, transmitter, receiver, generation: 0, gone: false }
    }

    /// Does a bounded piece of what there is to do.
    fn round(&mut self, registers: &Lock<Registers>) -> Round {
        let generation = registers.lock().generation;
        if generation != self.generation {
            self.transmitter = Transmitter::new();
            self.receiver.reset();
            self.generation = generation;
        }
        let sending = self.transmit(registers);
        let receiving = if self.gone { Round::IDLE } else { self.receive(registers) };
        Round { again: sending || receiving.again, watch: receiving.watch }
    }

    /// True when there is more to do.
    fn transmit(&mut self, registers: &Lock<Registers>) -> bool {
        let (ring, settings) = {
            let registers = registers.lock();
            (registers.ring(TDBAL, self.generation), Settings::of(&registers))
        };
        let Some(mut ring) = ring.filter(|ring| ring.head != ring.tail) else { return false };
        let sent = self.transmitter.run(&mut ring, settings, &self.memory, self.link.as_mut());
        let mut registers = registers.lock();
        if registers.used(TDBAL, self.generation, ring.head) {
            registers.count_sent(&sent.tally);
            registers.cause(sent.causes);
        }
        sent.again
    }

    fn receive(&mut self, registers: &Lock<Registers>) -> Round {
        let ring = registers.lock().ring(RDBAL, self.generation);
        let Some(mut ring) = ring else {
            self.receiver.reset();
            return Round::IDLE;
        };
        let received = self.receiver.run(&mut ring, registers, &self.memory, self.link.as_mut());
        let mut registers = registers.lock();
        if !registers.used(RDBAL, self.generation, ring.head) {
            return Round::IDLE;
        }
        registers.count_received(&received.tally);
        registers.cause(received.causes);
        match received.next {
            Next::Watch => Round { again: false, watch: true },
            // The driver may have given some meanwhile.
            Next::Starved => {
                let again = registers.ring(RDBAL, self.generation).is_some_and(|now| now.tail != ring.tail);
                registers.starved = !again;
                Round { again, watch: false }
            }
            Next::Gone => {
                self.gone = true;
                registers.set_cable(false);
                Round::IDLE
            }
        }
    }
}
