use super::*;
use crate::ktap::Parser;
use proptest::prelude::*;
use std::time::Duration;

fn read(text: &str) -> Results {
    let mut parser = Parser::new();
    text.lines().for_each(|line| parser.line(line));
    parser.finish()
}

fn test(path: &[&str], outcome: Outcome, reason: &str) -> Test {
    let path = path.iter().map(|name| name.to_string()).collect();
    Test { path, outcome, reason: reason.into(), diagnostics: Vec::new(), duration: None }
}

#[test]
fn the_report_of_two_boots() {
    let mut panics = test(&["v6.12 2 cpus", "smoke"], Outcome::Fail, "Kernel panic - not syncing: no init");
    panics.diagnostics.push("CPU: 0 PID: 1".into());
    panics.duration = Some(Duration::from_micros(1_234_567));
    let tests = vec![
        test(&["v6.1 1 cpu", "smoke"], Outcome::Pass, ""),
        test(&["v6.1 1 cpu", "net"], Outcome::Skip, "no tap"),
        panics,
    ];
    let results = Results { tests, ..Results::default() };
    let text = write(&results);
    assert_eq!(
        text,
        "KTAP version 1\n1..2\n  KTAP version 1\n  # Subtest: v6.1 1 cpu\n  1..2\n  ok 1 - smoke\n  \
         ok 2 - net # SKIP no tap\nok 1 - v6.1 1 cpu\n  KTAP version 1\n  # Subtest: v6.12 2 cpus\n  1..1\n  \
         # duration_ms: 1234.567000\n  # CPU: 0 PID: 1\n  not ok 1 - smoke # Kernel panic - not syncing: no init\n\
         not ok 2 - v6.12 2 cpus\n"
    );
    assert_eq!(read(&text), results);
}

#[test]
fn problems_stay_problems() {
    let results = Results {
        tests: vec![test(&["a"], Outcome::Pass, "")],
        problems: vec!["the run was interrupted".into()],
        notes: vec!["odd".into()],
    };
    let back = read(&write(&results));
    assert_eq!(back, results);
    assert!(!back.passed());
    assert!(!read(&write(&Results::default())).passed());
}

#[test]
fn names_of_several_lines_become_one() {
    let results = Results { tests: vec![test(&["a\nok 2 b", ""], Outcome::Fail, "x\nok 3 c")], ..Results::default() };
    let back = read(&write(&results));
    assert_eq!(back.tests, [test(&["a ok 2 b", "(no name)"], Outcome::Fail, "x ok 3 c")]);
    assert!(back.problems.is_empty());
}

#[test]
fn deeper_than_can_be_read_is_joined() {
    let path = vec!["n".to_string(); 40];
    let results = Results { tests: vec![Test { path, ..test(&[], Outcome::Pass, "") }], ..Results::default() };
    let back = read(&write(&results));
    assert!(back.passed() && back.tests[0].path.len() == DEPTH_MAX, "{back:?}");
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        "(SKIP|TODO|TIMEOUT|ERROR|XFAIL|ok|not ok|1\\.\\.1|#|\\\\|KTAP version 1|Subtest: a|module: x| ){1,4}",
        "\\PC{0,10}",
    ]
    .prop_map(|s: String| s.trim().to_string())
}

fn outcome() -> impl Strategy<Value = Outcome> {
    use Outcome::*;
    prop_oneof![Just(Pass), Just(Fail), Just(Skip), Just(Xfail), Just(Todo), Just(Error)]
}

fn tests() -> impl Strategy<Value = Vec<Test>> {
    let name =
        prop_oneof![Just("a".to_string()), Just("b".to_string()), text()].prop_filter("no name", |n| !n.is_empty());
    let lines = proptest::collection::vec(text().prop_filter("nothing", |t| !t.is_empty()), 0..4);
    let took = proptest::option::of((0..10_000u64, 0..1_000_000_000u32).prop_map(|(s, n)| Duration::new(s, n)));
    let test = (proptest::collection::vec(name, 1..5), outcome(), text(), lines, took);
    let test = test.prop_map(|(path, outcome, reason, diagnostics, duration)| Test {
        path,
        outcome,
        reason,
        diagnostics,
        duration,
    });
    proptest::collection::vec(test, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn what_is_written_is_read_back(tests in tests()) {
        let results = Results { tests, ..Results::default() };
        let text = write(&results);
        prop_assert_eq!(read(&text), results, "{}", text);
    }
}
