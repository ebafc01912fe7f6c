//! Numbers in what was read. Little endian unless the name says otherwise.

use anyhow::{Context, Result};

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let found = at.checked_add(N).and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok());
    found.with_context(|| format!("ends before byte {at}"))
}

pub fn u8_at(bytes: &[u8], at: usize) -> Result<u8> {
    array::<1>(bytes, at).map(|[b]| b)
}

pub fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

pub fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

pub fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

pub fn be32_at(bytes: &[u8], at: usize) -> Result<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// `len` bytes from `at` on.
pub fn slice(bytes: &[u8], at: usize, len: usize) -> Result<&[u8]> {
    let found = at.checked_add(len).and_then(|end| bytes.get(at..end));
    found.with_context(|| format!("ends before byte {}", at.saturating_add(len)))
}

/// A UUID as Linux, GRUB and blkid write one; `bytes` in the order of the text.
pub fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Text up to the first zero byte, without blanks at the end; none when nothing is left.
pub fn text(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.split(|b| *b == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(bytes).trim_end().to_string();
    (!text.is_empty()).then_some(text)
}
