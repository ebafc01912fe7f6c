use crate::host::image::{Format, How, Image, Writes, open};
use crate::mem::{Memory, Slice};
use anyhow::Result;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

fn direct(path: &Path) -> Result<Box<dyn Image>> {
    open(path, &How { format: Format::Auto, readonly: false, direct: true, writes: Writes::Image })
}

fn image(len: usize) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::write(&path, (0..len).map(|i| (i / 7) as u8).collect::<Vec<_>>()).unwrap();
    (dir, path)
}

/// Whether it goes here; says so when it does not.
fn works() -> bool {
    let (_dir, path) = image(0x1_0000);
    direct(&path).inspect_err(|e| println!("SKIPPED: {e:#}")).is_ok()
}

const LEN: usize = 0x40_0000;

#[derive(Debug, Clone)]
enum Op {
    Read(u64, Vec<(u64, usize)>),
    Write(u64, Vec<(u64, usize)>, u8),
    Zero(u64, u64),
}

/// Sectors, in pieces of memory that are aligned or not.
fn op() -> impl Strategy<Value = Op> {
    let at = || prop_oneof![(0..LEN as u64 / 4096).prop_map(|n| n * 4096), (0..LEN as u64 / 512).prop_map(|n| n * 512)];
    let address = prop_oneof![(0..64u64).prop_map(|n| n * 4096), (0..512u64).prop_map(|n| n * 512), 0..0x4_0000u64];
    let len = prop_oneof![Just(4096), Just(512), Just(0x2_0000), Just(0x18_0000), 1..3000usize];
    let parts = prop::collection::vec((address, len), 1..4).boxed();
    prop_oneof![
        (at(), parts.clone()).prop_map(|(at, parts)| Op::Read(at, parts)),
        (at(), parts, any::<u8>()).prop_map(|(at, parts, seed)| Op::Write(at, parts, seed)),
        (at(), 0..100u64).prop_map(|(at, n)| Op::Zero(at, n * 512)),
    ]
}

fn slices(mem: &Memory, parts: &[(u64, usize)]) -> Vec<Slice> {
    parts.iter().enumerate().map(|(i, (at, len))| mem.slice(i as u64 * 0x20_0000 + at, *len).unwrap()).collect()
}

fn bytes(slices: &[Slice]) -> Vec<u8> {
    let part = |s: &Slice| {
        let mut part = vec![0; s.len()];
        s.copy_to(&mut part);
        part
    };
    slices.iter().flat_map(part).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_alignment_it_is_a_vector_of_bytes(ops in prop::collection::vec(op(), 1..20)) {
        if !works() {
            return Ok(());
        }
        let mem = Memory::new(&[(0, 0x80_0000)], None).unwrap();
        let (_dir, path) = image(LEN);
        let disk = direct(&path).unwrap();
        let mut model = std::fs::read(&path).unwrap();
        for op in &ops {
            let end = |at: u64, len: usize| Some(at as usize..at as usize + len).filter(|r| r.end <= LEN);
            match op {
                Op::Read(at, parts) => {
                    let to = slices(&mem, parts);
                    let range = end(*at, to.iter().map(Slice::len).sum());
                    prop_assert_eq!(disk.read_at(*at, &to).is_ok(), range.is_some());
                    if let Some(range) = range {
                        prop_assert!(bytes(&to) == model[range.clone()], "{:?}", op);
                        let mut again = vec![0; range.len()];
                        disk.read_bytes(*at, &mut again).unwrap();
                        prop_assert!(again == model[range]);
                    }
                }
                Op::Write(at, parts, seed) => {
                    let from = slices(&mem, parts);
                    from.iter().enumerate().for_each(|(i, s)| s.fill(seed.wrapping_add(i as u8)));
                    let range = end(*at, from.iter().map(Slice::len).sum());
                    prop_assert_eq!(disk.write_at(*at, &from).is_ok(), range.is_some());
                    if let Some(range) = range {
                        model[range].copy_from_slice(&bytes(&from));
                    }
                }
                Op::Zero(at, len) => {
                    let range = end(*at, *len as usize);
                    prop_assert_eq!(disk.write_zeroes(*at, *len, false).is_ok(), range.is_some());
                    if let Some(range) = range {
                        model[range].fill(0);
                    }
                }
            }
        }
        drop(disk);
        prop_assert!(std::fs::read(&path).unwrap() == model);
    }
}

#[test]
fn a_file_that_does_not_end_at_a_block_is_refused() {
    if !works() {
        return;
    }
    let (_dir, path) = image(1000);
    let says = format!("{:#}", direct(&path).err().unwrap());
    assert!(says.contains("`direct`") && says.contains("1000 bytes") && says.contains("truncate -s %"), "{says}");
}
