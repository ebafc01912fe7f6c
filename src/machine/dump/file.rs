//! The file of a dump: under a temporary name until it is whole, with holes where memory is zero.

use super::elf::Core;
use crate::mem::Memory;
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::IsTerminal;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PAGE: usize = 4096;
/// Memory copied at a time, in bytes.
const CHUNK: u64 = 1 << 20;
/// A dump that takes longer shows how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// Finds out before the guest runs what would be a pity to find out after: whether `path` can be a dump's.
pub fn check(path: &Path) -> Result<()> {
    match path.metadata() {
        Ok(about) => ensure!(about.is_file(), "{} exists and is no ordinary file", path.display()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| path.display().to_string()),
    }
    let folder = folder(path);
    ensure!(path.file_name().is_some(), "`{}` names no file", path.display());
    let about = folder.metadata().with_context(|| format!("folder {}", folder.display()))?;
    ensure!(about.is_dir(), "{} is no folder", folder.display());
    Ok(())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes the dump, readable by its owner only; on an error, or when `quit` says so, there is none.
/// Returns the bytes of memory that are in it, without those that are zero.
pub fn write(path: &Path, core: &Core, memory: &Memory, quit: &dyn Fn() -> bool) -> Result<u64> {
    let name = path.file_name().context("no file name")?.to_string_lossy();
    let temporary = Temporary(Some(folder(path).join(format!(".{name}.{}", std::process::id()))));
    let place = temporary.0.as_deref().unwrap_or(path);
    let file = File::options().write(true).create_new(true).mode(0o600).open(place);
    let file = file.with_context(|| format!("create {}", place.display()))?;
    file.write_all_at(&core.head, 0).context("write")?;
    let mut copy = Copy { file: &file, memory, progress: Progress::new(populated(core, memory)?), quit, written: 0 };
    for (range, offset) in &core.segments {
        copy.segment(range, *offset)?;
    }
    copy.progress.end();
    let written = copy.written;
    file.set_len(core.size).context("write")?;
    // File systems across a network, and quotas, may tell only now that there was no room.
    file.sync_data().context("write")?;
    temporary.becomes(path)?;
    Ok(written)
}

/// A file that is removed unless it got its name.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn becomes(mut self, path: &Path) -> Result<()> {
        if let Some(place) = &self.0 {
            std::fs::rename(place, path).with_context(|| format!("name it {}", path.display()))?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            let _ = std::fs::remove_file(place);
        }
    }
}

/// Bytes that will be looked at.
fn populated(core: &Core, memory: &Memory) -> Result<u64> {
    let mut sum = 0u64;
    for (range, _) in &core.segments {
        let mut from = range.start;
        while let Some(data) = next(memory, from, range)? {
            sum = sum.saturating_add(data.end - data.start);
            from = data.end;
        }
    }
    Ok(sum)
}

/// The next populated stretch of `within`, from `from` on.
fn next(memory: &Memory, from: u64, within: &Range<u64>) -> Result<Option<Range<u64>>> {
    let found = memory.populated(from).context("look through guest memory")?;
    Ok(found.map(|d| d.start..d.end.min(within.end)).filter(|d| d.start < d.end))
}

struct Copy<'a> {
    file: &'a File,
    memory: &'a Memory,
    progress: Progress,
    quit: &'a dyn Fn() -> bool,
    written: u64,
}

impl Copy<'_> {
    /// Copies guest memory `range` to `offset` in the file.
    fn segment(&mut self, range: &Range<u64>, offset: u64) -> Result<()> {
        let mut buffer = Vec::new();
        let mut from = range.start;
        while let Some(data) = next(self.memory, from, range)? {
            if (self.quit)() {
                bail!("interrupted");
            }
            let len = (data.end - data.start).min(CHUNK);
            buffer.resize(usize::try_from(len)?, 0);
            self.memory.slice(data.start, buffer.len())?.copy_to(&mut buffer);
            self.pages(&buffer, offset + (data.start - range.start))?;
            self.progress.add(len);
            from = data.start + len;
        }
        Ok(())
    }

    /// Writes what is not zero, in runs of pages.
    fn pages(&mut self, data: &[u8], offset: u64) -> Result<()> {
        const ZERO: [u8; PAGE] = [0; PAGE];
        let mut run = None;
        // One step beyond the last page ends the last run.
        for at in (0..data.len().saturating_add(PAGE)).step_by(PAGE) {
            let page = data.get(at..data.len().min(at + PAGE)).unwrap_or_default();
            let zero = ZERO.starts_with(page);
            match run {
                None if !zero => run = Some(at),
                Some(start) if zero => {
                    let bytes = data.get(start..at.min(data.len())).unwrap_or_default();
                    self.file.write_all_at(bytes, offset + start as u64).context("write")?;
                    self.written += bytes.len() as u64;
                    run = None;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A bar on the terminal, from the moment on that it is worth one.
struct Progress {
    since: Instant,
    total: u64,
    done: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(total: u64) -> Progress {
        Progress { since: Instant::now(), total, done: 0, bar: None }
    }

    fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
        if self.bar.is_none() && self.since.elapsed() > PATIENCE && std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("kiln: dump {wide_bar} {bytes}/{total_bytes} {eta}");
            let bar = ProgressBar::with_draw_target(Some(self.total), ProgressDrawTarget::stderr());
            self.bar = Some(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
