//! What a Linux kernel file says of itself without being booted: its release, its width, and what stands in its image.

use super::bytes::u16_at;
use super::program::Class;
use super::source::{Section, bytes};
use super::unpack::{LIMIT, Method};
use super::{Form, Image};
use anyhow::Result;
use std::io::{BufRead, BufReader, Read};

/// Longer than any release: utsname has room for 64 bytes.
const RELEASE_MAX: usize = 64;
/// What `uname -r` says stands behind this (Linux: init/version.c, linux_banner).
const BANNER: &[u8] = b"Linux version ";
/// Other strings of a kernel may begin like the banner; more than this are not looked at.
const BANNERS_MAX: usize = 16;
/// Bytes read at a time.
const STEP: usize = 256 << 10;

impl Image {
    /// What `uname -r` will say. Quick for a bzImage, whose header has it; other kernels are read up to their banner.
    /// None where it does not say, or says something that is no release.
    pub fn release(&self) -> Option<String> {
        let text = match &self.form {
            Form::Bzimage(setup, _) => bytes(&self.file, setup.kernel_version()?, RELEASE_MAX + 1).ok()?,
            _ => self.banner().ok()??,
        };
        let end = text.iter().position(|b| b.is_ascii_whitespace() || *b == 0)?;
        let release = std::str::from_utf8(text.get(..end)?).ok()?;
        is_release(release).then(|| release.to_string())
    }

    /// Whether it runs 64-bit programs, where that is known before it is loaded.
    pub fn is_64bit(&self) -> Option<bool> {
        match &self.form {
            Form::Bzimage(setup, _) => setup.is_64bit(),
            Form::Plain(program) if program.class == Class::Elf64 => Some(true),
            Form::Plain(_) => Some(false),
            Form::Packed(_) => None,
        }
    }

    /// Whether all of it has to be unpacked before anything can be found in it, which takes up to a second.
    pub fn is_packed(&self) -> bool {
        !matches!(self.form, Form::Plain(_))
    }

    /// The bytes behind the banner.
    fn banner(&self) -> Result<Option<Vec<u8>>> {
        let Some(mut reader) = self.unpacked()? else { return Ok(None) };
        for _ in 0..BANNERS_MAX {
            if !skip_past(&mut reader, BANNER)? {
                break;
            }
            if reader.fill_buf()?.first().is_some_and(u8::is_ascii_digit) {
                let mut text = Vec::new();
                reader.take(RELEASE_MAX as u64 + 1).read_to_end(&mut text)?;
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// What is loaded of an ELF file, or what a packed kernel unpacks to; none where it cannot be unpacked here.
    pub fn unpacked(&self) -> Result<Option<Box<dyn BufRead + '_>>> {
        let section = |at, end| Section { file: &self.file, at, end };
        Ok(match &self.form {
            Form::Bzimage(_, None) => None,
            Form::Bzimage(_, Some((method, payload))) => {
                // To all but gzip Linux's build adds the unpacked length.
                let added = if *method == Method::Gzip { 0 } else { 4 };
                let packed = section(payload.start, payload.end.saturating_sub(added));
                Some(Box::new(method.unpack(packed)?.take(LIMIT)))
            }
            Form::Plain(program) => {
                // Debug information, which lies behind, is many times as long.
                let end = program.segments.iter().map(|s| s.offset.saturating_add(s.filesz)).max().unwrap_or(0);
                let start = program.segments.iter().map(|s| s.offset).min().unwrap_or(0);
                let end = end.min(self.len).min(start.saturating_add(LIMIT));
                Some(Box::new(BufReader::with_capacity(STEP, section(start, end))))
            }
            Form::Packed(method) => Some(Box::new(method.unpack(section(0, self.len))?.take(LIMIT))),
        })
    }
}

/// Whether this can be a kernel's release. It is safe as part of a path.
pub fn is_release(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+~-".contains(&b);
    text.len() <= RELEASE_MAX && text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(fits)
}

impl super::Setup {
    /// Where in the file the version string stands.
    fn kernel_version(&self) -> Option<u64> {
        let field = |at: usize| at.checked_sub(super::bzimage::HEADER);
        let at = u16_at(&self.raw, field(0x20e)?).filter(|at| *at != 0)?;
        let sectors = self.raw.first().map(|n| if *n == 0 { 4 } else { u64::from(*n) })?;
        // boot.rst: less than 0x200 * setup_sects.
        (u64::from(at) < 0x200 * sectors).then_some(u64::from(at) + 0x200)
    }
}

/// Reads past the next `what`, whose first byte occurs only once in it; false at the end.
pub fn skip_past(reader: &mut impl BufRead, what: &[u8]) -> std::io::Result<bool> {
    let Some((first, rest)) = what.split_first() else { return Ok(true) };
    debug_assert!(!rest.contains(first));
    while reader.skip_until(*first)? > 0 {
        let mut matched = 0;
        // What does not match stays in the reader: it may be the first byte again.
        while let Some(want) = rest.get(matched) {
            if reader.fill_buf()?.first() != Some(want) {
                break;
            }
            reader.consume(1);
            matched += 1;
        }
        if matched == rest.len() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
