use super::*;
use crate::platform::rig::{accesses, read, read8};
use proptest::prelude::*;

const RAM: u64 = 1 << 20;

fn memory() -> Memory {
    Memory::new(&[(0, RAM)], None).unwrap()
}

fn device(memory: &Memory) -> Arc<FwCfg> {
    let mut items = Items::new();
    items.item(key::CPUS, &4u16.to_le_bytes());
    items.file("opt/b", b"second");
    items.file("etc/a", b"first file");
    FwCfg::new(items, memory).unwrap()
}

fn select(device: &FwCfg, key: u16) {
    device.write(0, &key.to_le_bytes());
}

fn bytes(device: &FwCfg, n: usize) -> Vec<u8> {
    (0..n).map(|_| read8(device, 1)).collect()
}

/// Through the ports, one byte at a time; `read8` reads twice, so the stream is read through DMA where order matters.
fn stream(device: &FwCfg, n: usize) -> Vec<u8> {
    let one = |_| {
        let mut byte = [0xcc];
        device.read(1, &mut byte);
        byte[0]
    };
    (0..n).map(one).collect()
}

/// Puts a request at 0x1000 and carries it out; gives its control word afterwards.
fn dma(device: &FwCfg, memory: &Memory, control: u32, len: u32, address: u64) -> u32 {
    let mut request = control.to_be_bytes().to_vec();
    request.extend(len.to_be_bytes());
    request.extend(address.to_be_bytes());
    memory.write(0x1000, &request).unwrap();
    device.write(4, &0u32.to_be_bytes());
    device.write(8, &0x1000u32.to_be_bytes());
    u32::from_be_bytes(memory.read(0x1000).unwrap())
}

#[test]
fn items_are_read_byte_by_byte_and_end_in_zeros() {
    let device = device(&memory());
    assert_eq!(stream(&device, 4), b"QEMU", "selected from the start");
    select(&device, key::ID);
    assert_eq!(stream(&device, 4), [3, 0, 0, 0]);
    select(&device, key::CPUS | 0x4000);
    assert_eq!(stream(&device, 4), [4, 0, 0, 0]);
    for key in [0x1234, 0x8000] {
        select(&device, key);
        assert_eq!(bytes(&device, 3), [0, 0, 0], "no such item");
    }
    select(&device, key::ID);
    device.reset().unwrap();
    assert_eq!(stream(&device, 4), b"QEMU");
    assert_eq!(read::<8>(&*device, 4), *b"QEMU CFG");
    assert_eq!(read::<4>(&*device, 8), *b" CFG");
    assert_eq!(read::<2>(&*device, 0), [0xff, 0xff], "the selector is not read");
}

#[test]
fn the_directory_names_every_file() {
    let device = device(&memory());
    select(&device, key::DIRECTORY);
    assert_eq!(stream(&device, 4), [0, 0, 0, 2]);
    for (key, name, data) in [(0x20u16, "etc/a", &b"first file"[..]), (0x21, "opt/b", b"second")] {
        let entry = stream(&device, 64);
        assert_eq!(entry[..4], (data.len() as u32).to_be_bytes());
        assert_eq!(entry[4..8], [0, key as u8, 0, 0]);
        assert_eq!(String::from_utf8_lossy(&entry[8..]).trim_end_matches('\0'), name);
    }
    select(&device, 0x21);
    assert_eq!(stream(&device, 7), b"second\0");
}

#[test]
fn requests_select_read_and_skip() {
    let memory = memory();
    let device = device(&memory);
    memory.write(0x2000, &[0xee; 16]).unwrap();
    assert_eq!(dma(&device, &memory, 0x20 << 16 | SELECT | READ, 5, 0x2000), 0);
    assert_eq!(memory.read(0x2000).unwrap(), *b"first\xee");
    assert_eq!(dma(&device, &memory, SKIP, 1, 0), 0);
    assert_eq!(dma(&device, &memory, READ, 8, 0x2000), 0);
    assert_eq!(memory.read(0x2000).unwrap(), *b"file\0\0\0\0\xee");
    assert_eq!(dma(&device, &memory, 0x21 << 16 | SELECT, 0, 0), 0);
    assert_eq!(stream(&device, 6), b"second");
}

#[test]
fn what_cannot_be_done_is_answered_so() {
    let memory = memory();
    let device = device(&memory);
    assert_eq!(dma(&device, &memory, 0x20 << 16 | SELECT | WRITE, 4, 0x2000), ERROR);
    for (len, address) in [(1, RAM), (2, RAM - 1), (u32::MAX, 0), (16, u64::MAX - 3), (1, 1 << 40)] {
        assert_eq!(dma(&device, &memory, READ, len, address), ERROR, "{len:#x} at {address:#x}");
    }
    assert_eq!(dma(&device, &memory, SKIP, u32::MAX, 0), 0);
    assert_eq!(dma(&device, &memory, SKIP, u32::MAX, 0), 0);
    assert_eq!(stream(&device, 1), [0]);
    // A request that is nowhere, or half so.
    for (high, low) in [(1u32, 0u32), (0, RAM as u32 - 8), (u32::MAX, u32::MAX)] {
        device.write(4, &high.to_be_bytes());
        device.write(8, &low.to_be_bytes());
    }
}

#[test]
fn a_name_that_does_not_fit_is_an_error() {
    let mut items = Items::new();
    items.file(&"x".repeat(56), b"");
    assert!(FwCfg::new(items, &memory()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_access_does_harm(list in accesses(LEN), requests in prop::collection::vec(any::<[u8; 16]>(), 1..8)) {
        let memory = memory();
        let device = device(&memory);
        for (request, access) in requests.iter().cycle().zip(&list) {
            memory.write(0x1000, request).unwrap();
            access.run(&*device);
            device.write(4, &0x1000u64.to_be_bytes());
            let control = u32::from_be_bytes(memory.read(0x1000).unwrap());
            prop_assert!(control == 0 || control == ERROR);
        }
        device.reset().unwrap();
        prop_assert_eq!(stream(&device, 4), b"QEMU");
    }
}
