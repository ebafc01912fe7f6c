//! The root that the command sees: the host's, with a layer in memory on top, and the shared directories in their places.

use super::super::job::{Job, Share};
use super::Mount;
use super::mounts::{c_path, mount};
use crate::sys::pid1;
use std::ffi::{CString, OsStr};
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// The tag of the host's root.
const TAG: &str = "root";

/// Mounts the root below `base` and makes it the root of this process; /dev, /proc and /sys come along from `base`.
pub fn enter(job: &Job, base: &Path, share: Mount<'_>) -> Result<(), String> {
    let dir = |name: &str| {
        let path = base.join(name);
        make_dir(&path).map_err(|e| format!("make {}: {e}", path.display()))?;
        c_path(&path)
    };
    let root = dir("newroot")?;
    if job.overlay {
        let lower = dir("lower")?;
        share(OsStr::new(TAG), &lower, true)?;
        layer(job, base, &root)?;
    } else {
        // Writable as far as the host lets it be.
        share(OsStr::new(TAG), &root, false)?;
    }
    for name in ["dev", "proc", "sys"] {
        let to = base.join("newroot").join(name);
        make_dir(&to).map_err(|e| format!("make /{name}: {e}"))?;
        pid1::move_mount(&c_path(&base.join(name))?, &c_path(&to)?).map_err(|e| format!("move /{name}: {e}"))?;
    }
    pid1::switch_root(&root).map_err(|e| format!("enter the root: {e}"))
}

/// Mounts an overlay on `root`: the host's files below, memory above.
fn layer(job: &Job, base: &Path, root: &CString) -> Result<(), String> {
    let over = base.join("over");
    make_dir(&over).map_err(|e| format!("make {}: {e}", over.display()))?;
    // Without a size tmpfs takes half of the memory (tmpfs(5)).
    let size = job.tmpfs.map_or_else(String::new, |bytes| format!(",size={bytes}"));
    let options = CString::new(format!("mode=755{size}")).unwrap_or_default();
    mount(c"tmpfs", c"tmpfs", &c_path(&over)?, false, &options)?;
    for name in ["upper", "work"] {
        // The upper directory's mode is that of the root.
        let dir = over.join(name);
        let made = make_dir(&dir).and_then(|()| fs::set_permissions(&dir, Permissions::from_mode(0o755)));
        made.map_err(|e| format!("make {}: {e}", dir.display()))?;
    }
    let (lower, over) = (base.join("lower"), over.display());
    let data = format!("lowerdir={},upperdir={over}/upper,workdir={over}/work", lower.display());
    let data = CString::new(data).map_err(|_| "mount overlay: a path has a zero byte".to_string())?;
    mount(c"overlay", c"overlay", root, false, &data)
}

/// Mounts a shared directory at its path.
pub fn attach(share: &Share, mount: Mount<'_>) -> Result<(), String> {
    let path = share.path.display();
    if !share.path.is_absolute() || share.path.parent().is_none() {
        return Err(format!("share {path}: want an absolute path below /"));
    }
    let made = DirBuilder::new().recursive(true).mode(0o755).create(&share.path);
    made.map_err(|e| format!("share {path}: make its mount point: {e}"))?;
    mount(&share.tag, &c_path(&share.path)?, !share.writable)
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}
