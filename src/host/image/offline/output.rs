//! A new file that has its name only when it is finished: cut off before that, by whatever, nothing is left of it.

use crate::sys::file as sys;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

pub struct Output {
    file: fs::File,
    path: PathBuf,
    /// The name it has meanwhile, on file systems that want one.
    partial: Option<PathBuf>,
}

impl Output {
    pub fn new(path: &Path) -> Result<Output> {
        let name = path.display();
        ensure!(path.symlink_metadata().is_err(), "create {name}: it exists; kiln writes over no image");
        let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let path = path.to_path_buf();
        if let Ok(file) = sys::unnamed(directory) {
            return Ok(Output { file, path, partial: None });
        }
        let mut partial = path.clone().into_os_string();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        let file = fs::File::options().read(true).write(true).create_new(true).open(&partial);
        let file = file.with_context(|| format!("create {}", path.display()))?;
        Ok(Output { file, path, partial: Some(partial) })
    }

    pub fn file(&self) -> &fs::File {
        &self.file
    }

    /// All of it is on the disk, and then it has its name.
    pub fn finish(mut self) -> Result<()> {
        let name = self.path.display();
        self.file.sync_all().with_context(|| format!("flush {name}"))?;
        match self.partial.take() {
            None => sys::link(&self.file, &self.path).with_context(|| format!("create {name}"))?,
            Some(partial) => {
                let linked = fs::hard_link(&partial, &self.path);
                let _ = fs::remove_file(&partial);
                linked.with_context(|| format!("create {name}"))?;
            }
        }
        let directory = self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
        synced.with_context(|| format!("flush {}", directory.display()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            let _ = fs::remove_file(partial);
        }
    }
}
