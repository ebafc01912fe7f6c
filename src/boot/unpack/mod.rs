//! The compressions a kernel can have, told apart by magic, behind one reader.

mod blocks;
mod file;
mod lz4;
mod lzop;

pub use file::{Contents, contents};

use anyhow::{Context, Result};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// No unpacked kernel is larger, whatever its headers say.
pub const LIMIT: u64 = 1 << 30;
/// What a decompressor may allocate, in KiB: `xz -9` and Linux's own settings need up to 128 MiB of dictionary.
const MEMORY_KIB: u32 = 192 << 10;
/// Window of `zstd -22 --ultra`, which Linux uses.
const ZSTD_WINDOW: u64 = 128 << 20;
/// Bytes unpacked at a time.
const STEP: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not packed at all.
    Stored,
    Gzip,
    Bzip2,
    Lzma,
    Xz,
    Lzo,
    Lz4,
    Zstd,
}

impl Method {
    /// By the first bytes (Linux: lib/decompress.c).
    pub fn of(head: &[u8]) -> Option<Method> {
        let known: [(&[u8], Method); 8] = [
            (b"\x7fELF", Method::Stored),
            (&[0x1f, 0x8b, 8], Method::Gzip),
            (b"BZh", Method::Bzip2),
            (&[0x5d, 0], Method::Lzma),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Method::Xz),
            (&lzop::MAGIC, Method::Lzo),
            (&lz4::MAGIC, Method::Lz4),
            (&[0x28, 0xb5, 0x2f, 0xfd], Method::Zstd),
        ];
        known.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, method)| *method)
    }

    /// A reader of what `input` unpacks to, which ends where the packed stream does.
    pub fn unpack<'a>(self, input: impl Read + 'a) -> Result<Box<dyn BufRead + 'a>> {
        let input = BufReader::with_capacity(STEP, input);
        self.reader(input).with_context(|| format!("unpack {self}"))
    }

    fn reader<'a>(self, input: impl BufRead + 'a) -> io::Result<Box<dyn BufRead + 'a>> {
        Ok(match self {
            Method::Stored => Box::new(input),
            Method::Gzip => buffered(flate2::bufread::GzDecoder::new(input)),
            Method::Bzip2 => buffered(bzip2::bufread::BzDecoder::new(input)),
            Method::Lzma => buffered(lzma_rust2::LzmaReader::new_mem_limit(input, MEMORY_KIB, None)?),
            Method::Xz => buffered(lzma_rust2::XzReader::new_mem_limit(input, false, MEMORY_KIB)),
            Method::Lzo => Box::new(blocks::Blocks::new(lzop::Lzop::new(input)?)),
            Method::Lz4 => Box::new(blocks::Blocks::new(lz4::Lz4::new(input))),
            Method::Zstd => buffered(
                ruzstd::decoding::StreamingDecoder::new_with_max_window_size(input, ZSTD_WINDOW)
                    .map_err(blocks::invalid)?,
            ),
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Stored => "stored",
            Method::Gzip => "gzip",
            Method::Bzip2 => "bzip2",
            Method::Lzma => "lzma",
            Method::Xz => "xz",
            Method::Lzo => "lzo",
            Method::Lz4 => "lz4",
            Method::Zstd => "zstd",
        })
    }
}

fn buffered<'a>(reader: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    Box::new(BufReader::with_capacity(STEP, reader))
}

#[cfg(test)]
mod tests;
