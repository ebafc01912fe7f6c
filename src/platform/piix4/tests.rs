use super::*;

fn word(function: &PowerManagement, offset: u16) -> u32 {
    let mut bytes = [0; 4];
    function.read(offset, &mut bytes);
    u32::from_le_bytes(bytes)
}

#[test]
fn firmware_finds_the_ports_where_they_stay() {
    let function = PowerManagement::new(0x600);
    let seen = || [0, 0x40, 0x58, 0x80].map(|at| word(&function, at));
    let expected = [0x7113_8086, 0x601, 0x200_0000, 1];
    assert_eq!(seen(), expected);
    for at in [0x40, 0x58, 0x80] {
        function.write(at, &0xb001u32.to_le_bytes());
    }
    assert_eq!(seen(), expected);
    function.write(4, &[7]);
    function.reset().unwrap();
    assert_eq!((seen(), word(&function, 4) & 0xffff), (expected, 0));
}
