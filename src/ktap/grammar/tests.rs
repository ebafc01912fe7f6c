use super::*;
use proptest::prelude::*;

fn result(line: &str) -> Verdict {
    match item(line) {
        Item::Result(verdict) => verdict,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn results() {
    for (line, number, name, outcome, reason) in [
        ("ok 1 test_case_name", Some(1), "test_case_name", Outcome::Pass, ""),
        ("not ok 1 test_case_name", Some(1), "test_case_name", Outcome::Fail, ""),
        ("ok 12 - a b", Some(12), "a b", Outcome::Pass, ""),
        ("ok 1 t # SKIP no device", Some(1), "t", Outcome::Skip, "no device"),
        ("not ok 1 t # SKIP", Some(1), "t", Outcome::Skip, ""),
        ("ok 1 # SKIP root needed", Some(1), "", Outcome::Skip, "root needed"),
        ("ok 3 t # skip lower", Some(3), "t", Outcome::Skip, "lower"),
        ("ok 3 t #SKIP tight", Some(3), "t", Outcome::Skip, "tight"),
        ("not ok 2 t # TIMEOUT 45 seconds", Some(2), "t", Outcome::Fail, "TIMEOUT 45 seconds"),
        ("not ok 2 t # ERROR no memory", Some(2), "t", Outcome::Error, "no memory"),
        ("not ok 2 t # error no memory", Some(2), "t", Outcome::Error, "no memory"),
        ("ok 2 t # ERROR no memory", Some(2), "t", Outcome::Error, "ERROR no memory"),
        ("ok 2 t # error handling", Some(2), "t", Outcome::Pass, "error handling"),
        ("ok 2 t # TIMEOUT 1", Some(2), "t", Outcome::Error, "TIMEOUT 1"),
        ("not ok 2 t # XFAIL known", Some(2), "t", Outcome::Xfail, "known"),
        ("ok 2 # XFAIL known", Some(2), "", Outcome::Xfail, "known"),
        ("not ok 2 t # TODO later", Some(2), "t", Outcome::Todo, "later"),
        ("ok 2 t # TODO later", Some(2), "t", Outcome::Pass, "TODO later"),
        ("not ok 2 t # todo list is wrong", Some(2), "t", Outcome::Fail, "todo list is wrong"),
        ("not ok 2 t # skip list is wrong", Some(2), "t", Outcome::Fail, "skip list is wrong"),
        ("not ok 2 t # SKIPPING", Some(2), "t", Outcome::Fail, "SKIPPING"),
        ("ok 5 check return code # rcode=0", Some(5), "check return code", Outcome::Pass, "rcode=0"),
        ("ok 5 queue #2 of 3", Some(5), "queue #2 of 3", Outcome::Pass, ""),
        ("ok 5 a#b", Some(5), "a#b", Outcome::Pass, ""),
        (r"ok 5 a \# b \\ c # d", Some(5), r"a # b \ c", Outcome::Pass, "d"),
        (r"ok 5 C:\temp", Some(5), r"C:\temp", Outcome::Pass, ""),
        ("ok - no number", None, "no number", Outcome::Pass, ""),
        ("not ok", None, "", Outcome::Fail, ""),
        ("ok 7", Some(7), "", Outcome::Pass, ""),
        ("ok 99999999999999999999 big", None, "big", Outcome::Pass, ""),
    ] {
        let found = result(line);
        let wanted = (number, name.to_string(), outcome, reason.to_string());
        assert_eq!((found.number, found.name, found.outcome, found.reason), wanted, "{line}");
    }
}

#[test]
fn prose_is_no_result() {
    for line in [
        "ok computer",
        "okay",
        "not okay 1",
        "not  ok 1",
        "ok1 x",
        "oks 1",
        "OK 1 x",
        "1..",
        "1..x",
        "2..3",
        "1..2x",
        "Bail out",
    ] {
        assert!(matches!(item(line), Item::Text(_)), "{line}: {:?}", item(line));
    }
}

#[test]
fn other_lines() {
    assert_eq!(item("KTAP version 1"), Item::Version);
    assert_eq!(item("TAP version 14"), Item::Version);
    assert!(matches!(item("KTAP version one"), Item::Text(_)));
    assert_eq!(item("1..4"), Item::Plan(Plan { count: 4, skip: None }));
    assert_eq!(item("1..0 # SKIP not root"), Item::Plan(Plan { count: 0, skip: Some("not root".into()) }));
    assert_eq!(item("# Subtest: a b"), Item::Subtest("a b".into()));
    assert_eq!(item("Bail out! disk is gone"), Item::Bail("disk is gone"));
    assert_eq!(item("# module: kunit_test"), Item::Attribute);
    assert_eq!(item("# time_test.speed: slow"), Item::Attribute);
    assert_eq!(item("# module: is not a word"), Item::Text("module: is not a word".into()));
    assert_eq!(item("# Totals: pass:1 fail:2 skip:3 total:6"), Item::Totals(Totals { name: None, bad: 2, total: 6 }));
    let kselftest = "# Totals: pass:8 fail:1 xfail:1 xpass:0 skip:2 error:1";
    assert_eq!(item(kselftest), Item::Totals(Totals { name: None, bad: 2, total: 13 }));
    assert_eq!(
        item("# a b: pass:1 fail:0 skip:0 total:1"),
        Item::Totals(Totals { name: Some("a b"), bad: 0, total: 1 })
    );
    assert_eq!(item("# duration_ms: 12.5"), Item::Duration(Duration::from_micros(12_500)));
    assert_eq!(result("ok 1 a # time=12ms").duration, Some(Duration::from_millis(12)));
    assert_eq!(result("ok 1 a # time=1.5s").duration, Some(Duration::from_millis(1500)));
    assert_eq!(result("ok 1 a # time=99999999999999999999s").duration, None);
}

proptest! {
    #[test]
    fn any_line_is_read(line in ".{0,200}") {
        item(&line);
        item(&format!("ok 1 {line}"));
        item(&format!("# {line}"));
    }

    /// Whatever the reason says, it does not change the outcome.
    #[test]
    fn reasons_are_read_back(reason in r"\\{0,3}(SKIP|skip|TODO|TIMEOUT|ERROR|XFAIL|error)?:?[ a-z#\\]{0,20}") {
        let reason = reason.trim();
        for outcome in [Outcome::Pass, Outcome::Fail, Outcome::Skip, Outcome::Xfail, Outcome::Todo, Outcome::Error] {
            let ok = if outcome.is_bad() || outcome == Outcome::Todo { "not ok" } else { "ok" };
            let verdict = result(format!("{ok} 1 - name # {}", data(outcome, reason)).trim_end());
            prop_assert_eq!((verdict.outcome, verdict.reason.as_str()), (outcome, reason));
        }
    }
}
