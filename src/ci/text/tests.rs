use super::*;
use proptest::prelude::*;

#[test]
fn escape_sequences_are_gone_and_controls_are_visible() {
    let cases: [(&[u8], &str); 10] = [
        (b"\x1b[0;32m  OK  \x1b[0m Started", "  OK   Started"),
        (b"\x1b[2J\x1b[1;1Hx", "x"),
        (b"\x1b]0;title\x07x\x1b]0;title\x1b\\y", "xy"),
        (b"\x1b(Bx\x1bcy", "xy"),
        (b"a\tb\rc\0d\x7f", "a\tb\u{240d}c\u{2400}d\u{2421}"),
        (b"\x1b", "\u{241b}"),
        (b"\x1b]0;never ends", "\u{241b}]0;never ends"),
        (b"\x1b[12", "\u{241b}[12"),
        (b"\xff\xc2\x9bx", "\u{fffd}\u{fffd}x"),
        ("\u{202e}evil\u{fffe}".as_bytes(), "\u{fffd}evil\u{fffd}"),
    ];
    for (from, to) in cases {
        assert_eq!(clean(from), to, "{from:?}");
    }
}

#[test]
fn short_lines_are_whole_and_long_ones_marked() {
    assert_eq!(short("a\tbc", 4), "a bc");
    assert_eq!(short("abcde", 4), "abc…");
    assert_eq!(short("ääääää", 4), "äää…");
    assert_eq!(short("a\x1bb", 4), "a\u{241b}b");
}

/// Char of XML 1.0 (section 2.2), without the line breaks.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

proptest! {
    #[test]
    fn nothing_harmful_is_left(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let text = clean(&bytes);
        prop_assert!(text.chars().all(|c| is_xml(c) && (!c.is_control() || c == '\t')), "{text:?}");
    }

    #[test]
    fn plain_text_is_kept(text in "[ -~äß漢]{0,80}") {
        prop_assert_eq!(clean(text.as_bytes()), text);
    }
}
