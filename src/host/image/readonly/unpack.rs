//! Compressed blocks. What comes out is never larger than a block, whatever goes in.

use std::io::{self, Read};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// RFC 1951, without a header (qcow2).
    Deflate,
    /// RFC 1950 (VMDK).
    Zlib,
    /// RFC 8878 (qcow2).
    Zstd,
}

/// What RFC 8878, 3.1.1.1.2 asks every decoder to take; one that takes more can be made to spend more memory.
const ZSTD_WINDOW: u64 = 8 << 20;

/// The first `size` bytes that `packed` unpacks to; fewer when there are fewer. What follows them is not looked at.
pub fn unpack(method: Method, packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(size);
    let size = size as u64;
    match method {
        Method::Deflate => flate2::read::DeflateDecoder::new(packed).take(size).read_to_end(&mut block)?,
        Method::Zlib => flate2::read::ZlibDecoder::new(packed).take(size).read_to_end(&mut block)?,
        Method::Zstd => zstd(packed)?.take(size).read_to_end(&mut block)?,
    };
    Ok(block)
}

fn zstd(packed: &[u8]) -> io::Result<impl Read> {
    let invalid = |e| io::Error::new(io::ErrorKind::InvalidData, e);
    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(packed, ZSTD_WINDOW).map_err(invalid)
}
