//! A 3 x 2 matrix with a panic, a hang and a flaky entry, through all reports and back.

use super::*;
use crate::ci::judge::Verdict::{self, Error, Failed, Flaky, NotRun, Passed, Skipped};
use crate::ci::tests::Rig;
use crate::ktap::{Outcome, Parser, Results};
use quick_xml::Reader;
use quick_xml::events::Event;

const MATRIX: &str = r#"
[kernels.good]
[kernels.bad]
append = "bad"
[kernels.new]
[machines.small]
[machines.smp]
cpus = 2
[tests.boots]
command = "say 0 exited"
[tests.crash]
command = '''
printf '[    1.500000] Kernel panic - not syncing: <boom> \033[31m&\001\n[    1.600000] Call Trace:\n' >$klog
say 255 panic
'''
kernels = "bad"
machines = "smp"
[tests.hang]
command = "echo '[    2.000000] rcu: waiting' >$klog; say 124 timeout"
kernels = "bad"
machines = "small"
[tests.flaky]
command = "[ -e been ] || { touch been; say 3 exited; }; say 0 exited"
retry = 2
kernels = "new"
machines = "small"
[tests.broken]
command = "exit 1"
kernels = "new"
machines = "smp"
[tests.later]
command = "x"
skip = "not yet"
kernels = "new"
machines = "smp"
[tests.kunit]
command = '''printf 'KTAP version 1\n1..2\n    KTAP version 1\n    1..1\n    ok 1 inner\nok 1 outer\nnot ok 2 <other>\n'; say 0 exited'''
ktap = "output"
kernels = "good"
machines = "small"
"#;

fn ran() -> (Rig, Vec<Done>) {
    let rig = Rig::new(MATRIX);
    let mut files = Files::create(&rig.plan.out).unwrap();
    let done = rig.run_with(&mut |done| files.add(&rig.boots[done.index], done).map(drop));
    files.finish(&rig.boots, &done).unwrap();
    (rig, done)
}

fn read(rig: &Rig, name: &str) -> String {
    std::fs::read_to_string(rig.plan.out.join(name)).unwrap()
}

/// How deep an element is, its name, and its attributes.
type Element = (usize, String, Vec<(String, String)>);

fn elements(xml: &str) -> Vec<Element> {
    let mut reader = Reader::from_str(xml);
    let (mut all, mut depth) = (Vec::new(), 0);
    loop {
        let event = reader.read_event().unwrap();
        if let Event::Start(tag) | Event::Empty(tag) = &event {
            let attributes = tag.attributes().map(|a| {
                let a = a.unwrap();
                (a.key.as_ref().to_string(), quick_xml::escape::unescape(&a.value).unwrap().into_owned())
            });
            all.push((depth, tag.name().as_ref().to_string(), attributes.collect()));
        }
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    all
}

fn attribute<'a>(of: &'a [(String, String)], name: &str) -> &'a str {
    of.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).unwrap_or_default()
}

#[test]
fn verdicts_are_those_of_the_matrix() {
    let (rig, done) = ran();
    let all: Vec<(String, Verdict)> = done.iter().map(|d| (rig.boots[d.index].name(), d.verdict)).collect();
    let want = [
        ("good/small/boots", Passed),
        ("good/small/kunit", Failed),
        ("good/smp/boots", Passed),
        ("bad/small/boots", Passed),
        ("bad/small/hang", Failed),
        ("bad/smp/boots", Passed),
        ("bad/smp/crash", Failed),
        ("new/small/boots", Passed),
        ("new/small/flaky", Flaky),
        ("new/smp/boots", Passed),
        ("new/smp/broken", Error),
        ("new/smp/later", Skipped),
    ];
    assert_eq!(all, want.map(|(n, v)| (n.to_string(), v)));
}

#[test]
fn junit_can_be_parsed_and_counts_what_there_is() {
    let (rig, _) = ran();
    let text = read(&rig, "junit.xml");
    let all = elements(&text);
    let (_, root, of) = &all[0];
    assert_eq!(root, "testsuites");
    let numbers: Vec<&str> = ["tests", "failures", "errors", "skipped"].iter().map(|n| attribute(of, n)).collect();
    // 12 boots and the two tests of kunit; its own failure and that of its test; broken; later.
    assert_eq!(numbers, ["14", "4", "1", "1"]);
    let count = |name: &str| all.iter().filter(|(_, n, _)| n == name).count();
    let counted = ["testsuite", "testcase", "failure", "error", "skipped", "flakyFailure"].map(count);
    assert_eq!(counted, [6, 14, 4, 1, 1, 1]);
    let sums = |name: &str| -> usize {
        let suites = all.iter().filter(|(_, n, _)| n == "testsuite");
        suites.map(|(_, _, of)| attribute(of, name).parse::<usize>().unwrap()).sum()
    };
    assert_eq!(["tests", "failures", "errors", "skipped"].map(sums), [14, 4, 1, 1]);
    let panic = all.iter().find(|(_, n, of)| n == "failure" && attribute(of, "type") == "panic").unwrap();
    assert_eq!(attribute(&panic.2, "message"), "Kernel panic - not syncing: <boom> &\u{2401}");
    assert!(all.iter().any(|(_, n, of)| n == "testcase" && attribute(of, "name") == "<other>"));
    assert!(text.contains("Call Trace:") && text.contains("crash.log"), "{text}");
}

#[test]
fn json_has_a_line_for_each_boot() {
    let (rig, _) = ran();
    let text = read(&rig, "results.jsonl");
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 12);
    let of = |name: &str| lines.iter().find(|l| l["name"] == name).unwrap();
    let crash = of("bad/smp/crash");
    assert_eq!((crash["verdict"].as_str(), crash["attempts"][0]["status"].as_u64()), (Some("failed"), Some(255)));
    assert_eq!(crash["attempts"][0]["ended"], "panic");
    assert_eq!(crash["attempts"][0]["reports"][0]["kind"], "panic");
    assert_eq!(crash["release"], "6.1.0");
    let flaky = of("new/small/flaky");
    assert_eq!((flaky["verdict"].as_str(), flaky["attempts"].as_array().map(Vec::len)), (Some("flaky"), Some(2)));
    assert_eq!((flaky["attempts"][0]["status"].as_u64(), flaky["attempts"][1]["status"].as_u64()), (Some(3), Some(0)));
    assert_eq!(of("new/smp/later")["verdict"], "skipped");
    assert_eq!(of("new/smp/broken")["verdict"], "error");
    let kunit = &of("good/small/kunit")["attempts"][0]["ktap"];
    assert_eq!((kunit["passed"].as_u64(), kunit["failed"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn ktap_is_read_back_as_it_was_meant() {
    let (rig, _) = ran();
    let text = read(&rig, "results.ktap");
    let mut parser = Parser::new();
    text.lines().for_each(|line| parser.line(line));
    let Results { tests, problems, .. } = parser.finish();
    assert_eq!(problems, Vec::<String>::new(), "{text}");
    let outcome = |path: &str| {
        let of = tests.iter().find(|t| t.path.join("/") == path);
        of.unwrap_or_else(|| panic!("{path} is not in {text}")).outcome
    };
    assert_eq!(outcome("good/small/boots"), Outcome::Pass);
    assert_eq!(outcome("bad/smp/crash"), Outcome::Fail);
    assert_eq!(outcome("bad/small/hang"), Outcome::Fail);
    assert_eq!(outcome("new/small/flaky"), Outcome::Pass);
    assert_eq!(outcome("new/smp/broken"), Outcome::Error);
    assert_eq!(outcome("new/smp/later"), Outcome::Skip);
    assert_eq!(outcome("good/small/kunit/outer/inner"), Outcome::Pass);
    assert_eq!(tests.iter().filter(|t| t.outcome.is_bad()).count(), 4, "{text}");
}

#[test]
fn boots_that_were_not_run_are_in_every_report() {
    let rig = Rig::new("[tests.a]\ncommand='x'\n[tests.b]\ncommand='x'");
    rig.bell.write(1).unwrap();
    let mut files = Files::create(&rig.plan.out).unwrap();
    let done = rig.run_with(&mut |done| files.add(&rig.boots[done.index], done).map(drop));
    files.finish(&rig.boots, &done).unwrap();
    assert!(done.iter().all(|d| d.verdict == NotRun && d.tried.is_empty()));
    let xml = elements(&read(&rig, "junit.xml"));
    let skipped: Vec<_> = xml.iter().filter(|(_, n, _)| n == "skipped").collect();
    assert_eq!(skipped.len(), 2);
    assert_eq!(attribute(&skipped[0].2, "message"), "not run: interrupted");
    assert_eq!(read(&rig, "results.jsonl").matches(r#""verdict":"not-run""#).count(), 2);
    let mut parser = Parser::new();
    read(&rig, "results.ktap").lines().for_each(|line| parser.line(line));
    assert!(!parser.finish().passed());
}

#[test]
fn old_reports_are_gone_at_once_and_places_that_cannot_be_written_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    for name in [JUNIT, KTAP, JSON] {
        std::fs::write(dir.path().join(name), "old").unwrap();
    }
    let ours = Files::create(dir.path()).unwrap();
    let second = Files::create(dir.path()).err().unwrap().to_string();
    assert!(second.ends_with("another kiln ci writes there; see --out"), "{second}");
    drop(ours);
    assert!(!dir.path().join(JUNIT).exists() && !dir.path().join(KTAP).exists());
    assert_eq!(std::fs::read_to_string(dir.path().join(JSON)).unwrap(), "");
    std::fs::create_dir(dir.path().join(KTAP)).unwrap();
    assert!(Files::create(dir.path()).is_err());
    assert!(Files::create(&dir.path().join("gone")).is_err());
}
