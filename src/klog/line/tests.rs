use super::*;
use proptest::prelude::*;

fn lines(chunks: &[&[u8]]) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = Lines::default();
    chunks.iter().for_each(|chunk| lines.feed(chunk, |line| out.push(line.to_string())));
    lines.finish(|line| out.push(line.to_string()));
    out
}

fn one(bytes: &str) -> Vec<String> {
    lines(&[bytes.as_bytes()])
}

#[test]
fn prefixes() {
    let at = Some(Duration::from_micros(1_234_567));
    for (line, level, at, caller, text) in [
        ("[    1.234567] hello", None, at, None, "hello"),
        ("<4>[    1.234567] hello", Some(4), at, None, "hello"),
        ("[    1.234567][    T1] hello", None, at, Some(Caller::Task(1)), "hello"),
        ("[    1.234567][   C12]  hello", None, at, Some(Caller::Cpu(12)), " hello"),
        ("[    T7] hello", None, None, Some(Caller::Task(7)), "hello"),
        ("[    1.234567]  <TASK>", None, at, None, " <TASK>"),
        ("[    1.234567] ", None, at, None, ""),
        ("[12345678.000001] x", None, Some(Duration::new(12_345_678, 1000)), None, "x"),
        ("<6>plain", Some(6), None, None, "plain"),
        ("[ 1.2] x", None, None, None, "[ 1.2] x"),
        ("[    1.23456x] x", None, None, None, "[    1.23456x] x"),
        ("[  OK  ] Started", None, None, None, "[  OK  ] Started"),
        ("[ INFO: x ]", None, None, None, "[ INFO: x ]"),
        ("<html>", None, None, None, "<html>"),
        ("", None, None, None, ""),
    ] {
        assert_eq!(Line::parse(line), Line { level, at, caller, text }, "{line}");
        assert_eq!(message(line), text);
    }
}

#[test]
fn line_ends_and_colours() {
    assert_eq!(one("aa\r\nbb\ncc\rdd\r\r\nee"), ["aa", "bb", "cc", "dd", "ee"]);
    assert_eq!(one("a\n\nb\r\n\r\n"), ["a", "", "b", ""]);
    assert_eq!(one("\x1b[0;31mred\x1b[0m \x1b[2J\x1b(Bx\x1b7y\x07\0z\t1\n"), ["red xyz\t1"]);
    assert_eq!(one("\x1b[31"), [""]);
    assert_eq!(lines(&[b"\xff\xfeok\n"]), ["\u{fffd}\u{fffd}ok"]);
}

#[test]
fn a_message_behind_a_prompt_is_a_line_of_its_own() {
    assert_eq!(one("# [   10.000001] Kernel panic\n"), ["# ", "[   10.000001] Kernel panic"]);
    assert_eq!(one("\x1b[32mroot#\x1b[0m [   10.000001][    T1] x\n"), ["root# ", "[   10.000001][    T1] x"]);
    assert_eq!(one("[    1.000000] [    2.000000] x\n"), ["[    1.000000] [    2.000000] x"]);
}

#[test]
fn a_line_without_end_is_cut() {
    let mut found = Vec::new();
    let mut lines = Lines::default();
    for _ in 0..1000 {
        lines.feed(&[b'x'; 1000], |_| unreachable!());
        assert!(lines.line.len() <= LINE_MAX);
    }
    lines.feed(b"\nnext\n", |line| found.push(line.len()));
    assert_eq!(found, [LINE_MAX, 4]);
}

proptest! {
    #[test]
    fn chunks_do_not_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(0x1b), Just(b'['), any::<u8>()], 0..200), cuts in proptest::collection::vec(0usize..200, 0..6)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.sort();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts {
            chunks.push(&bytes[from..cut]);
            from = cut;
        }
        chunks.push(&bytes[from..]);
        prop_assert_eq!(lines(&chunks), lines(&[&bytes]));
        prop_assert!(lines(&chunks).iter().all(|l| !l.contains(|c: char| c.is_ascii_control() && c != '\t')));
    }

    #[test]
    fn any_line_is_taken_apart(line in "[<\\[ 0-9.\\]TC>]{0,30}.{0,10}") {
        prop_assert!(line.ends_with(Line::parse(&line).text));
    }
}
