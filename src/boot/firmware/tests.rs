use super::*;
use proptest::prelude::*;

fn bios(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|i| (i >> 8) as u8).collect();
    bytes[len - 16] = 0xea;
    bytes
}

fn variables(len: u64) -> Vec<u8> {
    let mut bytes = vec![0xff; len as usize];
    bytes[..16].fill(0);
    bytes[16..32].copy_from_slice(&NV_DATA);
    bytes[32..40].copy_from_slice(&len.to_le_bytes());
    bytes[40..44].copy_from_slice(b"_FVH");
    bytes
}

fn code(len: usize) -> Vec<u8> {
    let mut bytes = bios(len);
    bytes[40..44].copy_from_slice(b"_FVH");
    bytes
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &[u8])]) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        Folder(folder)
    }

    fn open(&self, name: &str) -> Result<Firmware> {
        Firmware::open(&FirmwareImage::File(self.0.path().join(name)))
    }

    fn refusal(&self, name: &str) -> String {
        format!("{:#}", self.open(name).unwrap_err())
    }
}

#[test]
fn of_a_bios_the_end_is_seen_twice() {
    let image = bios(256 << 10);
    let folder = Folder::with(&[("bios.bin", &image), ("small", &bios(64 << 10))]);
    let firmware = folder.open("bios.bin").unwrap();
    assert_eq!((firmware.variables.as_ref(), firmware.shadow()), (None, &image[128 << 10..]));
    assert_eq!(folder.open("small").unwrap().shadow().len(), 64 << 10);
}

#[test]
fn uefi_has_its_variables_beside_it_or_before_it() {
    let (code, variables) = (code(0x9000), variables(0x3000));
    let whole = [variables.clone(), code.clone()].concat();
    let files =
        [("MY_CODE_4M.fd", &code[..]), ("MY_VARS_4M.fd", &variables), ("whole.fd", &whole), ("alone.fd", &code)];
    let folder = Folder::with(&files);
    for name in ["MY_CODE_4M.fd", "whole.fd"] {
        let firmware = folder.open(name).unwrap();
        assert_eq!((&firmware.code, firmware.variables.as_ref()), (&code, Some(&variables)), "{name}");
        assert!(firmware.shadow().is_empty());
    }
    assert_eq!(folder.open("alone.fd").unwrap().variables, None);
}

#[test]
fn what_is_no_firmware_is_refused() {
    let mut cut = variables(0x3000);
    cut.truncate(0x2000);
    let folder = Folder::with(&[
        ("empty", b""),
        ("odd", &bios(100_000)),
        ("erased", &vec![0xff; 64 << 10]),
        ("zeros", &vec![0; 64 << 10]),
        ("large", &vec![1; (16 << 20) + 1]),
        ("A_CODE", &code(0x1000)),
        ("A_VARS", &cut),
        ("B_CODE", &code(0x1000)),
        ("B_VARS", &bios(64 << 10)),
        ("C_CODE", &code(16 << 20)),
        ("C_VARS", &variables(0x1000)),
    ]);
    for (name, words) in [
        ("empty", "is empty"),
        ("odd", "has 100000 bytes, which are not a multiple of 64 KiB"),
        ("erased", "is no firmware image"),
        ("zeros", "is no firmware image"),
        ("large", "at most 16 MiB"),
        ("nowhere", "No such file"),
        (".", "is no regular file"),
        ("A_CODE", "A_VARS: is truncated: of 12288 bytes there are 8192"),
        ("B_CODE", "B_VARS: holds no UEFI variables"),
        ("C_CODE", "there is room for 16 MiB"),
    ] {
        let said = folder.refusal(name);
        assert!(said.starts_with("firmware /") && said.contains(words), "{said}");
    }
}

#[test]
fn a_package_that_is_missing_is_named() {
    let error = installed(&["/nowhere/bios.bin"], "SeaBIOS", "seabios").unwrap_err();
    assert_eq!(error.to_string(), "SeaBIOS is not installed here (`apt install seabios`)");
}

#[test]
fn a_rom_is_made_one_of_another_device() {
    let mut rom = vec![0; 512];
    rom[..3].copy_from_slice(&[0x55, 0xaa, 1]);
    rom[0x18] = 0x40;
    rom[0x40..0x48].copy_from_slice(b"PCIR\x34\x12\x11\x11");
    let done = for_device(rom.clone(), 0x1af4, 0x1050).unwrap();
    assert_eq!(&done[0x40..0x48], b"PCIR\xf4\x1a\x50\x10");
    assert_eq!(done.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    rom[0x19] = 0xff;
    for wrong in [rom, vec![0; 512], vec![0x55; 8], Vec::new()] {
        assert!(for_device(wrong, 1, 2).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn headers_of_any_kind_are_looked_at_without_harm(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>(), nv in any::<bool>(),
        len in any::<u64>(),
    ) {
        if bytes.len() >= 44 {
            if magic { bytes[40..44].copy_from_slice(b"_FVH"); }
            if nv { bytes[16..32].copy_from_slice(&NV_DATA); }
            bytes[32..40].copy_from_slice(&len.to_le_bytes());
        }
        prop_assert!(check_variables(&bytes).is_err(), "no store is so small");
        let _ = check_reset_vector(&bytes);
    }
}
