use super::super::sample::*;
use super::*;
use proptest::prelude::*;

/// A bzImage with `text` in its setup code at byte 0x380 of the file, and `pointer` to it in its header.
fn named(text: &[u8], pointer: u16) -> Vec<u8> {
    let mut file = linux("lz4");
    file[0x20e..0x210].copy_from_slice(&pointer.to_le_bytes());
    file[0x380..0x380 + text.len()].copy_from_slice(text);
    file
}

fn release(file: &[u8]) -> Option<String> {
    let temp = Temp::new(file);
    Image::open(&temp.path).unwrap().release()
}

/// An ELF kernel with `text` in it.
fn vmlinux(text: &[u8]) -> Vec<u8> {
    let mut data = vec![b'L'; STEP - 5];
    data.extend(text);
    data.extend([b' '; 100]);
    elf(true, KERNEL_AT, &[Part::load(KERNEL_AT, &data)])
}

#[test]
fn a_bzimage_says_it_in_its_header() {
    assert_eq!(release(&named(b"6.1.0-50-amd64 (x@y) #1 SMP\0", 0x180)).unwrap(), "6.1.0-50-amd64");
    assert_eq!(release(&named(b"6.9.0-rc1+\0", 0x180)).unwrap(), "6.9.0-rc1+");
    assert_eq!(release(&named(b"6.1.0 x\0", 0)), None, "there is none");
    // Behind its one setup sector.
    assert_eq!(release(&named(b"6.1.0 x\0", 0x200)), None);
}

#[test]
fn what_could_lead_out_of_a_directory_is_no_release() {
    for bad in [&b"6/../../../etc \0"[..], b"../6.1 \0", b" \0", b"\0", b"6.1\xff \0", &[b'6'; 70]] {
        assert_eq!(release(&named(bad, 0x180)), None, "{bad:?}");
    }
}

#[test]
fn an_elf_file_says_it_in_its_banner_and_so_does_a_packed_one() {
    let banner = b"Linux version 6.1.176 (gcc) #1\n\0";
    assert_eq!(release(&vmlinux(banner)).unwrap(), "6.1.176");
    assert_eq!(release(&vmlinux(b"Linux version %s (%s)\0LLinux version 5.4.0 #1\0")).unwrap(), "5.4.0");
    assert_eq!(release(&vmlinux(b"Linux versio\0")), None);
    assert_eq!(release(&vmlinux(b"")), None);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &vmlinux(banner)).unwrap();
    assert_eq!(release(&gzip.finish().unwrap()).unwrap(), "6.1.176");
}

#[test]
fn debug_information_is_not_looked_at() {
    let mut file = vmlinux(b"nothing");
    file.extend(b"Linux version 1.2.3 ");
    assert_eq!(release(&file), None);
}

#[test]
fn the_width_is_known_of_bzimages_and_elf_files() {
    let packed = |file: &[u8]| Image::open(&Temp::new(file).path).unwrap().is_packed();
    assert!(packed(&linux("xz")) && packed(&super::super::sample::packed("xz")) && !packed(&kernel()));
    let wide = |file: &[u8]| Image::open(&Temp::new(file).path).unwrap().is_64bit();
    assert_eq!(wide(&linux("xz")), Some(true));
    let mut narrow = linux("xz");
    narrow[0x236] = 0;
    assert_eq!(wide(&narrow), Some(false));
    narrow[0x206] = 0x0b;
    assert_eq!(wide(&narrow), None);
    assert_eq!(wide(&kernel()), Some(true));
    assert_eq!(wide(&elf(false, KERNEL_AT, &[Part::load(KERNEL_AT, &[1; 64])])), Some(false));
}

#[test]
fn a_string_is_found_in_every_packed_kernel() {
    let kernel = kernel();
    let unlike = |w: &[u8]| w.first() != Some(&0) && !w[1..].contains(&w[0]);
    let what = kernel[0x8_0000..].windows(12).find(|w| unlike(w)).unwrap().to_vec();
    let at = kernel.windows(what.len()).position(|w| w == what).unwrap();
    for suffix in SUFFIXES {
        for file in [linux(suffix), packed(suffix)] {
            let temp = Temp::new(&file);
            let image = Image::open(&temp.path).unwrap();
            let mut rest = Vec::new();
            let mut reader = image.unpacked().unwrap().unwrap();
            assert!(skip_past(&mut reader, &what).unwrap());
            reader.read_to_end(&mut rest).unwrap();
            assert!(rest == kernel[at + what.len()..], "{suffix}");
            assert!(!skip_past(&mut image.unpacked().unwrap().unwrap(), b"absent!").unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_string_is_found_as_a_plain_search_finds_it(text in "[abc]{0,200}", step in 1usize..9) {
        let mut reader = BufReader::with_capacity(step, text.as_bytes());
        let found = skip_past(&mut reader, b"abcb").unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        prop_assert_eq!(found.then_some(rest.as_str()), text.find("abcb").map(|at| &text[at + 4..]));
    }

    #[test]
    fn no_header_makes_it_panic(pointer: u16, text in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Some(release) = release(&named(&text, pointer)) {
            prop_assert!(!release.contains('/') && release.len() <= RELEASE_MAX);
        }
    }
}
