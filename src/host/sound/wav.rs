//! A WAV file (Microsoft's Multimedia Programming Interface, and its WAVE_FORMAT_IEEE_FLOAT). Its header is in order after
//! each piece, so the file can be read however the guest ends.

use super::{Format, Sample, Sink};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of the header.
const HEADER: u32 = 44;
/// The most bytes of sound that its 32-bit sizes can say.
const MOST: u64 = u32::MAX as u64 - HEADER as u64;

pub struct Wav {
    path: PathBuf,
    file: File,
    format: Format,
    /// Bytes of sound so far.
    len: u64,
    /// No more is written: the file is as long as it can be, or the host has no room for it.
    ended: bool,
}

impl Wav {
    /// Makes the file, or makes it empty.
    pub fn create(path: &Path, format: Format) -> Result<Wav> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut wav = Wav { path: path.to_path_buf(), file, format, len: 0, ended: false };
        let header = wav.header();
        wav.file.write_all(&header).with_context(|| format!("write {}", path.display()))?;
        Ok(wav)
    }

    fn header(&self) -> Vec<u8> {
        let Format { sample, channels, rate } = self.format;
        let len = self.len as u32;
        let kind: u16 = if sample == Sample::Float { 3 } else { 1 };
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((len.saturating_add(HEADER - 8)).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16u32.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend(self.format.bytes_per_second().to_le_bytes());
        bytes.extend((self.format.frame() as u16).to_le_bytes());
        bytes.extend((sample.size() as u16 * 8).to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(len.to_le_bytes());
        bytes
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all_at(bytes, u64::from(HEADER) + self.len)?;
        self.len += bytes.len() as u64;
        self.file.write_all_at(&self.header(), 0)
    }
}

impl Sink for Wav {
    fn start(&mut self, _format: Format) {}

    fn write(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        let result = match self.len + bytes.len() as u64 {
            len if len > MOST => Err(std::io::Error::other("a WAV file ends at 4 GiB")),
            _ => self.append(bytes),
        };
        if let Err(e) = result {
            self.ended = true;
            log::warn!("{}: {e}; the guest's sound is no longer written", self.path.display());
        }
    }

    fn stop(&mut self) {}
}
