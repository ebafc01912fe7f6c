//! What every image is: a vector of bytes.

use super::super::*;
use crate::mem::Memory;
use proptest::prelude::*;

/// The bytes that images of the tests start with.
pub fn start(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7) as u8).collect()
}

#[derive(Debug, Clone)]
pub enum Op {
    Read(u64, Vec<usize>),
    Write(u64, Vec<usize>, u8),
    Discard(u64, u64),
    Zero(u64, u64, bool),
    Flush,
    Reopen,
}

pub const LEN: usize = 100_000;

pub fn op() -> impl Strategy<Value = Op> {
    let at = || prop_oneof![0..LEN as u64 + 2000, (0..LEN as u64 / 512 + 2).prop_map(|s| s * 512), Just(u64::MAX)];
    let parts = || prop::collection::vec(prop_oneof![0..700usize, Just(4096), Just(20_000)], 0..6);
    prop_oneof![
        3 => (at(), parts()).prop_map(|(at, parts)| Op::Read(at, parts)),
        3 => (at(), parts(), any::<u8>()).prop_map(|(at, parts, seed)| Op::Write(at, parts, seed)),
        1 => (at(), 0..30_000u64).prop_map(|(at, len)| Op::Discard(at, len)),
        2 => (at(), 0..30_000u64, any::<bool>()).prop_map(|(at, len, unmap)| Op::Zero(at, len, unmap)),
        1 => Just(Op::Flush),
        1 => Just(Op::Reopen),
    ]
}

/// Slices of the wanted lengths with gaps between them.
pub fn slices(mem: &Memory, lengths: &[usize]) -> Vec<Slice> {
    lengths.iter().enumerate().map(|(i, len)| mem.slice(i as u64 * 0x8000 + 3, *len).unwrap()).collect()
}

pub fn bytes(slices: &[Slice]) -> Vec<u8> {
    let mut all = Vec::new();
    for s in slices {
        let mut part = vec![0; s.len()];
        s.copy_to(&mut part);
        all.extend(part);
    }
    all
}

/// The model: a vector of bytes, and whether each is certain (a discarded one is not until it is written).
/// Says what the image should hold in the end, and which bytes of it count.
pub fn agrees(
    ops: &[Op],
    mut model: Vec<u8>,
    open: impl Fn() -> Box<dyn Image>,
) -> Result<(Vec<u8>, Vec<bool>), TestCaseError> {
    let mem = Memory::new(&[(0, 0x10_0000)], None).unwrap();
    let size = model.len().next_multiple_of(512);
    model.resize(size, 0);
    let mut certain = vec![true; size];
    let mut disk = open();
    prop_assert_eq!(disk.size(), size as u64);
    for op in ops {
        let range = |at: u64, len: u64| {
            let end = at.checked_add(len).filter(|end| *end <= size as u64)?;
            Some(at as usize..end as usize)
        };
        let (done, wanted) = match op {
            Op::Read(at, lengths) => {
                let to = slices(&mem, lengths);
                to.iter().for_each(|s| s.fill(0xa5));
                let result = disk.read_at(*at, &to);
                let range = range(*at, lengths.iter().sum::<usize>() as u64);
                if let Some(range) = range.clone() {
                    for (i, (got, at)) in bytes(&to).into_iter().zip(range).enumerate() {
                        prop_assert!(!certain[at] || got == model[at], "byte {} of {:?}", i, op);
                    }
                }
                (result, range.is_some())
            }
            Op::Write(at, lengths, seed) => {
                let from = slices(&mem, lengths);
                for (i, s) in from.iter().enumerate() {
                    s.fill(seed.wrapping_add(i as u8));
                }
                let range = range(*at, lengths.iter().sum::<usize>() as u64);
                if let Some(range) = range.clone() {
                    model[range.clone()].copy_from_slice(&bytes(&from));
                    certain[range].fill(true);
                }
                (disk.write_at(*at, &from), range.is_some())
            }
            Op::Discard(at, len) => {
                let range = range(*at, *len);
                if let Some(range) = range.clone() {
                    certain[range].fill(false);
                }
                (disk.discard(*at, *len), range.is_some())
            }
            Op::Zero(at, len, unmap) => {
                let range = range(*at, *len);
                if let Some(range) = range.clone() {
                    model[range.clone()].fill(0);
                    certain[range].fill(true);
                }
                (disk.write_zeroes(*at, *len, *unmap), range.is_some())
            }
            Op::Flush => (disk.flush(), true),
            Op::Reopen => {
                drop(disk);
                disk = open();
                prop_assert_eq!(disk.size(), size as u64);
                (Ok(()), true)
            }
        };
        prop_assert_eq!(done.is_ok(), wanted, "{:?}: {:?}", op, done);
    }
    Ok((model, certain))
}
