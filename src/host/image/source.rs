//! The file of an image: read in windows where tables are, so that a table of any size costs little memory.

use crate::sys::Lock;
use crate::sys::file as sys;
use anyhow::{Context, Result};
use std::fmt::Display;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;
use std::sync::Arc;

/// Bytes of a window, and how many are kept.
const WINDOW: u64 = 16 << 10;
const WINDOWS: usize = 64;

pub struct Source {
    pub file: fs::File,
    name: String,
    len: u64,
    /// By number, the last used first.
    windows: Lock<Vec<(u64, Arc<Vec<u8>>)>>,
}

impl Source {
    pub fn new(file: fs::File, path: &Path) -> Result<Source> {
        let meta = file.metadata().with_context(|| format!("look at {}", path.display()))?;
        let len = match meta.file_type().is_block_device() {
            true => sys::block_device_size(&file).with_context(|| format!("ask {} for its size", path.display()))?,
            false => meta.len(),
        };
        Ok(Source { file, name: path.display().to_string(), len, windows: Lock::default() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The image is not what it should be.
    pub fn bad(&self, what: impl Display) -> io::Error {
        io::Error::new(ErrorKind::InvalidData, format!("{}: {what}", self.name))
    }

    /// Fills `to`; an error when the file ends before.
    pub fn exactly(&self, at: u64, to: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(to, at).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => self.bad(format_args!("{} bytes at {at:#x}: the file ends before", to.len())),
            _ => e,
        })
    }

    /// Bytes of a header.
    pub fn head<const N: usize>(&self, at: u64, what: &str) -> Result<[u8; N]> {
        let mut head = [0; N];
        self.exactly(at, &mut head).with_context(|| format!("open {}: read its {what}", self.name))?;
        Ok(head)
    }

    /// An entry of a table, at a multiple of its size.
    pub fn entry<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let window = self.window(at / WINDOW)?;
        let from = (at % WINDOW) as usize;
        let bytes = window.get(from..).and_then(|rest| rest.first_chunk::<N>());
        bytes.copied().ok_or_else(|| self.bad(format_args!("table entry at {at:#x}: the file ends before")))
    }

    fn window(&self, number: u64) -> io::Result<Arc<Vec<u8>>> {
        let mut windows = self.windows.lock();
        if let Some(i) = windows.iter().position(|(n, _)| *n == number) {
            // Moved one place only: what is used often comes to the front soon enough.
            windows.swap(i, i.saturating_sub(1));
            return Ok(windows.get(i.saturating_sub(1)).map(|(_, window)| window.clone()).unwrap_or_default());
        }
        drop(windows);
        let mut window = vec![0; WINDOW as usize];
        let n = self.some(number.saturating_mul(WINDOW), &mut window)?;
        window.truncate(n);
        let window = Arc::new(window);
        let mut windows = self.windows.lock();
        windows.truncate(WINDOWS - 1);
        windows.push((number, window.clone()));
        Ok(window)
    }

    /// As much as there is.
    pub fn some(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(from) = at.checked_add(done as u64).filter(|at| i64::try_from(*at).is_ok()) else { break };
            match self.file.read_at(rest, from) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Checks that data may lie at `at`: the file may end within them (what is missing is zero) but not before.
    pub fn inside(&self, at: u64, what: impl Display) -> io::Result<u64> {
        if at < self.len {
            Ok(at)
        } else {
            Err(self.bad(format_args!("{what}: {at:#x} is beyond the end of the file")))
        }
    }
}

/// The fields of a header that was read whole.
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    fn chunk<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    pub fn le16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.chunk(at))
    }

    pub fn le32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.chunk(at))
    }

    pub fn le64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.chunk(at))
    }

    pub fn be16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.chunk(at))
    }

    pub fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.chunk(at))
    }

    pub fn be64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.chunk(at))
    }

    pub fn starts_with(&self, at: usize, what: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.starts_with(what))
    }
}
