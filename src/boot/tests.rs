use super::sample::*;
use super::*;
use proptest::prelude::*;
use std::io::Write;

const TAKEN: [Range<u64>; 2] = [0x7000..0x4_0000, 0x9_fc00..0x10_0000];
const MIB: u64 = 1 << 20;

fn memory() -> Memory {
    Memory::new(&[(0, 4 * MIB)], None).unwrap()
}

fn load(file: &[u8], decompressor: bool) -> Result<(Image, Placed, Memory)> {
    let temp = Temp::new(file);
    let (image, memory) = (Image::open(&temp.path)?, memory());
    let placed = image.load(&memory, &TAKEN, decompressor)?;
    Ok((image, placed, memory))
}

fn refusal(file: &[u8]) -> String {
    format!("{:#}", load(file, false).err().expect("it should be refused"))
}

/// The two segments of `sample::kernel`, and zeros around them.
fn check_kernel(memory: &Memory) {
    let file = kernel();
    let (text, data) = (&file[0x200..0x200 + (600 << 10) + 200], [7; 1000]);
    let mut loaded = vec![0; text.len()];
    memory.slice(KERNEL_AT, text.len()).unwrap().copy_to(&mut loaded);
    assert!(loaded[..600 << 10] == text[..600 << 10]);
    let mut loaded = [0; 1002];
    memory.slice(0x1f_ffff, 1002).unwrap().copy_to(&mut loaded);
    assert_eq!((loaded[0], &loaded[1..1001], loaded[1001]), (0, &data[..], 0));
}

#[test]
fn every_packed_kernel_loads_as_bzimage_and_alone() {
    for suffix in SUFFIXES {
        for (file, format) in [(linux(suffix), "bzImage, "), (packed(suffix), "ELF, packed with ")] {
            let (image, placed, memory) = load(&file, false).unwrap();
            assert!(image.format().starts_with(format), "{}", image.format());
            assert_eq!((placed.entry, placed.protocol), (KERNEL_ENTRY, Protocol::Linux64));
            assert_eq!(placed.ranges.len(), 2);
            check_kernel(&memory);
        }
    }
    let (_, placed, memory) = load(&kernel(), false).unwrap();
    assert_eq!(placed.entry, KERNEL_ENTRY);
    check_kernel(&memory);
}

#[test]
fn a_kernel_may_be_loaded_again() {
    let temp = Temp::new(&linux("xz"));
    let image = Image::open(&temp.path).unwrap();
    let memory = memory();
    let first = image.load(&memory, &TAKEN, false).unwrap();
    memory.slice(0, 4 << 20).unwrap().fill(0xee);
    memory.clear().unwrap();
    assert_eq!(image.load(&memory, &TAKEN, false).unwrap(), first);
    check_kernel(&memory);
}

#[test]
fn the_decompressor_is_entered_where_its_header_says() {
    let file = linux("gz");
    let (_, placed, memory) = load(&file, true).unwrap();
    // pref_address, aligned; XLF_KERNEL_64 is set.
    assert_eq!((placed.entry, placed.protocol), (0x20_0200, Protocol::Linux64));
    assert_eq!(placed.ranges, std::slice::from_ref(&(0x20_0000..0x38_0000)));
    assert_eq!(memory.read::<3>(0x20_0000 + 0x2bf).unwrap(), [0xcc, 0x1f, 0x8b]);

    let with = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        load(&file, true).map(|(_, placed, _)| placed)
    };
    let narrow = with(0x236, &[0, 0]).unwrap();
    assert_eq!((narrow.entry, narrow.protocol), (0x20_0000, Protocol::Linux32));
    let fixed = with(0x234, &[0]).unwrap();
    assert_eq!((fixed.entry, fixed.ranges[0].end), (0x10_0200, 0x28_0000));
    let said = format!("{:#}", with(0x260, &0x40_0000u32.to_le_bytes()).unwrap_err());
    assert!(said.contains("needs at least 6 MiB of guest memory"), "{said}");
    assert!(with(0x258, &[0xff; 8]).is_err());
    assert!(with(0x260, &[0xff; 4]).is_err());
}

#[test]
fn an_unknown_payload_is_left_to_the_decompressor() {
    let (image, placed, _) = load(&bzimage(&[3; 100]), false).unwrap();
    assert_eq!((image.format().as_str(), placed.entry), ("bzImage", 0x20_0200));
}

#[test]
fn damage_to_a_payload_is_noticed() {
    // The length at the end does not fit, once too small and once too large.
    let size = kernel().len() as u32;
    for wrong in [size - 1, size + 1, 0x1000, u32::MAX] {
        let mut payload = packed("xz");
        payload.extend(wrong.to_le_bytes());
        let said = refusal(&bzimage(&payload));
        assert!(said.contains("unpack"), "{said}");
    }
    // gzip's checksum stands behind all that is loaded.
    let mut payload = packed("gz");
    let crc = payload.len() - 8;
    payload[crc] ^= 1;
    assert!(refusal(&bzimage(&payload)).contains("unpack its gzip payload"));
    assert!(refusal(&packed("gz")[..5000]).contains("unpack it (gzip)"));
    let mut not_elf = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    not_elf.write_all(b"no kernel at all").unwrap();
    let not_elf = not_elf.finish().unwrap();
    assert!(refusal(&bzimage(&not_elf)).contains("no ELF file"));
    assert!(refusal(&not_elf).contains("neither an ELF file nor a multiboot image"));
}

#[test]
fn files_that_are_no_kernels_are_named_with_their_path() {
    let temp = Temp::new(b"");
    let said = |path: &Path| format!("{:#}", Image::open(path).err().unwrap());
    assert_eq!(said(&temp.path), format!("kernel {}: is empty", temp.path.display()));
    assert!(said(temp.path.parent().unwrap()).ends_with(": is a directory"));
    assert!(said(Path::new("/dev/null")).ends_with(": is not a regular file"));
    assert!(said(Path::new("/nonexistent")).starts_with("kernel /nonexistent: No such file"));
    assert!(refusal(b"#!/bin/sh\n").ends_with("not a kernel that boots here: a script"));
    assert!(refusal(&multiboot(0, None)).contains("has no addresses"));
}

#[test]
fn a_multiboot_image_needs_no_elf() {
    let mut file = multiboot(0, Some([0x10_0000, 0x10_0000, 0, 0x10_1000, 0x10_0020]));
    file.extend(b"the rest");
    let (image, placed, memory) = load(&file, false).unwrap();
    assert_eq!(image.format(), "multiboot image");
    assert_eq!((placed.entry, placed.protocol), (0x10_0020, Protocol::Multiboot));
    assert_eq!(placed.ranges, std::slice::from_ref(&(0x10_0000..0x10_1000)));
    assert_eq!(&memory.read::<8>(0x10_0020).unwrap(), b"the rest");
}

/// KILN_TEST_KERNELS names bzImages and their vmlinux, unpacked with other tools: `vmlinuz=vmlinux:vmlinuz=vmlinux`.
#[test]
fn real_kernels_unpack() {
    let Ok(kernels) = std::env::var("KILN_TEST_KERNELS") else {
        return println!("skipped: KILN_TEST_KERNELS names no kernels");
    };
    const SIZE: usize = 256 << 20;
    for (bzimage, vmlinux) in kernels.split(':').filter_map(|pair| pair.split_once('=')) {
        let load = |path: &str| {
            let memory = Memory::new(&[(0, SIZE as u64)], None).unwrap();
            let image = Image::open(Path::new(path)).unwrap();
            let start = std::time::Instant::now();
            let placed = image.load(&memory, &TAKEN, false).unwrap();
            println!("{path}: {} {placed:x?} in {:?}", image.format(), start.elapsed());
            let mut bytes = vec![0; SIZE];
            memory.slice(0, SIZE).unwrap().copy_to(&mut bytes);
            (placed, bytes)
        };
        assert!(load(bzimage) == load(vmlinux), "{bzimage}");
    }
}

/// A valid file of each kind.
fn file(which: usize) -> Vec<u8> {
    let pvh = note("Xen", 18, &0x10_0010u32.to_le_bytes());
    match which {
        0 => elf(true, 0x10_0000, &[Part::load(0x10_0000, &[0x90; 64]), Part::note(pvh)]),
        1 => elf(false, 0x10_0000, &[Part::load(0x10_0000, &[0x90; 64]), Part::note(pvh)]),
        2 => [multiboot(0, Some([0x10_0000, 0x10_0000, 0, 0x10_1000, 0x10_0020])), vec![0x90; 64]].concat(),
        3 => bzimage(&[3; 100]),
        n => linux(SUFFIXES[n % SUFFIXES.len()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    /// Whatever is in the file: an answer or an error, and the boot data is not touched.
    #[test]
    fn mutated_kernels_never_panic_nor_write_elsewhere(
        which in 0..11usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<[u8; 4]>(), 1..5usize), 0..8),
        header in any::<bool>(),
        cut in any::<Option<prop::sample::Index>>(),
        decompressor in any::<bool>(),
    ) {
        let mut bytes = file(which);
        for (at, value, len) in damage {
            let start = if header && which >= 3 { 0x1f0 } else { 0 };
            let span = bytes.len() - 4 - start;
            let span = if header { span.min(0x80) } else { span };
            let at = start + at.index(span);
            bytes[at..at + len.min(4)].copy_from_slice(&value[..len.min(4)]);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let temp = Temp::new(&bytes);
        let memory = memory();
        for range in TAKEN {
            memory.slice(range.start, (range.end - range.start) as usize).unwrap().fill(0xa5);
        }
        if let Ok(placed) = Image::open(&temp.path).and_then(|image| image.load(&memory, &TAKEN, decompressor)) {
            prop_assert!(placed.ranges.iter().any(|r| r.contains(&placed.entry)));
        }
        for range in TAKEN {
            let mut guard = vec![0; (range.end - range.start) as usize];
            memory.slice(range.start, guard.len()).unwrap().copy_to(&mut guard);
            prop_assert!(guard.iter().all(|b| *b == 0xa5));
        }
    }

    /// Segments anywhere: what is accepted lies in memory, apart from each other and from the boot data.
    #[test]
    fn segments_anywhere_are_placed_apart_or_refused(
        parts in prop::collection::vec((0..0x48u64, 0..0x2000u64, 1..40usize, 0..0x3_0000u64), 1..4),
        wide in any::<bool>(),
        packed in any::<bool>(),
    ) {
        let part = |&(page, offset, len, bss): &(u64, u64, usize, u64)| {
            let part = Part::load(page * 0x1_0000 + offset, &vec![0x5a; len << 10]);
            Part { memsz: part.memsz + bss, ..part }
        };
        let parts: Vec<Part> = parts.iter().map(part).collect();
        let mut file = elf(wide, parts[0].paddr, &parts);
        if packed {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&file).unwrap();
            file = gzip.finish().unwrap();
        }
        let ranges: Vec<_> = parts.iter().map(|p| p.paddr..p.paddr + p.memsz).collect();
        let apart = ranges.iter().enumerate().all(|(i, r)| {
            r.end <= 4 * MIB && !TAKEN.iter().chain(&ranges[..i]).any(|other| program::overlap(r, other))
        });
        let placed = load(&file, false);
        prop_assert_eq!(placed.is_ok(), apart);
        if let Ok((_, placed, memory)) = placed {
            prop_assert_eq!(placed.ranges, ranges.clone());
            let mut bytes = vec![0; 4 << 20];
            memory.slice(0, bytes.len()).unwrap().copy_to(&mut bytes);
            for (part, range) in parts.iter().zip(&ranges) {
                let (start, data) = (range.start as usize, part.data.len());
                prop_assert!(bytes[start..start + data].iter().all(|b| *b == 0x5a));
                bytes[start..start + data].fill(0);
            }
            prop_assert!(bytes.iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
        prop_assert!(load(&bytes, false).is_err() || bytes.starts_with(b"HdrS"));
    }
}
