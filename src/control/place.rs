//! Where the sockets are: one for each machine, in a directory that is its user's alone.

use crate::sys::fd::{connect_now, listen_privately};
use crate::sys::{dir, flock};
use anyhow::{Context, Result, bail, ensure};
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What a machine is called: at most 64 letters, digits, `-`, `_` and `.`, the first a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        let letters = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        match letters && text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            true => Ok(Name(text.to_string())),
            false => Err("a name has at most 64 letters, digits, `-`, `_`, `.`, and begins with a letter".to_string()),
        }
    }
}

/// What is added to a name.
const SUFFIX: &str = ".sock";
/// Entries of a directory that are looked at.
const MOST: usize = 4096;

/// A socket that has been seen, and what its machine is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub name: String,
    pub path: PathBuf,
}

/// The directories that sockets are in, the best first. A machine may have been started where another one was the best:
/// by cron, say, which sets no XDG_RUNTIME_DIR.
pub struct Places(Vec<PathBuf>);

impl Places {
    pub fn ours() -> Places {
        let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let session = session.filter(|dir| dir.is_absolute() && is_ours(dir)).map(|dir| dir.join("kiln"));
        let shared = Path::new("/tmp").join(format!("kiln-{}", dir::effective_user()));
        Places(session.into_iter().chain([shared]).collect())
    }

    /// Listens under this name; without one under our process number.
    pub fn bind(&self, name: Option<&str>) -> Result<(UnixListener, Held)> {
        if let Some(Ok(Some((_, place)))) = name.map(|name| self.named(name)) {
            bail!("a machine of this name is running ({}); choose another", place.path.display());
        }
        let name = name.map_or_else(|| std::process::id().to_string(), str::to_string);
        let dir = self.0.first().context("there is no place for a control socket")?;
        let locked = made(dir)?;
        // While it is locked nobody else takes a socket for stale.
        flock::lock_whole(locked.as_fd(), libc::LOCK_EX, true).with_context(|| format!("lock {}", dir.display()))?;
        let path = dir.join(format!("{name}{SUFFIX}"));
        remove_if_stale(&path).with_context(|| format!("remove {}", path.display()))?;
        let listener = listen_privately(&path).with_context(|| format!("listen on {}", path.display()))?;
        Ok((listener, Held(Place { name, path })))
    }

    /// Where machines seem to be, by name. Errors on a directory that others may have put something into.
    pub fn all(&self) -> Result<Vec<Place>> {
        let mut found = Vec::new();
        for dir in self.0.iter().filter(|dir| !is_missing(dir)) {
            checked(dir)?;
            let entries = dir.read_dir().with_context(|| format!("read {}", dir.display()))?;
            let sockets = entries.take(MOST).flatten().filter(|e| e.file_type().is_ok_and(|kind| kind.is_socket()));
            let names = sockets.filter_map(|e| e.file_name().into_string().ok());
            let names = names.filter_map(|file| file.strip_suffix(SUFFIX).map(str::to_string));
            found.extend(names.map(|name| Place { path: dir.join(format!("{name}{SUFFIX}")), name }));
        }
        found.sort();
        Ok(found)
    }

    /// The names of machines that run; none where they cannot be looked for. Asks nothing of the machines.
    pub fn names(&self) -> Vec<String> {
        let places = self.all().unwrap_or_default();
        places.into_iter().filter(|place| connect(place).is_ok()).map(|place| place.name).collect()
    }

    /// The machine of this name, if there is one.
    fn named(&self, name: &str) -> Result<Option<(UnixStream, Place)>> {
        if name.parse::<Name>().is_err() {
            // It would lead elsewhere.
            return Ok(None);
        }
        for dir in self.0.iter().filter(|dir| !is_missing(dir)) {
            checked(dir)?;
            let place = Place { name: name.to_string(), path: dir.join(format!("{name}{SUFFIX}")) };
            match connect(&place) {
                Err(e) if e.downcast_ref::<io::Error>().is_some() => {}
                other => return other.map(|socket| Some((socket, place))),
            }
        }
        Ok(None)
    }

    /// Connects to the machine of this name, or of the process of this number.
    pub fn find(&self, name: &str) -> Result<(UnixStream, Place)> {
        let Ok(pid) = name.parse::<u32>() else {
            let found = self.named(name)?;
            return found.with_context(|| format!("no machine called `{name}` is running{}", self.others()));
        };
        for place in self.all()? {
            let Ok(socket) = connect(&place) else { continue };
            let peer = crate::sys::socket::peer(socket.as_fd());
            if place.name == name || peer.is_ok_and(|peer| peer.pid == pid) {
                return Ok((socket, place));
            }
        }
        bail!("process {pid} runs no machine{}", self.others())
    }

    /// What there is instead.
    fn others(&self) -> String {
        let names = self.names();
        if names.is_empty() { "; none is".to_string() } else { format!("; there are: {}", names.join(", ")) }
    }
}

fn is_missing(dir: &Path) -> bool {
    dir.symlink_metadata().is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

fn is_ours(dir: &Path) -> bool {
    dir.metadata().is_ok_and(|about| about.is_dir() && about.uid() == dir::effective_user())
}

/// Opens the directory, if nobody else can have put anything into it.
fn checked(dir: &Path) -> Result<File> {
    let about = dir.symlink_metadata().with_context(|| format!("look at {}", dir.display()))?;
    let whole = || format!("{}: remove it, or set XDG_RUNTIME_DIR to a directory of your own", dir.display());
    ensure!(about.is_dir(), "it is no directory: {}", whole());
    ensure!(about.uid() == dir::effective_user(), "it belongs to user {}: {}", about.uid(), whole());
    ensure!(about.mode() & 0o077 == 0, "others may use it (mode {:o}): {}", about.mode() & 0o777, whole());
    File::open(dir).with_context(|| format!("open {}", dir.display()))
}

fn made(dir: &Path) -> Result<File> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e).with_context(|| format!("make {}", dir.display())),
        _ => checked(dir),
    }
}

/// The file of a socket that is listened on; it goes when this does.
pub struct Held(pub Place);

impl Drop for Held {
    fn drop(&mut self) {
        // What cannot be removed is found stale later.
        let _ = std::fs::remove_file(&self.0.path);
    }
}

fn is_refused(socket: &io::Result<UnixStream>) -> bool {
    socket.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
}

/// A socket that nobody listens on was left behind by a process that was killed. The directory is to be locked.
fn remove_if_stale(path: &Path) -> io::Result<()> {
    let is_socket = path.symlink_metadata().is_ok_and(|about| about.file_type().is_socket());
    if is_socket && is_refused(&connect_now(path)) { std::fs::remove_file(path) } else { Ok(()) }
}

/// The same, for whoever has not locked it. What does not succeed now does so another time.
fn prune(dir: &Path, path: &Path) {
    let Ok(held) = checked(dir) else { return };
    if flock::lock_whole(held.as_fd(), libc::LOCK_EX, false).is_ok() {
        let _ = remove_if_stale(path);
    }
}

/// Connects to the machine there. A socket that is stale is removed.
pub fn connect(place: &Place) -> Result<UnixStream> {
    let socket = connect_now(&place.path);
    if is_refused(&socket) {
        place.path.parent().into_iter().for_each(|dir| prune(dir, &place.path));
    }
    match socket {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => bail!("`{}` does not answer: it is stopped", place.name),
        other => other.with_context(|| format!("connect to {}", place.path.display())),
    }
}

#[cfg(test)]
mod tests;
