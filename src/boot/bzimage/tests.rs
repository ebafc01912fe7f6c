use super::super::sample::bzimage;
use super::*;

fn parse(file: &[u8]) -> Result<Setup> {
    Setup::parse(&file[..file.len().min(8192)], file.len() as u64)
}

fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = bzimage(&[1; 100]);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

fn refusal(file: &[u8]) -> String {
    parse(file).unwrap_err().to_string()
}

#[test]
fn the_header_is_as_long_as_it_says() {
    let setup = parse(&bzimage(&[1; 100])).unwrap();
    assert_eq!(setup.raw.len(), 0x202 + 0x6a - 0x1f1);
    assert_eq!(setup.payload, Some(1024 + 0x2c0..1024 + 0x2c0 + 100));
    assert_eq!((setup.pref_address, setup.init_size, setup.alignment), (0x10_0000, 0x18_0000, 0x20_0000));
    // It ends before init_size: that reads as zero, whatever stands there.
    let short = parse(&with(0x201, &[0x5e])).unwrap();
    assert_eq!((short.pref_address, short.init_size), (0x10_0000, 0));
    assert_eq!(short.raw.len(), 0x260 - 0x1f1);
    // It would end behind its place in the zero page.
    assert_eq!(parse(&with(0x201, &[0xff])).unwrap().raw.len(), HEADER_END - HEADER);
}

#[test]
fn older_protocols_have_the_documented_values() {
    let old = |version: u16| parse(&with(0x206, &version.to_le_bytes())).unwrap();
    assert_eq!(old(0x202).initrd_addr_max, 0x37ff_ffff);
    assert_eq!((old(0x203).initrd_addr_max, old(0x203).cmdline_size), (0x7fff_ffff, 255));
    assert_eq!((old(0x206).cmdline_size, old(0x207).payload.is_some()), (2047, false));
    assert_eq!((old(0x208).payload.is_some(), old(0x20b).xloadflags, old(0x20c).xloadflags), (true, 0, 0x7f));
    assert_eq!((old(0x204).relocatable, old(0x205).relocatable), (false, true));
}

#[test]
fn what_cannot_boot_is_refused() {
    let good = bzimage(&[1; 100]);
    assert!(refusal(&good[..600]).starts_with("truncated"));
    assert!(refusal(&good[..good.len() - 32]).starts_with("truncated"));
    assert!(parse(&good[..0x250]).is_err());
    assert!(refusal(&with(0x211, &[0])).contains("zImage"));
    assert!(refusal(&with(0x206, &[0x03, 0x01])).contains("older"));
    assert!(refusal(&with(0x230, &[3, 0, 0, 0])).contains("kernel_alignment"));
    assert!(refusal(&with(0x24c, &[0xff; 4])).contains("payload ends"));
    assert!(is(&good) && !is(&with(0x202, b"hdrs")) && !is(&good[..0x204]));
}
