//! The file that keeps the variables of UEFI. A change is one write of at most a page that does not cross one, so a
//! kiln that is killed leaves the old bytes or the new ones.

use crate::sys::flock::{Range, lock_range};
use crate::sys::inode::link;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

pub struct Nvram(File);

impl Nvram {
    /// Opens the file, which is locked as long as it is open; one that is not there begins as a copy of `template`.
    /// Gives its content as well, of the template's length.
    pub fn open(path: &Path, template: &[u8]) -> Result<(Nvram, Vec<u8>)> {
        let mut file = match existing(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create(path, template)?;
                existing(path)
            }
            other => other,
        }
        .context("open")?;
        ensure!(file.metadata().context("look at it")?.is_file(), "is no regular file");
        let whole = Range { kind: libc::F_WRLCK, start: 0, len: 0 };
        match lock_range(file.as_fd(), whole, false) {
            Ok(()) => {}
            Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                bail!("is in use by another virtual machine; each needs a file of its own")
            }
            Err(e) => log::warn!("{} cannot be locked ({e})", path.display()),
        }
        let mut content = Vec::new();
        (&mut file).take(template.len() as u64 + 1).read_to_end(&mut content).context("read")?;
        ensure!(
            content.len() == template.len(),
            "{} bytes are expected of the variables of this firmware; it is another's, or damaged",
            template.len()
        );
        Ok((Nvram(file), content))
    }

    pub fn store(&self, at: u64, data: &[u8]) -> Result<()> {
        self.0.write_all_at(data, at).context("write the NVRAM file")
    }
}

fn existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The file gets its name when it is complete. That another was faster is no error.
fn create(path: &Path, template: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|name| CString::new(name.as_bytes()).ok()).context("it needs a name")?;
    let mut unnamed = OpenOptions::new();
    unnamed.read(true).write(true).custom_flags(libc::O_TMPFILE);
    match unnamed.open(folder) {
        Ok(file) => {
            file.write_all_at(template, 0).context("write it")?;
            let folder = File::open(folder).context("open its directory")?;
            match link(file.as_fd(), folder.as_fd(), &name) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e).context("create it"),
                _ => Ok(()),
            }
        }
        // Not every file system has files without a name.
        Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT)) => {
            let file = OpenOptions::new().write(true).create_new(true).open(path).context("create it")?;
            file.write_all_at(template, 0).context("write it")
        }
        Err(e) => Err(e).context("create it"),
    }
}

#[cfg(test)]
mod tests;
