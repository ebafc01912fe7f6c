//! The lzop container around LZO1X: a header, then blocks with both lengths and the checksums that the header asked for
//! (lzop's conf.h; Linux: lib/decompress_unlzo.c). Everything in it is big-endian.

use super::blocks::{Next, invalid, word};
use std::io::{self, Read};

pub const MAGIC: [u8; 9] = [0x89, b'L', b'Z', b'O', 0, b'\r', b'\n', 0x1a, b'\n'];
/// lzop's largest block; it writes 256 KiB ones.
const BLOCK_MAX: usize = 64 << 20;
/// Since this version the header has more fields.
const V0940: u16 = 0x0940;

const F_ADLER32_D: u32 = 0x1;
const F_ADLER32_C: u32 = 0x2;
const F_H_EXTRA_FIELD: u32 = 0x40;
const F_CRC32_D: u32 = 0x100;
const F_CRC32_C: u32 = 0x200;
const F_MULTIPART: u32 = 0x400;
const F_H_FILTER: u32 = 0x800;

pub struct Lzop<R> {
    input: R,
    flags: u32,
    packed: Vec<u8>,
}

impl<R: Read> Lzop<R> {
    pub fn new(mut input: R) -> io::Result<Lzop<R>> {
        let flags = header(&mut input)?;
        if flags & F_MULTIPART != 0 {
            return Err(invalid("an lzop archive in several parts"));
        }
        Ok(Lzop { input, flags, packed: Vec::new() })
    }
}

/// Reads up to the first block and gives the flags.
fn header(input: &mut impl Read) -> io::Result<u32> {
    if bytes::<9>(input)? != MAGIC {
        return Err(invalid("no lzop header"));
    }
    let version = u16::from_be_bytes(bytes(input)?);
    bytes::<2>(input)?; // version of the library
    if version >= V0940 {
        bytes::<2>(input)?; // version needed to extract
    }
    bytes::<1>(input)?; // method: LZO1X, whatever the effort
    if version >= V0940 {
        bytes::<1>(input)?; // level
    }
    let flags = u32::from_be_bytes(bytes(input)?);
    if flags & F_H_FILTER != 0 {
        return Err(invalid("an lzop filter"));
    }
    bytes::<8>(input)?; // file mode, time
    if version >= V0940 {
        bytes::<4>(input)?; // upper half of the time
    }
    let [name] = bytes(input)?;
    skip(input, u64::from(name))?;
    bytes::<4>(input)?; // checksum of the header
    if flags & F_H_EXTRA_FIELD != 0 {
        let extra = u32::from_be_bytes(bytes(input)?);
        skip(input, u64::from(extra))?;
        bytes::<4>(input)?; // checksum of the field
    }
    Ok(flags)
}

impl<R: Read> Next for Lzop<R> {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<usize> {
        let length = match word(&mut self.input)?.map(u32::from_be_bytes) {
            None | Some(0) => return Ok(0),
            Some(length) => length as usize,
        };
        let packed = u32::from_be_bytes(bytes(&mut self.input)?) as usize;
        if length > BLOCK_MAX || packed > length {
            return Err(invalid(format!("a block of {packed} bytes for {length}")));
        }
        let stored = packed == length;
        let sums = [(F_ADLER32_D, true), (F_CRC32_D, true), (F_ADLER32_C, !stored), (F_CRC32_C, !stored)];
        for _ in sums.iter().filter(|(flag, present)| *present && self.flags & flag != 0) {
            bytes::<4>(&mut self.input)?;
        }
        let into = if stored { &mut *block } else { &mut self.packed };
        into.clear();
        (&mut self.input).take(packed as u64).read_to_end(into)?;
        if into.len() < packed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if stored {
            return Ok(length);
        }
        block.resize(length, 0);
        match lzokay::decompress::decompress(&self.packed, block) {
            Ok(n) if n == length => Ok(length),
            Ok(n) => Err(invalid(format!("a block of {length} bytes has {n}"))),
            Err(e) => Err(invalid(format!("{e:?}"))),
        }
    }
}

fn bytes<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn skip(input: &mut impl Read, n: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.take(n), &mut io::sink())?;
    if skipped == n { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
