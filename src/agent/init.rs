//! kiln as process 1 of a guest, started by the kernel as /init of kiln's initramfs: makes the machine ready, runs one
//! session, and turns the machine off. What goes wrong is told through the channel, or if there is none yet in the
//! kernel's log.

mod flush;
mod modules;
mod mounts;
mod port;
mod root;

use super::channel::{Channel, Trouble};
use super::guest;
use super::job::{Job, Share};
use crate::sys::readiness;
use crate::sys::{pid1, process};
use flush::Flush;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the host may take to end the machine once it knows the result.
const FAREWELL: Duration = Duration::from_secs(10);

/// Whether the kernel started us as /init. In a container kiln may be process 1 too, and is just kiln.
pub fn is_wanted() -> bool {
    std::process::id() == 1 && std::env::args_os().next().is_some_and(|name| name == "/init")
}

/// Process 1, from beginning to end.
pub fn run() -> ! {
    std::panic::set_hook(Box::new(|info| complain(&format!("agent: {info}"))));
    if let Err(why) = serve() {
        complain(&why);
    }
    pid1::power_off();
    // Without power management: process 1 must not return.
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn serve() -> Result<(), String> {
    mounts::early(Path::new("/"))?;
    pid1::not_dumpable();
    pid1::be_important();
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
    // Most failures here mean that there is no port either; whatever it is, both are worth a line.
    let modules = modules::load_all(Path::new("/modules"));
    let port = match (port::open(), &modules) {
        (Err(why), Err(module)) => return Err(format!("{module}; {why}")),
        (port, _) => port?,
    };
    let mut channel = Channel::new(port.into()).map_err(|e| format!("set up the channel to the host: {e}"))?;
    guest::hello(&mut channel);
    let result = match modules {
        Ok(()) => session(&mut channel, Path::new("/"), &mounts::share),
        Err(why) => Err(Trouble::Failed(why)),
    };
    if let Err(trouble) = &result {
        guest::tell(&mut channel, trouble);
    }
    farewell(&mut channel);
    match result {
        Err(Trouble::Gone(why)) => Err(why),
        _ => Ok(()),
    }
}

/// Mounts what the host shares as a tag, read-only or not, at a path.
type Mount<'a> = &'a dyn Fn(&OsStr, &CStr, bool) -> Result<(), String>;

/// From the hello on. `base`: where the directories that process 1 needs are made; `mount`: see [`mounts::share`].
fn session(channel: &mut Channel, base: &Path, mount: Mount<'_>) -> Result<(), Trouble> {
    let (job, key) = channel.job()?;
    let writable = prepare(&job, base, mount).map_err(Trouble::Failed)?;
    let failed = |what: &str, e: std::io::Error| Trouble::Failed(format!("{what}: {e}"));
    let children = process::watch_all().map_err(|e| failed("watch processes", e))?;
    // Now, as there may be no memory for a thread later.
    let flush = Flush::start(writable).map_err(|e| failed("start a thread", e))?;
    guest::run(channel, &job, &key, Some(children), || flush.finish())
}

/// The machine as the job wants it. The shares that may be written to, with their paths.
fn prepare(job: &Job, base: &Path, mount: Mount<'_>) -> Result<Vec<(String, File)>, String> {
    root::enter(job, base, mount)?;
    mounts::usual(keeps_tmp(job));
    let mut shares: Vec<&Share> = job.shares.iter().collect();
    // One may be below another.
    shares.sort_by_key(|s| s.path.components().count());
    let mut writable = Vec::new();
    for share in shares {
        let path = share.path.display();
        root::attach(share, mount)?;
        if share.writable {
            let dir = File::open(&share.path).map_err(|e| format!("open shared directory {path}: {e}"))?;
            writable.push((path.to_string(), dir));
        }
    }
    if !job.hostname.is_empty() {
        pid1::set_hostname(&job.hostname).map_err(|e| format!("set host name {}: {e}", job.hostname.display()))?;
    }
    // A kernel may well have no network.
    let _ = pid1::loopback_up();
    Ok(writable)
}

/// A command that starts in /tmp, or stands there, is to find what is there.
fn keeps_tmp(job: &Job) -> bool {
    let command = job.argv.first().is_some_and(|name| Path::new(name).starts_with("/tmp"));
    command || job.cwd.starts_with("/tmp")
}

/// The host ends the machine, or closes the channel, when it knows enough.
fn farewell(channel: &mut Channel) {
    let until = Instant::now() + FAREWELL;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let waited = readiness::wait(&mut [channel.watch()], Some(left));
        let heard = channel.flush().and_then(|()| channel.hear());
        // What the host still says does not matter.
        while let Ok(Some(())) = channel.next(|_| ()) {}
        if left.is_zero() || waited.is_err() || heard.is_err() {
            return pid1::sync();
        }
    }
}

/// One line to the kernel's log, at a level that every console shows (2, critical).
fn complain(what: &str) {
    let line: String = what.chars().map(|c| if c.is_control() { ' ' } else { c }).take(900).collect();
    let kmsg = || File::options().write(true).open("/dev/kmsg");
    let own = || {
        // Without devtmpfs: mem(4), the kernel's log is 1:11.
        let _ = pid1::make_device(c"/kmsg", 1, 11);
        File::options().write(true).open("/kmsg")
    };
    let line = format!("<2>kiln: {line}\n");
    let written = kmsg().or_else(|_| own()).and_then(|mut log| log.write_all(line.as_bytes()));
    if written.is_err() {
        let _ = std::io::stderr().write_all(line.trim_start_matches("<2>").as_bytes());
    }
}

#[cfg(test)]
mod tests;
