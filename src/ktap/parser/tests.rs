use super::*;
use crate::ktap::Outcome;
use proptest::prelude::*;
use std::time::Duration;

fn parse(text: &str) -> Results {
    let mut parser = Parser::new();
    text.lines().for_each(|line| parser.line(line));
    parser.finish()
}

/// `path=outcome`, in order.
fn brief(results: &Results) -> Vec<String> {
    results.tests.iter().map(|t| format!("{}={}", t.path.join("/"), t.outcome)).collect()
}

fn test<'a>(results: &'a Results, name: &str) -> &'a Test {
    results.tests.iter().find(|t| t.path.last().is_some_and(|n| n == name)).unwrap()
}

/// The shape of the specification's own example.
#[test]
fn nested_three_deep() {
    let results = parse(
        "KTAP version 1\n1..1\n  KTAP version 1\n  1..3\n    KTAP version 1\n    1..1\n    # test_1: initializing\n    \
         ok 1 test_1\n  ok 1 example_1\n    KTAP version 1\n    1..2\n    ok 1 test_1 # SKIP test_1 skipped\n    \
         ok 2 test_2\n  ok 2 example_2\n    KTAP version 1\n    1..3\n    ok 1 test_1\n    # test_2: FAIL\n    \
         not ok 2 test_2\n    ok 3 test_3 # SKIP\n  not ok 3 example_3\nnot ok 1 main_test\n",
    );
    assert_eq!(
        brief(&results),
        [
            "main_test/example_1/test_1=pass",
            "main_test/example_2/test_1=skip",
            "main_test/example_2/test_2=pass",
            "main_test/example_3/test_1=pass",
            "main_test/example_3/test_2=fail",
            "main_test/example_3/test_3=skip",
        ]
    );
    assert!(results.problems.is_empty() && results.notes.is_empty(), "{results:?}");
    assert!(!results.passed());
    assert_eq!(results.tests[4].diagnostics, ["test_2: FAIL"]);
    assert_eq!(results.tests[0].diagnostics, ["test_1: initializing"]);
    assert_eq!(results.tests[1].reason, "test_1 skipped");
    assert_eq!(results.counts().to_string(), "3 passed, 1 failed, 2 skipped");
}

const KUNIT: &str = "\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: example
    # module: kunit_example_test
    1..3
    # simple_test: initializing
    ok 1 simple_test
    # skip_test: cleaning up
    ok 2 skip_test # SKIP this test should be skipped
        KTAP version 1
        # Subtest: params_test
    # params_test: initializing
        ok 1 value 3
usb 1-1: new high-speed device
        ok 2 value 1 # SKIP unsupported
    # params_test: pass:1 fail:0 skip:1 total:2
    ok 3 params_test
# example: pass:2 fail:0 skip:1 total:3
# Totals: pass:2 fail:0 skip:2 total:4
ok 1 example
    KTAP version 1
    # Subtest: time
    1..1
    # time_test.speed: slow
    ok 1 time_test
ok 2 time
";

#[test]
fn kunit() {
    let results = parse(KUNIT);
    assert!(results.passed(), "{results:?}");
    assert!(results.notes.is_empty(), "{results:?}");
    assert_eq!(
        brief(&results),
        [
            "example/simple_test=pass",
            "example/skip_test=skip",
            "example/params_test/value 3=pass",
            "example/params_test/value 1=skip",
            "time/time_test=pass",
        ]
    );
    assert_eq!(results.tests[3].diagnostics, ["usb 1-1: new high-speed device"]);
}

#[test]
fn kunit_before_ktap() {
    let results = parse(
        "TAP version 14\n1..2\n\t# Subtest: a\n\t1..1\n\tok 1 - x\nok 1 - a\n\t# Subtest: b\n\t1..1\n\tnot ok 1 - y\nnot ok 2 - b\n",
    );
    assert_eq!(brief(&results), ["a/x=pass", "b/y=fail"]);
    assert!(results.problems.is_empty() && results.notes.is_empty(), "{results:?}");
}

#[test]
fn tap_14_names_subtests_in_front_of_them() {
    let results = parse(
        "TAP version 14\n1..2\n# Subtest: a\n    ok 1 - x\n    1..1\nok 1 - a\n# Subtest: b\n    1..1\n    ok 1 - y\nok 2 - b\n",
    );
    assert!(results.passed(), "{results:?}");
    assert_eq!(brief(&results), ["a/x=pass", "b/y=pass"]);
}

/// kselftest's runner puts "# " before what a test writes.
#[test]
fn kselftest() {
    let results = parse(
        "TAP version 13\n1..4\n# timeout set to 45\n# selftests: timers: posix\n# TAP version 13\n# 1..3\n\
         # ok 1 one\n# # about two\n# not ok 2 two\n# ok 3 # SKIP no rtc\n# # Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0\n\
         not ok 1 selftests: timers: posix # exit=1\n\
         # selftests: timers: plain\n# just text\nok 2 selftests: timers: plain\n\
         # TAP version 13\n# 1..0 # SKIP must be root\nok 3 selftests: timers: root # SKIP\n\
         # TAP version 13\n# 1..2\n# ok 1 a\n#\nnot ok 4 selftests: timers: slow # TIMEOUT 45 seconds\n",
    );
    assert_eq!(
        brief(&results),
        [
            "selftests: timers: posix/one=pass",
            "selftests: timers: posix/two=fail",
            "selftests: timers: posix/3=skip",
            "selftests: timers: plain=pass",
            "selftests: timers: root=skip",
            "selftests: timers: slow/a=pass",
            "selftests: timers: slow=fail",
        ]
    );
    assert_eq!(test(&results, "two").diagnostics, ["about two"]);
    assert_eq!(test(&results, "selftests: timers: plain").diagnostics, ["selftests: timers: plain", "just text"]);
    assert_eq!(results.tests.last().unwrap().reason, "TIMEOUT 45 seconds");
    assert_eq!(results.problems, ["selftests: timers: slow: 2 tests are planned, 1 have a result"]);
}

#[test]
fn plans() {
    let passed = |text: &str| parse(text).passed();
    assert!(passed("KTAP version 1\n1..1\nok 1 a\n"));
    assert!(passed("KTAP version 1\nok 1 a\n1..1\n"), "the plan may be last");
    assert!(!passed("KTAP version 1\nok 1 a\n"), "no plan");
    assert!(!passed("KTAP version 1\n1..1\nok 1 a\nok 2 b\n"), "too many");
    assert!(!passed("KTAP version 1\n1..0\n"), "none");
    assert!(!passed("KTAP version 1\n1..1\nok 1 a\n1..2\n"), "two plans");
    assert!(!passed("KTAP version 1\n"), "nothing");
    assert!(passed("KTAP version 1\n1..1\n  KTAP version 1\n  ok 1 a\nok 1 b\n"), "a level inside needs none");
    assert!(!passed("KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 a\nok 1 b\n"), "but if it has one");
    assert!(!passed("KTAP version 1\n1..1\n  KTAP version 1\nok 1 b\n"), "no subtest");
    let skipped = parse("TAP version 13\n1..0 # SKIP not root\n");
    assert_eq!(brief(&skipped), ["all tests=skip"]);
    assert!(skipped.passed() && skipped.tests[0].reason == "not root");
}

#[test]
fn output_that_ends_is_never_a_pass() {
    for (at, _) in KUNIT.match_indices('\n') {
        let results = parse(&KUNIT[..at]);
        let whole = at + 1 == KUNIT.len();
        assert_eq!(results.passed(), whole, "cut at {at}: {results:?}");
        let planned = KUNIT[..at].contains("1..2");
        let error = results.tests.iter().any(|t| t.outcome == Outcome::Error && t.reason == NO_RESULT);
        assert_eq!(error, planned && !whole, "cut at {at}: {results:?}");
    }
    let cut = parse(&KUNIT[..KUNIT.find("    ok 2 skip_test").unwrap()]);
    assert_eq!(brief(&cut), ["example/simple_test=pass", "example/(test 2)=error"]);
    assert_eq!(cut.tests[1].diagnostics, ["skip_test: cleaning up"]);
}

#[test]
fn a_suite_that_crashes_is_an_error() {
    let results = parse(
        "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: a\n    1..2\n    ok 1 x\n    KTAP version 1\n    \
         # Subtest: b\n    1..1\n    ok 1 y\nok 2 b\n",
    );
    assert_eq!(brief(&results), ["a/x=pass", "a/(test 2)=error", "b/y=pass"]);
    let results = parse("KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a\n  1..1\n  ok 1 x\nok 1 other\n");
    assert_eq!(brief(&results), ["a/x=pass", "a=error", "other=pass"]);
}

#[test]
fn parents() {
    let lie = parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 a\nok 1 b\n");
    assert!(!lie.passed() && lie.problems == ["b: it says ok, but 1 of its subtests failed"], "{lie:?}");
    let own = parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\n# leak\nnot ok 1 b # exit=3\n");
    assert_eq!(brief(&own), ["b/a=pass", "b=fail"]);
    assert_eq!((own.tests[1].reason.as_str(), own.tests[1].diagnostics.len()), ("exit=3", 1));
    let expected =
        parse("KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  not ok 1 a # TODO\n  ok 2 c # XFAIL\nok 1 b\n");
    assert!(expected.passed(), "{expected:?}");
}

#[test]
fn numbers_and_totals() {
    let odd = parse("KTAP version 1\n1..3\nok 1 a\nok 1 b\nok 4 c\n");
    assert!(odd.passed());
    assert_eq!(odd.notes, ["the output: number 1 comes after 1", "the output: number 4 comes after 1"]);
    let lost = parse("TAP version 13\nok 1 a\n1..1\n# Totals: pass:1 fail:1 skip:0\n");
    assert_eq!(lost.problems, ["the output: by its totals 1 of 2 tests failed, its results are 0 of 1"]);
    let hidden = KUNIT.replace("# Totals: pass:2 fail:0", "# Totals: pass:1 fail:1");
    assert!(!parse(&hidden).passed());
}

#[test]
fn bail_out() {
    let results = parse("TAP version 13\n1..2\nok 1 a\nBail out! no memory\nok 2 b\nTAP version 13\n1..1\nok 1 c\n");
    assert_eq!(brief(&results), ["a=pass", "(test 2)=error"]);
    assert!(results.problems.contains(&"bail out: no memory".to_string()));
    let one = parse("TAP version 13\n1..2\n# TAP version 13\n# 1..2\n# Bail out! gone\nnot ok 1 a # exit=1\nok 2 b\n");
    assert_eq!(brief(&one), ["a=fail", "b=pass"]);
    assert!(!one.passed());
}

#[test]
fn several_outputs_in_one_log() {
    let text = "boot\nKTAP version 1\n1..1\nok 1 a\nnoise\nKTAP version 1\n1..1\nok 1 b\n";
    assert_eq!(brief(&parse(text)), ["a=pass", "b=pass"]);
    assert!(parse(text).passed());
    assert!(!parse(&text.replacen("ok 1 a", "", 1)).passed());
}

#[test]
fn no_ktap() {
    for text in ["", "ok 1 a\n1..1\n", "hello\nworld\n", "# TAP version 13\n"] {
        let results = parse(text);
        assert!(!results.passed() && results.problems[0].starts_with("no KTAP in the output"), "{text}");
    }
    assert!(!Results::default().passed());
}

#[test]
fn yaml_belongs_to_the_test_before_it() {
    let results =
        parse("TAP version 13\n1..2\nok 1 a\n  ---\n  duration_ms: 2.5\n  name: x\n  ...\n# about b\nnot ok 2 b\n");
    assert_eq!(results.tests[0].duration, Some(Duration::from_micros(2500)));
    assert_eq!(results.tests[0].diagnostics, ["name: x"]);
    assert_eq!(results.tests[1].diagnostics, ["about b"]);
    let open = parse("TAP version 13\n1..2\nok 1 a\n  ---\n  x\nnot ok 2 b\n");
    assert_eq!(brief(&open), ["a=pass", "b=fail"]);
}

#[test]
fn everything_is_bounded() {
    let mut parser = Parser::new();
    parser.line("KTAP version 1");
    let long = "x".repeat(1000);
    for i in 0..30_000 {
        parser.line(&format!("# {long}"));
        parser.line(&format!("ok {} {long}", i * 2));
    }
    let results = parser.finish();
    let kept: usize =
        results.tests.iter().map(|t| t.path[0].len() + t.diagnostics.iter().map(String::len).sum::<usize>()).sum();
    assert!(kept < 17 << 20 && !results.passed());
    assert!(results.problems.iter().any(|p| p.starts_with("there are too many tests")));
    assert!(results.notes.len() <= 101 && results.notes.last().unwrap().ends_with("more"));

    let mut deep = Parser::new();
    for i in 0..1000 {
        deep.line(&format!("{:i$}KTAP version 1", ""));
    }
    assert!(deep.levels.len() == DEPTH_MAX);
    assert!(deep.finish().problems[0].starts_with("tests are nested more than 16 deep"));
}

/// Lines that mean something, in any order.
fn soup() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("KTAP version 1"),
        Just("# Subtest: a"),
        Just("1..2"),
        Just("1..0 # SKIP x"),
        Just("ok 1 a"),
        Just("not ok 2 b # TODO"),
        Just("not ok"),
        Just("---"),
        Just("..."),
        Just("# Totals: pass:1 fail:9 skip:0 total:10"),
        Just("Bail out!"),
        Just("# text"),
        Just("")
    ];
    let indented = (prop_oneof![Just(""), Just("  "), Just("    "), Just("\t"), Just("# "), Just("  # # ")], line);
    proptest::collection::vec(indented.prop_map(|(a, b)| format!("{a}{b}")), 0..40).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(.{0,40}\n){0,20}") {
        parse(&text);
    }

    #[test]
    fn any_order_is_read(text in soup()) {
        let results = parse(&format!("KTAP version 1\n{text}"));
        prop_assert!(results.tests.iter().all(|t| !t.path.is_empty() && t.path.len() <= DEPTH_MAX));
        // A result that fails the run is never lost.
        let bad = text.lines().take_while(|l| *l != "Bail out!").any(|l| l.trim_start() == "not ok");
        prop_assert!(!(bad && results.passed()) || text.contains("---"), "{:?}", results);
    }
}
