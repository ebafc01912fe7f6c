use super::*;

/// What goes out, whether the guest's report was complete, and whether all is well.
fn hear(text: &[u8]) -> (String, Result<usize, String>, bool) {
    let mut out = Vec::new();
    let mut report = Report::new(&mut out);
    let mut heard = Heard::default();
    heard.listen(text, "pci", &mut report);
    let passed = report.finish().expect("a vector takes everything");
    (String::from_utf8(out).expect("text"), heard.verdict(), passed)
}

#[test]
fn passes_tests_on_under_new_numbers() {
    let (out, verdict, passed) = hear(b"1..2\n# so far\nok 1 - a: b\nok 2 - c\n");
    assert_eq!(out, "TAP version 13\n# so far\nok 1 - pci: a: b\nok 2 - pci: c\n1..2\n# 2 of 2 passed\n");
    assert_eq!((verdict, passed), (Ok(0), true));
}

#[test]
fn a_failed_test_keeps_its_reason() {
    let (out, verdict, passed) = hear(b"1..2\nnot ok 1 - a # byte 0x1 is wrong\nok 2 - b\n");
    assert!(out.contains("\nnot ok 1 - pci: a # byte 0x1 is wrong\n"), "{out}");
    assert_eq!((verdict, passed), (Ok(1), false));
}

#[test]
fn an_incomplete_report_is_a_failure() {
    for (text, why) in [
        ("", "the guest printed no plan"),
        ("ok 1 - a\n", "the guest printed no plan"),
        ("1..0\n", "the guest planned no test"),
        ("1..2\nok 1 - a\n", "1 tests of 2 were run"),
        ("1..1\nok 1 - a\nok 2 - b\n", "2 tests of 1 were run"),
        ("1..2\nok 1 - a\nok 3 - b\n", "test 2 came as number 3"),
        ("ok 1 - a\n1..1\n", "the plan did not come first"),
        ("1..1\n1..1\nok 1 - a\n", "the plan did not come first"),
        ("1..1\nBail out! exception 14\n", "exception 14"),
        ("1..1\nok 1 - a\nk 2 - b\n", "the guest printed \"k 2 - b\""),
    ] {
        assert_eq!(hear(text.as_bytes()).1, Err(why.to_string()), "{text:?}");
    }
}

#[test]
fn what_a_broken_guest_prints_does_no_harm() {
    let (out, verdict, _) = hear(b"1..1\nnot ok 1 - a # \x1b[2J\xff\n\x00\n");
    assert!(!out.contains('\x1b'), "{out:?}");
    assert!(verdict.is_err());
    let endless = std::io::repeat(b'x');
    let mut out = Vec::new();
    let mut heard = Heard::default();
    heard.listen(endless, "pci", &mut Report::new(&mut out));
    assert!(heard.verdict().is_err());
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut report = Report::new(Closed);
    report.test("a", Ok(()));
    assert!(report.finish().is_err());
}
