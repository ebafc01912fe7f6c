use super::*;

/// What the guest gets and what kiln is told, with the input cut at `cut`.
fn typed(text: &[u8], cut: usize) -> (Vec<u8>, Vec<Command>) {
    let (mut keys, mut guest, mut commands) = (Keys::default(), Vec::new(), Vec::new());
    let (first, second) = text.split_at(cut);
    keys.sort(first, &mut guest, |c| commands.push(c));
    keys.sort(second, &mut guest, |c| commands.push(c));
    (guest, commands)
}

#[test]
fn ctrl_a_starts_a_command_wherever_the_input_is_cut() {
    for (text, guest, commands) in [
        (&b"ls\r"[..], &b"ls\r"[..], vec![]),
        (b"a\x01xb", b"ab", vec![Command::Quit]),
        (b"\x01c\x01h\x01?", b"", vec![Command::Help; 3]),
        (b"1\x01a2\x01\x013", b"1\x012\x013", vec![]),
        (b"p\x01zq", b"pq", vec![]),
        (b"\x01zx", b"x", vec![]),
        (b"\x00\x03\x1a\xff\x1b[A", b"\x00\x03\x1a\xff\x1b[A", vec![]),
    ] {
        for cut in 0..=text.len() {
            assert_eq!(typed(text, cut), (guest.to_vec(), commands.clone()), "{text:?} cut at {cut}");
        }
    }
}
