use super::super::sample::{SUFFIXES, kernel, packed};
use super::*;
use proptest::prelude::*;

fn unpack(bytes: &[u8]) -> Result<Vec<u8>> {
    let method = Method::of(bytes).context("unknown")?;
    let mut out = Vec::new();
    method.unpack(bytes)?.take(4 << 20).read_to_end(&mut out)?;
    Ok(out)
}

/// Writes what the packed files are made from (tests/data/boot/make.sh).
#[test]
fn every_method_gives_back_the_kernel() {
    if let Ok(path) = std::env::var("KILN_WRITE_SAMPLE") {
        std::fs::write(path, kernel()).unwrap();
    }
    for suffix in SUFFIXES {
        assert!(unpack(&packed(suffix)).unwrap() == kernel(), "{suffix}");
    }
    assert_eq!(unpack(b"\x7fELF and so on").unwrap(), b"\x7fELF and so on");
}

#[test]
fn a_truncated_stream_is_an_error() {
    for suffix in SUFFIXES {
        let bytes = packed(suffix);
        // The last bytes of some are checksums that not every reader looks at.
        for len in [20, bytes.len() / 3, bytes.len() * 2 / 3] {
            let got = unpack(&bytes[..len]);
            assert!(got.is_err() || got.is_ok_and(|b| b.len() < kernel().len()), "{suffix} cut to {len}");
        }
    }
}

#[test]
fn legacy_lz4_has_several_blocks_and_streams() {
    let block: Vec<u8> = (0..8 << 20).map(|i: u32| (i / 1000) as u8).collect();
    let mut file = lz4::MAGIC.to_vec();
    for part in [&block[..], b"the tail"] {
        let packed = lz4_flex::block::compress(part);
        file.extend((packed.len() as u32).to_le_bytes());
        file.extend(packed);
    }
    let whole = |f: &[u8]| {
        let mut out = Vec::new();
        Method::Lz4.unpack(f).unwrap().read_to_end(&mut out).map(|_| out)
    };
    assert!(whole(&file).unwrap() == [&block[..], b"the tail"].concat());
    let twice = [&file[..], &file[..]].concat();
    assert_eq!(whole(&twice).unwrap().len(), 2 * (block.len() + 8));
    // A length that no block of 8 MiB can have.
    let long = [&lz4::MAGIC[..], &0x0100_0000u32.to_le_bytes(), &[0; 64]].concat();
    assert!(whole(&long).is_err());
}

#[test]
fn a_huge_dictionary_is_refused_before_it_is_allocated() {
    let mut lzma = packed("lzma");
    lzma[1..5].copy_from_slice(&0xe000_0000u32.to_le_bytes());
    assert!(unpack(&lzma).is_err());
    // Single segment off, window descriptor 0xff: several GiB.
    assert!(unpack(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn damaged_streams_never_panic(
        which in 0..SUFFIXES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        near_start in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = packed(SUFFIXES[which]);
        for (at, value) in damage {
            let span = if near_start { 64 } else { bytes.len() };
            bytes[at.index(span)] = value;
        }
        let _ = unpack(&bytes);
        let _ = unpack(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn noise_behind_a_magic_never_panics(which in 0..SUFFIXES.len(), noise in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = packed(SUFFIXES[which])[..12].to_vec();
        bytes.extend(noise);
        let _ = unpack(&bytes);
    }
}
