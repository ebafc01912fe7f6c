//! One request as it lies in guest memory. What is small is copied out once; file data stays where it is.

use super::errno::{Errno, Res};
use super::wire::{Header, IN_HEADER, OUT_HEADER, Opcode};
use crate::mem::Slice;

/// The most bytes of a request that are copied out: an extended attribute of the largest size and its name.
const BODY: usize = 80 << 10;
/// Bytes of struct fuse_write_in.
const WRITE_IN: usize = 40;

pub struct Call<'a> {
    pub header: Header,
    readable: &'a [Slice],
    writable: &'a [Slice],
    /// What follows the header; of a WRITE what precedes the data.
    pub body: &'a [u8],
}

/// The bytes of the header, if there are so many.
pub fn head(readable: &[Slice]) -> Option<[u8; IN_HEADER]> {
    let mut raw = [0; IN_HEADER];
    (copy_to(readable, 0, &mut raw) == IN_HEADER).then_some(raw)
}

impl<'a> Call<'a> {
    /// Copies the body into `buffer`.
    pub fn new(header: Header, readable: &'a [Slice], writable: &'a [Slice], buffer: &'a mut Vec<u8>) -> Res<Call<'a>> {
        let there = size(readable);
        let len = usize::try_from(header.len).map_err(|_| Errno::INVAL)?;
        let mut len = len.checked_sub(IN_HEADER).filter(|_| len <= there).ok_or(Errno::INVAL)?;
        if header.opcode == Opcode::Write as u32 {
            len = len.min(WRITE_IN);
        }
        if len > BODY {
            return Err(Errno(libc::E2BIG));
        }
        buffer.clear();
        buffer.resize(len, 0);
        copy_to(readable, IN_HEADER, buffer);
        Ok(Call { header, readable, writable, body: buffer })
    }

    /// The data of a WRITE: `len` bytes, or EINVAL when there are fewer.
    pub fn data(&self, len: usize) -> Res<Vec<Slice>> {
        let there = (self.header.len as usize).min(size(self.readable)).saturating_sub(IN_HEADER + WRITE_IN);
        if len > there {
            return Err(Errno::INVAL);
        }
        Ok(window(self.readable, IN_HEADER + WRITE_IN, len))
    }

    /// Where up to `len` bytes of a reply go.
    pub fn room(&self, len: usize) -> Vec<Slice> {
        window(self.writable, OUT_HEADER, len)
    }

    /// How many bytes a reply may have besides its header.
    pub fn room_size(&self) -> usize {
        size(self.writable).saturating_sub(OUT_HEADER)
    }
}

fn size(slices: &[Slice]) -> usize {
    slices.iter().fold(0, |sum, slice| sum.saturating_add(slice.len()))
}

fn copy_to(slices: &[Slice], mut at: usize, out: &mut [u8]) -> usize {
    let mut done = 0;
    for slice in slices {
        let cut = at.min(slice.len());
        at -= cut;
        done += out.get_mut(done..).map_or(0, |rest| slice.skip(cut).copy_to(rest));
    }
    done
}

/// `len` bytes from byte `at` on, or what there is of them.
fn window(slices: &[Slice], mut at: usize, mut len: usize) -> Vec<Slice> {
    let mut out = Vec::with_capacity(slices.len());
    for slice in slices {
        let cut = at.min(slice.len());
        at -= cut;
        let part = slice.skip(cut).take(len);
        len -= part.len();
        if !part.is_empty() {
            out.push(part);
        }
    }
    out
}
