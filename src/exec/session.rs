//! One run: a machine, the channel to the agent in it, and the kernel's log.

use super::console::{Console, Target};
use super::told::Told;
use crate::agent::{End, Job, Session, Streams, Times};
use crate::config::{Config, Device, Options};
use crate::control;
use crate::event::{Notify, Request};
use crate::host::stream;
use crate::klog::{Boot, Report};
use crate::machine::{Machine, Outcome};
use crate::mem::Memory;
use crate::printk::{self, vmcoreinfo};
use crate::sys::{Lock, fd, signal};
use anyhow::{Context, Result};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What is to run.
pub struct Run {
    /// The machine, without the devices and the serial port that the run itself needs.
    pub config: Config,
    pub job: Job,
    pub streams: Streams,
    pub klog: Target,
    /// The kernel says only errors on its console; its log is in its memory.
    pub quiet: bool,
}

/// What came of it.
pub struct Ran {
    pub ending: Ending,
    pub reports: Vec<Report>,
    /// Reports beyond those.
    pub more_reports: u64,
    pub boot: Boot,
    /// The kernel's log, where it went nowhere else.
    pub log: Option<Vec<u8>>,
    /// The kernel's release, as its agent told it.
    pub release: Option<String>,
    /// The first vCPU entered the guest.
    pub began: Instant,
    /// The kernel said its first word on the console.
    pub spoke: Option<Instant>,
    pub times: Times,
    pub ended: Instant,
}

impl Ran {
    /// The agent never spoke: the kernel may lack something.
    pub fn failed_before_init(&self) -> bool {
        self.release.is_none() && !matches!(self.ending, Ending::Machine(Outcome::UserQuit | Outcome::Failed(_)))
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The agent told, or was lost.
    Agent(End),
    /// The machine ended before the command did.
    Machine(Outcome),
}

/// signal(7).
const SIGTERM: u8 = 15;
/// How long a command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// The port of the console device that the agent looks for.
const PORT: &str = "kiln.agent";

impl Run {
    pub fn run(self) -> Result<Ran> {
        let Run { mut config, job, mut streams, klog, quiet } = self;
        let keep = matches!(klog, Target::Kept);
        let console = Console::listen(klog)?;
        config.serial = vec![console.stream()];
        let (host, guest) = UnixStream::pair().context("create the agent's socket")?;
        config.devices.push(channel(&guest)?);
        let machine = Machine::build(config)?;
        let _control = control::open(&machine)?;
        // The machine has descriptors of its own of what it was given by number.
        drop(guest);
        let (notify, memory) = (machine.notify(), machine.memory());
        if job.terminal.is_some() {
            // Ctrl-A commands are kiln's.
            streams.stdin = Some(stream::typed(&notify)?.into());
        }
        let end = Arc::new(Lock::new(None));
        let told = end.clone();
        let on_end = move |how| {
            *told.lock() = Some(how);
            notify(Request::Dismiss);
        };
        let session = Session::start(host, &job, streams, Box::new(on_end)).context("start the agent's session")?;
        let session = Arc::new(session);
        if job.terminal.is_none() {
            pass_on_signals(session.clone(), machine.notify())?;
        }
        let ran = machine.run()?;
        session.stop();
        let ended = Instant::now();
        let heard = console.finish()?;
        let from_memory =
            if quiet { read_log(&memory, session.hello().map(|h| h.vmcoreinfo).unwrap_or_default()) } else { None };
        let mut log = Vec::new();
        let mut told = match from_memory {
            Some(text) => {
                let told = Told::of(&text);
                log = text;
                told
            }
            None => {
                heard.kept.write_to(&mut log)?;
                heard.told
            }
        };
        let end = end.lock().take();
        let (agent, boot) = (told.agent.take(), std::mem::take(&mut told.boot));
        let (reports, more_reports) = told.reports();
        Ok(Ran {
            ending: ending(ran.outcome, end, agent),
            boot,
            reports,
            more_reports,
            log: keep.then_some(log),
            release: session.hello().map(|h| h.release),
            began: ran.began,
            spoke: heard.first,
            times: session.times(),
            ended,
        })
    }
}

/// A console device for the channel alone: the kernel's console is the serial port.
fn channel(guest: &UnixStream) -> Result<Device> {
    let options = Options::parse(&format!("none,ports={PORT}=session={}", guest.as_raw_fd()), Some("stream"))?;
    Ok(Device { kind: "console", id: "agent".to_string(), options })
}

/// Who asks kiln to end asks the command to, and has the guest ended if it does not. A second signal ends kiln at once.
fn pass_on_signals(session: Arc<Session>, notify: Notify) -> Result<()> {
    let asked = signal::on_end().context("watch for signals")?;
    let wait = move || {
        while let Ok([true]) = fd::wait_readable([fd::of(&asked)]) {
            let _ = asked.read();
            session.signal(SIGTERM);
            thread::sleep(GRACE);
            notify(Request::UserQuit);
        }
    };
    thread::Builder::new().name("signals".into()).stack_size(64 << 10).spawn(wait).context("start a thread")?;
    Ok(())
}

/// The log in the guest's memory. None where it cannot be read, which a guest that ended early is reason enough for.
/// `place` is /sys/kernel/vmcoreinfo as the agent read it: its note need not be looked for.
fn read_log(memory: &Memory, place: Vec<u8>) -> Option<Vec<u8>> {
    let read = || {
        let told = address(&place).and_then(|at| vmcoreinfo::note(memory, at));
        let note = told.map_or_else(|| vmcoreinfo::find(memory), |note| Ok(Some(note)))?;
        let note = note.context("the kernel has written no VMCOREINFO")?;
        let log = printk::read(memory, &note)?;
        if log.lost > 0 {
            log::warn!("the kernel's log has lost its first {} records; with --klog all of it is kept", log.lost);
        }
        anyhow::Ok(log.text)
    };
    read()
        .inspect_err(|e| log::warn!("read the kernel's log from its memory: {e:#}; --klog has it said on its console"))
        .ok()
}

/// `0x10b3000 1000`: where it is, and how long.
fn address(place: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(place).ok()?;
    u64::from_str_radix(text.split_whitespace().next()?.strip_prefix("0x")?, 16).ok()
}

/// The first word counts: what the agent told, else how the machine ended, with the agent's last words if it left any.
fn ending(outcome: Outcome, end: Option<End>, agent: Option<String>) -> Ending {
    match (outcome, end, agent) {
        (Outcome::Dismissed, Some(end), _) => Ending::Agent(end),
        (Outcome::Shutdown | Outcome::Reset, _, Some(why)) => Ending::Agent(End::Failed(why)),
        (Outcome::Shutdown | Outcome::Reset, _, None) => {
            Ending::Agent(End::Lost("the guest shut down before the command had ended".to_string()))
        }
        (outcome, ..) => Ending::Machine(outcome),
    }
}
