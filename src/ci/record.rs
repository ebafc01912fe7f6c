//! The log of one boot: every line with the time since the boot's start and the stream it came from, up to a size.

use super::text::{SHOWN, clean, short};
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of a log file.
const LARGEST: u64 = 64 << 20;
/// Lines of the guest that are kept for reports.
const TAIL: usize = 40;
/// Bytes of a line; a longer one is written in pieces.
pub const LONGEST: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The kernel log.
    Log,
    Out,
    Err,
    /// What kiln ci itself has to say.
    Ci,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Log => "log",
            Stream::Out => "out",
            Stream::Err => "err",
            Stream::Ci => "ci",
        }
    }
}

pub struct Record {
    path: PathBuf,
    file: BufWriter<File>,
    /// Bytes that may still be written.
    left: u64,
    tail: VecDeque<String>,
}

impl Record {
    pub fn create(path: &Path) -> Result<Record> {
        Record::limited(path, LARGEST)
    }

    fn limited(path: &Path, left: u64) -> Result<Record> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Record { path: path.to_path_buf(), file: BufWriter::new(file), left, tail: VecDeque::new() })
    }

    /// Writes a line, and returns it as it was written, harmless.
    pub fn line(&mut self, at: Duration, stream: Stream, piece: Piece<'_>) -> Result<String> {
        let text = clean(piece.bytes);
        if stream != Stream::Ci {
            self.tail.push_back(short(&text, SHOWN));
        }
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
        let more = if piece.continues { "+" } else { "" };
        let line = format!("{:9.3} {:4} {text}\n", at.as_secs_f64(), format!("{}{more}", stream.name()));
        // Notes of ours are few, and say how it ended.
        if stream == Stream::Ci || self.left > 0 {
            let room = self.left;
            self.left = self.left.saturating_sub(line.len() as u64);
            let full = room > 0 && self.left == 0 && stream != Stream::Ci;
            self.write(line.as_bytes())?;
            if full {
                let note = format!("{:9.3} ci   the log is full: what follows is not written\n", at.as_secs_f64());
                self.write(note.as_bytes())?;
            }
        }
        Ok(text)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| format!("write {}", self.path.display()))
    }

    pub fn note(&mut self, at: Duration, text: &str) -> Result<()> {
        self.line(at, Stream::Ci, Piece { bytes: text.as_bytes(), continues: false }).map(drop)
    }

    /// What was written can be seen by others.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("write {}", self.path.display()))
    }

    /// The guest's last lines, the oldest first.
    pub fn into_tail(self) -> Vec<String> {
        self.tail.into()
    }
}

/// A line without its end, or a part of a very long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    pub bytes: &'a [u8],
    /// It goes on where the last one ended.
    pub continues: bool,
}

/// Makes lines of what comes in any portions.
#[derive(Default)]
pub struct Lines {
    partial: Vec<u8>,
    /// When the partial line began.
    since: Duration,
    continues: bool,
}

impl Lines {
    /// Calls `each` with the time a line began, and the line.
    pub fn feed(
        &mut self,
        at: Duration,
        mut bytes: &[u8],
        each: &mut dyn FnMut(Duration, Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        while !bytes.is_empty() {
            let room = LONGEST.saturating_sub(self.partial.len()).max(1);
            let portion = bytes.get(..room).unwrap_or(bytes);
            let end = portion.iter().position(|b| *b == b'\n');
            let taken = portion.get(..end.unwrap_or(portion.len())).unwrap_or_default();
            if self.partial.is_empty() {
                self.since = at;
            }
            self.partial.extend_from_slice(taken);
            bytes = bytes.get(taken.len() + usize::from(end.is_some())..).unwrap_or_default();
            if end.is_some() || self.partial.len() >= LONGEST {
                self.emit(end.is_none(), each)?;
            }
        }
        Ok(())
    }

    /// What there is of a line that has not ended yet.
    pub fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// There will be no more: a last line without an end is one, too.
    pub fn finish(&mut self, each: &mut dyn FnMut(Duration, Piece<'_>) -> Result<()>) -> Result<()> {
        if self.partial.is_empty() { Ok(()) } else { self.emit(false, each) }
    }

    fn emit(&mut self, goes_on: bool, each: &mut dyn FnMut(Duration, Piece<'_>) -> Result<()>) -> Result<()> {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        // A line that ended just where a piece did leaves nothing to write.
        let result = if line.is_empty() && self.continues && !goes_on {
            Ok(())
        } else {
            each(self.since, Piece { bytes: line, continues: self.continues })
        };
        self.partial.clear();
        self.continues = goes_on;
        result
    }
}

#[cfg(test)]
mod tests;
