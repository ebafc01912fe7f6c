use super::*;

fn word(bridge: &HostBridge, offset: u16) -> u32 {
    let mut bytes = [0; 4];
    bridge.read(offset, &mut bytes);
    u32::from_le_bytes(bytes)
}

#[test]
fn it_is_the_bridge_that_firmware_looks_for() {
    let bridge = HostBridge::new();
    assert_eq!((word(&bridge, 0), word(&bridge, 8) >> 8, word(&bridge, 0x2c)), (0x1237_8086, 0x06_0000, 0x1100_1af4));
}

#[test]
fn memory_attributes_are_kept_until_reset() {
    let bridge = HostBridge::new();
    for (at, value) in (0x59..0x60).zip([0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]) {
        bridge.write(at, &[value]);
    }
    bridge.write(0x72, &[0x4a]);
    assert_eq!(
        (word(&bridge, 0x58), word(&bridge, 0x5c), word(&bridge, 0x72) & 0xff),
        (0x3333_3000, 0x3333_3333, 0x4a)
    );
    bridge.reset().unwrap();
    assert_eq!((word(&bridge, 0x58), word(&bridge, 0x5c), word(&bridge, 0x72) & 0xff), (0, 0, 2));
}
