//! What the agent in the guest is told to do, and which directories of the host it sees.

use crate::agent::{Job, Share, Streams, Terminal};
use crate::config::{Device, Options};
use crate::sys::{fd, term};
use anyhow::{Context, Result, bail, ensure};
use clap::ArgMatches;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The tag of the host's root directory.
const ROOT: &str = "root";
/// That of the kernel's modules.
const MODULES: &str = "modules";
/// These belong to the user of the guest, whom the agent knows.
const OF_THE_USER: [&str; 4] = ["HOME", "USER", "LOGNAME", "SHELL"];

/// The host's directories that the guest sees, besides the root.
pub struct Shares {
    list: Vec<Share>,
    /// `--rw /`.
    writable_root: bool,
    /// The kernel's modules, if they are not where the guest looks for them.
    modules: Option<PathBuf>,
}

pub fn shares(m: &ArgMatches) -> Result<Shares> {
    let mut shares = Shares { list: Vec::new(), writable_root: false, modules: None };
    // By path, so that one within another is mounted after it.
    let mut paths = BTreeMap::new();
    for (flag, writable) in [("ro", false), ("rw", true)] {
        for given in m.get_many::<PathBuf>(flag).into_iter().flatten() {
            let path = directory(given).with_context(|| format!("--{flag} {}", given.display()))?;
            if path == Path::new("/") {
                ensure!(
                    writable,
                    "--ro /: the root is read-only as it is, with a layer that keeps what the guest writes"
                );
                shares.writable_root = true;
            } else if paths.insert(path, writable).is_some_and(|before| before != writable) {
                bail!("{} is given with --ro and with --rw", given.display());
            }
        }
    }
    let share = |(n, (path, writable))| Share { tag: format!("share{n}").into(), path, writable };
    shares.list = paths.into_iter().enumerate().map(share).collect();
    Ok(shares)
}

fn directory(given: &Path) -> Result<PathBuf> {
    let path = given.canonicalize()?;
    ensure!(path.is_dir(), "not a directory");
    Ok(path)
}

impl Shares {
    /// Shows the modules that lie in `directory` where modprobe looks for them in a guest with kernel `release`.
    pub fn add_modules(&mut self, directory: Option<&Path>, release: Option<&str>) {
        let (Some(from), Some(release)) = (directory, release) else { return };
        let path = Path::new("/lib/modules").join(release);
        let there = path.canonicalize().ok();
        if from.join("modules.dep").exists() && from.canonicalize().ok() != there {
            self.modules = Some(from.to_path_buf());
            self.list.push(Share { tag: MODULES.into(), path, writable: false });
        }
    }

    /// A virtio-fs device for each.
    pub fn devices(&self) -> Result<Vec<Device>> {
        let mut devices = vec![device(ROOT, Path::new("/"), self.writable_root)?];
        for share in &self.list {
            let path = self.modules.as_ref().filter(|_| share.tag == MODULES).unwrap_or(&share.path);
            devices.push(device(&share.tag.to_string_lossy(), path, share.writable)?);
        }
        Ok(devices)
    }
}

fn device(tag: &str, path: &Path, writable: bool) -> Result<Device> {
    let text = path.to_str().with_context(|| format!("{}: the path is not UTF-8", path.display()))?.replace(',', ",,");
    // What lies under the guest's own layer must not change, so the guest may believe what it has seen of it.
    let how = match (writable, tag) {
        (true, _) => "",
        (false, ROOT | MODULES) => ",readonly,cache=always",
        (false, _) => ",readonly",
    };
    let options = Options::parse(&format!("path={text},tag={tag}{how}"), None)?;
    Ok(Device { kind: "fs", id: format!("fs-{tag}"), options })
}

pub fn job(m: &ArgMatches, shares: &Shares, terminal: Option<Terminal>) -> Result<Job> {
    let cwd = match m.get_one::<PathBuf>("cwd") {
        Some(dir) => std::path::absolute(dir).with_context(|| format!("--cwd {}", dir.display()))?,
        None => std::env::current_dir().context("find the current directory; give --cwd")?,
    };
    let given: Vec<OsString> = m.get_many("COMMAND").into_iter().flatten().cloned().collect();
    Ok(Job {
        argv: if given.is_empty() { vec![shell()] } else { given },
        env: environment(m)?,
        cwd,
        user: m.get_one::<String>("user").map(OsString::from),
        terminal,
        shares: shares.list.clone(),
        overlay: !shares.writable_root,
        tmpfs: None,
        hostname: hostname(),
    })
}

fn shell() -> OsString {
    std::env::var_os("SHELL").filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/sh".into())
}

/// kiln's own environment, and what `--env` says.
fn environment(m: &ArgMatches) -> Result<Vec<(OsString, OsString)>> {
    let mut env: BTreeMap<OsString, OsString> =
        std::env::vars_os().filter(|(name, _)| !OF_THE_USER.iter().any(|own| name == own)).collect();
    for given in m.get_many::<OsString>("env").into_iter().flatten() {
        let bytes = given.as_bytes();
        let at = bytes.iter().position(|b| *b == b'=').filter(|at| *at > 0);
        let at = at.with_context(|| format!("--env {}: want NAME=VALUE", given.display()))?;
        let part = |bytes: &[u8]| OsStr::from_bytes(bytes).to_os_string();
        env.insert(part(bytes.get(..at).unwrap_or_default()), part(bytes.get(at + 1..).unwrap_or_default()));
    }
    Ok(env.into_iter().collect())
}

fn hostname() -> OsString {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    OsString::from(name.trim())
}

/// The terminal that the command is to have one of its own for: only if both ways are one.
pub fn terminal() -> Option<Terminal> {
    let both = io::stdin().is_terminal() && io::stdout().is_terminal();
    let (columns, rows) = term::size(io::stdout().as_fd()).unwrap_or((80, 24));
    both.then(|| Terminal { columns, rows, term: std::env::var_os("TERM").unwrap_or_else(|| "linux".into()) })
}

/// Standard input, output and error, as they are.
pub fn streams() -> Result<Streams> {
    let copy = |fd: io::Result<_>, name: &str| fd.with_context(|| format!("standard {name} is closed"));
    Ok(Streams {
        stdin: fd::duplicate(io::stdin()).ok(),
        stdout: copy(fd::duplicate(io::stdout()), "output")?,
        stderr: copy(fd::duplicate(io::stderr()), "error")?,
    })
}
