//! The file systems of a running Linux: those without which nothing works, and those that programs are used to.

use super::super::guest::small_file;
use crate::sys::pid1;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Mounts /dev, /proc and /sys below `base`.
pub fn early(base: &Path) -> Result<(), String> {
    for (kind, dir) in [(c"devtmpfs", "dev"), (c"proc", "proc"), (c"sysfs", "sys")] {
        let at = base.join(dir);
        let _ = fs::create_dir(&at);
        match pid1::mount(kind, &c_path(&at)?, kind, false, c"") {
            // It is mounted there already.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {}
            result => result.map_err(|e| told(kind, kind, &c_path(&at).unwrap_or_default(), &e))?,
        }
    }
    Ok(())
}

/// Mounts what the host shares as `tag`.
pub fn share(tag: &OsStr, at: &CStr, read_only: bool) -> Result<(), String> {
    /// The device may be found a moment later.
    const PATIENCE: Duration = Duration::from_secs(3);
    let tag = CString::new(tag.as_bytes()).map_err(|_| "mount a share: its tag has a zero byte".to_string())?;
    let until = Instant::now() + PATIENCE;
    loop {
        match pid1::mount(&tag, at, c"virtiofs", read_only, c"") {
            // No device has this tag.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) && Instant::now() < until => {
                sleep(Duration::from_millis(5));
            }
            result => return result.map_err(|e| told(c"virtiofs", &tag, at, &e)),
        }
    }
}

/// Mounts a file system of type `kind`; the error names the option of the kernel that is probably missing.
pub fn mount(kind: &CStr, source: &CStr, at: &CStr, read_only: bool, data: &CStr) -> Result<(), String> {
    pid1::mount(source, at, kind, read_only, data).map_err(|e| told(kind, source, at, &e))
}

fn told(kind: &CStr, source: &CStr, at: &CStr, e: &io::Error) -> String {
    let [kind, source, at] = [kind, source, at].map(CStr::to_string_lossy);
    let what = if source == kind { format!("mount {kind} on {at}") } else { format!("mount {kind} {source} on {at}") };
    match (e.raw_os_error(), option_of(&kind)) {
        (Some(libc::ENODEV), Some(option)) => format!("{what}: this kernel has no {kind} ({option})"),
        (Some(libc::EINVAL), _) if kind == "virtiofs" => format!("{what}: no virtio-fs device has this tag"),
        _ => format!("{what}: {e}"),
    }
}

/// What is to be set in the kernel's configuration.
fn option_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "devtmpfs" => "CONFIG_DEVTMPFS",
        "devpts" => "CONFIG_UNIX98_PTYS",
        "overlay" => "CONFIG_OVERLAY_FS",
        "proc" => "CONFIG_PROC_FS",
        "sysfs" => "CONFIG_SYSFS",
        "tmpfs" => "CONFIG_TMPFS",
        "virtiofs" => "CONFIG_VIRTIO_FS, which needs CONFIG_FUSE_FS",
        _ => return None,
    })
}

/// In the new root: what a program expects to be there. A kernel may have none of it.
pub fn usual(keep_tmp: bool) {
    if !keep_tmp {
        fresh("/tmp", c"mode=1777");
    }
    fresh("/run", c"mode=755");
    let _ = fs::create_dir("/run/lock").and_then(|()| fs::set_permissions("/run/lock", Permissions::from_mode(0o1777)));
    // As udev makes them; bash wants /dev/fd.
    for (name, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        let _ = symlink(format!("/proc/self/fd{target}"), Path::new("/dev").join(name));
    }
    made(c"devpts", "/dev/pts", c"gid=5,mode=620,ptmxmode=666");
    made(c"tmpfs", "/dev/shm", c"mode=1777");
    made(c"mqueue", "/dev/mqueue", c"");
    made(c"hugetlbfs", "/dev/hugepages", c"");
    // These have their directories in /sys if the kernel has them.
    let rest = [
        (c"cgroup2", "/sys/fs/cgroup"),
        (c"bpf", "/sys/fs/bpf"),
        (c"debugfs", "/sys/kernel/debug"),
        (c"tracefs", "/sys/kernel/tracing"),
        (c"securityfs", "/sys/kernel/security"),
        (c"configfs", "/sys/kernel/config"),
    ];
    let known = file_systems();
    for (kind, dir) in rest.iter().filter(|(kind, _)| known.iter().any(|k| k.as_bytes() == kind.to_bytes())) {
        let _ = c_path(Path::new(dir)).and_then(|at| mount(kind, kind, &at, false, c""));
    }
}

/// The types this kernel has now: those not in use may be modules.
fn file_systems() -> Vec<String> {
    let all = small_file(Path::new("/proc/filesystems"));
    let names = String::from_utf8_lossy(&all);
    names.lines().filter_map(|line| line.split_whitespace().last().map(str::to_string)).collect()
}

/// An empty directory in memory.
fn fresh(dir: &str, data: &CStr) {
    let _ = fs::create_dir(dir);
    let _ = c_path(Path::new(dir)).and_then(|at| mount(c"tmpfs", c"tmpfs", &at, false, data));
}

fn made(kind: &CStr, dir: &str, data: &CStr) {
    let _ = fs::create_dir(dir);
    let _ = c_path(Path::new(dir)).and_then(|at| mount(kind, kind, &at, false, data));
}

pub fn c_path(path: &Path) -> Result<CString, String> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| format!("`{}` has a zero byte", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_system_is_named_by_its_option() {
        let without = |kind, source| told(kind, source, c"/mnt", &io::Error::from_raw_os_error(libc::ENODEV));
        assert_eq!(
            without(c"virtiofs", c"root"),
            "mount virtiofs root on /mnt: this kernel has no virtiofs (CONFIG_VIRTIO_FS, which needs CONFIG_FUSE_FS)"
        );
        assert_eq!(
            without(c"overlay", c"overlay"),
            "mount overlay on /mnt: this kernel has no overlay (CONFIG_OVERLAY_FS)"
        );
        let no_tag = told(c"virtiofs", c"share7", c"/mnt", &io::Error::from_raw_os_error(libc::EINVAL));
        assert!(no_tag.contains("share7") && no_tag.contains("no virtio-fs device"));
    }
}
