//! One session of the guest's side, once the machine is ready for it: the same whether we are process 1 or a test.

use super::channel::{Channel, Trouble};
use super::command::{self, NotStarted};
use super::job::Job;
use super::protocol::{Key, ToHost, VERSION};
use super::relay::{self, Children};
use crate::sys::{pid1, process};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// The most bytes taken of a file that the kernel makes.
const SMALL: u64 = 4096;
/// How long the host may take for the last frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in a file that the kernel makes; nothing if it is not there.
pub fn small_file(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = File::open(path).and_then(|f| f.take(SMALL).read_to_end(&mut bytes));
    bytes
}

/// The agent's first frame.
pub fn hello(channel: &mut Channel) {
    let release = small_file(Path::new("/proc/sys/kernel/osrelease"));
    let vmcoreinfo = small_file(Path::new("/sys/kernel/vmcoreinfo"));
    let (version, uptime_ns) = (VERSION, pid1::uptime_ns());
    channel.say(&ToHost::Hello { version, uptime_ns, release: release.trim_ascii(), vmcoreinfo: &vmcoreinfo });
}

/// Runs the command of `job`, from its start to its end, and tells the host of it. `all_children`: see
/// [`process::watch_all`], for process 1.
pub fn run(
    channel: &mut Channel,
    job: &Job,
    key: &Key,
    all_children: Option<File>,
    sync: impl FnOnce() -> Result<(), String>,
) -> Result<(), Trouble> {
    let command = match command::start(job, all_children.is_some()) {
        Ok(command) => command,
        Err(why) => {
            match &why {
                NotStarted::NotFound(why) => channel.say(&ToHost::NotFound(why.as_bytes())),
                NotStarted::NotRunnable(why) => channel.say(&ToHost::NotRunnable(why.as_bytes())),
                NotStarted::Failed(why) => return Err(Trouble::Failed(why.clone())),
            }
            return channel.settle(PATIENCE).map(drop);
        }
    };
    let children = match all_children {
        Some(signals) => Children::All(signals),
        None => {
            Children::One(process::watch(command.pid).map_err(|e| Trouble::Failed(format!("watch the command: {e}")))?)
        }
    };
    relay::run(channel, command, children, job.terminal.is_some(), key, sync)
}

/// The agent's last frame when something went wrong.
pub fn tell(channel: &mut Channel, trouble: &Trouble) {
    if let Trouble::Failed(why) = trouble {
        channel.say(&ToHost::Failed(why.as_bytes()));
        let _ = channel.settle(PATIENCE);
    }
}
