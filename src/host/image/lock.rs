//! Keeps two programs from using one image in ways that spoil it, by the same byte locks as QEMU
//! (block/file-posix.c): each refuses what the other has open.
//!
//! ```text
//! byte 100 + p   shared lock: this opening has permission p
//! byte 200 + p   shared lock: this opening does not let others have permission p
//! ```
//! Locks never conflict by themselves (all are shared): one takes one's own, then looks whether others' contradict.

use crate::sys::file::{lock_shared, locked_by_another};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const HELD: i64 = 100;
const DENIED: i64 = 200;

/// QEMU's BLK_PERM_* as bit numbers.
const READ: i64 = 0;
const WRITE: i64 = 1;
const RESIZE: i64 = 3;

/// How often to look again for locks that nobody seems to have, and after which time.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// A reader lets nobody write; a writer nobody else. Lasts until `file` is closed.
pub fn lock(file: &File, path: &Path, writable: bool) -> Result<()> {
    let mut tries = TRIES;
    loop {
        match exclude(file, writable) {
            // A ring of io_uring lets go of its file some time after its process has ended.
            Ok(false) if tries > 0 && holder(file).is_none() => {
                tries -= 1;
                std::thread::sleep(PAUSE);
            }
            result => return said(result, file, path, writable),
        }
    }
}

fn said(result: io::Result<bool>, file: &File, path: &Path, writable: bool) -> Result<()> {
    match result {
        Ok(true) => Ok(()),
        Ok(false) => refuse(file, path, writable),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => refuse(file, path, writable),
        // Some network file systems have no locks: QEMU goes on as well.
        Err(e) => {
            log::warn!("{} cannot be locked ({e}): nothing keeps other programs from changing it", path.display());
            Ok(())
        }
    }
}

/// Says whether nobody stands in the way.
fn exclude(file: &File, writable: bool) -> io::Result<bool> {
    let one = |byte: i64| byte..byte + 1;
    let held = READ..if writable { WRITE + 1 } else { READ + 1 };
    lock_shared(file, HELD + held.start..HELD + held.end)?;
    for denied in [WRITE, RESIZE] {
        lock_shared(file, one(DENIED + denied))?;
    }
    let mut free = !locked_by_another(file, DENIED + held.start..DENIED + held.end)?;
    for denied in [WRITE, RESIZE] {
        free &= !locked_by_another(file, one(HELD + denied))?;
    }
    Ok(free)
}

fn refuse(file: &File, path: &Path, writable: bool) -> Result<()> {
    let who = match holder(file) {
        Some((pid, _)) if pid == std::process::id() => "is already open in this kiln".to_string(),
        Some((pid, name)) => format!("is in use by another process (PID {pid}, {name})"),
        None => "is in use by another process".to_string(),
    };
    let advice =
        if writable { "; `readonly` lets several share an image that nobody writes" } else { " that writes it" };
    bail!("lock {}: it {who}{advice}", path.display())
}

/// The process that has locks on the same file. Open file description locks do not carry a PID,
/// so this looks through /proc, and sees only what the user may see: to tell people, and no more.
pub fn holder(file: &File) -> Option<(u32, String)> {
    let ours = file.metadata().ok()?;
    let me = std::process::id();
    let mut pids: Vec<u32> =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    // Ourselves last: we have it open in any case.
    pids.sort_by_key(|pid| (*pid == me, *pid));
    let locks = |pid: u32| locks_of(pid, &ours).unwrap_or(0);
    let pid = pids.into_iter().find(|&pid| locks(pid) > usize::from(pid == me))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim().to_string()))
}

/// How many openings of `file` with locks a process has.
fn locks_of(pid: u32, file: &fs::Metadata) -> Result<usize> {
    let mut n = 0;
    for fd in fs::read_dir(format!("/proc/{pid}/fd")).context("look at open files")?.flatten() {
        let same = fs::metadata(fd.path()).is_ok_and(|m| (m.dev(), m.ino()) == (file.dev(), file.ino()));
        let info = format!("/proc/{pid}/fdinfo/{}", fd.file_name().to_string_lossy());
        n += usize::from(same && fs::read_to_string(info).is_ok_and(|text| text.contains("OFDLCK")));
    }
    Ok(n)
}
