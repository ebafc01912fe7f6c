use super::*;

fn sample() -> State {
    let mut state = State { kernel_gs_base: 0x1234, ..Default::default() };
    (state.regs.rax, state.regs.rip, state.regs.rflags) = (7, 0xffff_ffff_8100_0000, 0x2_0000_0202);
    (state.sregs.cr3, state.sregs.gs.base, state.sregs.cs.selector) = (0x5000, 0x99, 0x10);
    (state.fpu.ftwx, state.fpu.fcw, state.fpu.last_ip) = (0b1000_0001, 0x37f, 0xffff_8888_0000_4444);
    state.fpu.xmm[15][3] = 0xab;
    state
}

/// (offset, length, group) of each register in target.xml.
fn described() -> Vec<(String, usize, usize)> {
    let value = |text: &str, key: &str| {
        let from = text.find(&format!("{key}=\"")).unwrap() + key.len() + 2;
        text[from..].split('"').next().unwrap().to_string()
    };
    let mut at = 0;
    let mut all = Vec::new();
    for reg in Amd64::target_description_xml().unwrap().split("<reg ").skip(1) {
        let len = value(reg, "bitsize").parse::<usize>().unwrap() / 8;
        all.push((value(reg, "name"), at, len));
        at += len;
    }
    assert_eq!(at, LEN);
    all
}

#[test]
fn each_register_is_where_the_description_says() {
    let wire = sample().wire();
    assert_eq!((wire.0.len(), wire.pc()), (LEN, 0xffff_ffff_8100_0000));
    let described = described();
    let shown = |name: &str| {
        let (_, at, len) = described.iter().find(|(n, ..)| n == name).unwrap();
        let mut bytes = [0; 8];
        bytes[..*len.min(&8)].copy_from_slice(&wire.0[*at..][..*len.min(&8)]);
        u64::from_le_bytes(bytes)
    };
    let wanted = [
        ("rax", 7),
        ("eflags", 0x202),
        ("cs", 0x10),
        ("fctrl", 0x37f),
        ("ftag", 0x3ffc),
        ("fiseg", 0x8888),
        ("fioff", 0x4444),
        ("xmm15", 0xab00_0000),
        ("gs_base", 0x99),
        ("k_gs_base", 0x1234),
        ("cr3", 0x5000),
    ];
    for (name, value) in wanted {
        assert_eq!(shown(name), value, "{name}");
    }
}

#[test]
fn what_is_written_back_unchanged_changes_nothing() {
    let before = sample();
    let mut after = before;
    after.apply(&sample().wire());
    assert_eq!(after, before);
}

#[test]
fn a_change_reaches_its_register_and_no_other() {
    for (name, at, len) in described() {
        let mut state = sample();
        let mut wire = state.wire();
        wire.0[at] ^= 4;
        state.apply(&wire);
        let changed: Vec<_> = state
            .wire()
            .0
            .iter()
            .zip(&sample().wire().0)
            .enumerate()
            .filter(|(_, (a, b))| a != b)
            .map(|(n, _)| n)
            .collect();
        // A tag is either empty or not: 0 becomes 3 and back.
        assert!(name == "ftag" || changed == [at], "{name}+{len}: {changed:?}");
    }
}

#[test]
fn too_few_bytes_are_refused() {
    assert_eq!(Wire::default().gdb_deserialize(&[0; LEN - 1]), Err(()));
    let mut state = sample();
    state.apply(&Wire(vec![0xff; 3]));
    assert_eq!(state, sample());
}
