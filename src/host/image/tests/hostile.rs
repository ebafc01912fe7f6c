//! qcow2 images that somebody made to do harm: opening and using them ends, in an error or not, and nothing panics.

use super::model::start;
use super::qcow2::{converted, qemu_img};
use super::*;

const LEN: usize = 1 << 20;

/// Where the tables of an image are that QEMU made: the header, and every cluster that is none of the data's.
fn good(dir: &Path, options: &str) -> Option<Vec<u8>> {
    let path = converted(dir, &start(LEN), options, &[])?;
    qemu_img(&["snapshot", "-c", "one", path.to_str().unwrap()])?;
    Some(std::fs::read(path).unwrap())
}

/// Fields of the header, and bytes anywhere in the image's own structures.
fn mutation() -> impl Strategy<Value = (usize, u64, usize)> {
    let value = prop_oneof![
        any::<u64>(),
        Just(0),
        Just(u64::MAX),
        Just(1 << 63),
        Just(i64::MAX as u64),
        (0..64u32).prop_map(|n| 1 << n),
        (0..40u64).prop_map(|n| n << 9),
        (0..40u64).prop_map(|n| 1 << 63 | n << 9),
        (0..40u64).prop_map(|n| 1 << 62 | n << 50 | n << 9),
    ];
    let at = prop_oneof![
        0..120usize,
        (0..15usize).prop_map(|n| n * 8),
        512..40_000usize,
        (64..5_000usize).prop_map(|n| n * 8)
    ];
    (at, value, prop_oneof![Just(1usize), Just(4), Just(8)])
}

/// Uses an image in every way; what it answers does not matter.
fn use_it(path: &Path, readonly: bool) {
    let Ok(disk) = open(path, &how(Format::Auto, readonly)) else { return };
    let mem = Memory::new(&[(0, 0x10_0000)], None).unwrap();
    let size = disk.size();
    let part = [mem.slice(0, 0x1_0000).unwrap()];
    for at in [0, 4096, 512 << 10, size / 2 / 512 * 512, size.saturating_sub(0x1_0000)] {
        let _ = disk.read_at(at, &part);
        let _ = disk.read_bytes(at, &mut [0; 5000]);
        if !readonly {
            let _ = disk.write_at(at, &[part[0].take(3000)]);
            let _ = disk.write_zeroes(at, 70_000, at % 8192 == 0);
            let _ = disk.discard(at, 100_000);
            let _ = disk.write_at(at, &part);
            let _ = disk.flush();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_hostile_image_does_no_harm(
        mutations in prop::collection::vec(mutation(), 1..4),
        options in prop_oneof![Just("cluster_size=512"), Just("cluster_size=4k,refcount_bits=8"), Just("compat=0.10,cluster_size=1k")],
        readonly in any::<bool>(),
        cut in prop_oneof![3 => Just(usize::MAX), 1 => 0..60_000usize],
    ) {
        thread_local!(static GOOD: std::cell::RefCell<std::collections::HashMap<&'static str, Option<Vec<u8>>>> = Default::default());
        let dir = tempfile::tempdir().unwrap();
        let made = GOOD.with(|good_ones| good_ones.borrow_mut().entry(options).or_insert_with(|| good(dir.path(), options)).clone());
        let Some(mut bytes) = made else { return Ok(()) };
        for (at, value, len) in mutations {
            let value = value.to_be_bytes();
            if let Some(to) = bytes.get_mut(at..at + len) {
                to.copy_from_slice(&value[8 - len..]);
            }
        }
        bytes.truncate(cut);
        let path = dir.path().join("hostile.qcow2");
        std::fs::write(&path, &bytes).unwrap();
        use_it(&path, readonly);
        if readonly {
            prop_assert!(std::fs::read(&path).unwrap() == bytes, "it was written to");
        }
    }
}
