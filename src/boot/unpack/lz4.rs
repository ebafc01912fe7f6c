//! LZ4's legacy frame, which `lz4 -l` writes and Linux uses: a magic, then blocks of up to 8 MiB, each after its packed
//! length, up to the end of the input (LZ4 Frame Format Description, "Legacy frame"). It has no checksum.

use super::blocks::{Next, invalid, word};
use std::io::{self, Read};

pub const MAGIC: [u8; 4] = 0x184c_2102u32.to_le_bytes();
const BLOCK: usize = 8 << 20;
/// LZ4_COMPRESSBOUND of a block.
const PACKED_MAX: usize = BLOCK + BLOCK / 255 + 16;

pub struct Lz4<R> {
    input: R,
    packed: Vec<u8>,
}

impl<R: Read> Lz4<R> {
    pub fn new(input: R) -> Lz4<R> {
        Lz4 { input, packed: Vec::new() }
    }
}

impl<R: Read> Next for Lz4<R> {
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<usize> {
        // The magic opens the stream, and again each of several concatenated ones.
        let length = loop {
            match word(&mut self.input)? {
                Some(MAGIC) => continue,
                Some(length) => break u32::from_le_bytes(length) as usize,
                None => return Ok(0),
            }
        };
        if length == 0 || length > PACKED_MAX {
            return Err(invalid(format!("a block of {length} bytes")));
        }
        self.packed.clear();
        (&mut self.input).take(length as u64).read_to_end(&mut self.packed)?;
        if self.packed.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        block.resize(BLOCK, 0);
        lz4_flex::block::decompress_into(&self.packed, block).map_err(invalid)
    }
}
