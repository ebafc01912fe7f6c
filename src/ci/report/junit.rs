//! JUnit XML as the CI servers read it: a suite for each kernel on each machine, a case for each boot and each of its
//! KTAP tests. Flaky boots are told as Maven's Surefire does, with `flakyFailure`.

use super::{excerpt, pairs};
use crate::ci::judge::Verdict;
use crate::ci::matrix::Boot;
use crate::ci::schedule::{Done, Tried};
use crate::ci::text::clean;
use crate::ktap::{Outcome, Test};
use anyhow::Result;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use std::time::Duration;

type Xml = Writer<Vec<u8>>;

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    time: Duration,
}

pub fn document(boots: &[Boot], all: &[Done]) -> Result<Vec<u8>> {
    let mut suites: Vec<(String, Vec<(&Boot, &Done)>)> = Vec::new();
    for (boot, done) in pairs(boots, all) {
        let name = format!("{}/{}", boot.kernel, boot.machine);
        match suites.iter_mut().find(|(n, _)| *n == name) {
            Some((_, list)) => list.push((boot, done)),
            None => suites.push((name, vec![(boot, done)])),
        }
    }
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 1);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    start(&mut xml, "testsuites", "kiln ci", count(pairs(boots, all)))?;
    for (name, cases) in &suites {
        start(&mut xml, "testsuite", name, count(cases.iter().copied()))?;
        for (boot, done) in cases {
            case(&mut xml, boot, done)?;
        }
        end(&mut xml, "testsuite")?;
    }
    end(&mut xml, "testsuites")?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

fn subtests(done: &Done) -> &[Test] {
    let last = done.tried.last().and_then(|t| t.seen.as_ref()).and_then(|s| s.ktap.as_ref());
    last.map_or(&[], |results| results.tests.as_slice())
}

fn count<'a>(cases: impl Iterator<Item = (&'a Boot, &'a Done)>) -> Counts {
    let mut counts = Counts::default();
    for (_, done) in cases {
        counts.tests += 1 + subtests(done).len();
        counts.time += done.time();
        match done.verdict {
            Verdict::Failed => counts.failures += 1,
            Verdict::Error => counts.errors += 1,
            Verdict::Skipped | Verdict::NotRun => counts.skipped += 1,
            Verdict::Passed | Verdict::Flaky => {}
        }
        for test in subtests(done) {
            match test.outcome {
                Outcome::Fail => counts.failures += 1,
                Outcome::Error => counts.errors += 1,
                Outcome::Skip => counts.skipped += 1,
                Outcome::Pass | Outcome::Xfail | Outcome::Todo => {}
            }
        }
    }
    counts
}

fn start(xml: &mut Xml, element: &str, name: &str, counts: Counts) -> Result<()> {
    let mut tag = BytesStart::new(element);
    tag.push_attribute(("name", name));
    let numbers = [
        ("tests", counts.tests),
        ("failures", counts.failures),
        ("errors", counts.errors),
        ("skipped", counts.skipped),
    ];
    for (key, number) in numbers {
        tag.push_attribute((key, number.to_string().as_str()));
    }
    tag.push_attribute(("time", seconds(counts.time).as_str()));
    Ok(xml.write_event(Event::Start(tag))?)
}

fn end(xml: &mut Xml, element: &str) -> Result<()> {
    Ok(xml.write_event(Event::End(BytesEnd::new(element)))?)
}

fn case(xml: &mut Xml, boot: &Boot, done: &Done) -> Result<()> {
    open_case(xml, &boot.test, &format!("{}.{}", boot.kernel, boot.machine), Some(done.time()))?;
    let reason = done.reasons.join("; ");
    match done.verdict {
        Verdict::Skipped => element(xml, "skipped", &[("message", &reason)], "")?,
        Verdict::NotRun => element(xml, "skipped", &[("message", &format!("not run: {reason}"))], "")?,
        _ => {}
    }
    let bad = done.tried.iter().filter(|t| matches!(t.verdict, Verdict::Failed | Verdict::Error));
    for (n, tried) in bad.enumerate() {
        let name = match (done.verdict, tried.verdict, n) {
            (Verdict::Flaky, Verdict::Error, _) => "flakyError",
            (Verdict::Flaky, _, _) => "flakyFailure",
            // The boot as a whole is what its last attempt was.
            (Verdict::Error, _, 0) => "error",
            (_, _, 0) => "failure",
            (_, Verdict::Error, _) => "rerunError",
            _ => "rerunFailure",
        };
        let text = excerpt(tried).join("\n");
        let message = tried.reasons.join("; ");
        element(xml, name, &[("message", &message), ("type", kind(tried))], &text)?;
    }
    if let Some(tried) = done.telling() {
        let tail = tried.seen.as_ref().map(|s| s.tail.join("\n")).unwrap_or_default();
        element(xml, "system-out", &[], &format!("{tail}\n{}", tried.log.display()))?;
    }
    end(xml, "testcase")?;
    let class = boot.name().replace('/', ".");
    subtests(done).iter().try_for_each(|test| subcase(xml, &class, test))
}

/// The kind of failure, for those that group by it.
fn kind(tried: &Tried) -> &str {
    let seen = tried.seen.as_ref();
    let report = seen.and_then(|s| s.reports.first()).map(|r| r.kind.as_str());
    let ended = seen.and_then(|s| match &s.end {
        super::super::attempt::End::Told(told) => Some(told.ended.word()),
        _ => None,
    });
    report.or(ended).unwrap_or("kiln")
}

fn subcase(xml: &mut Xml, class: &str, test: &Test) -> Result<()> {
    open_case(xml, &test.path.join("."), class, test.duration)?;
    let text = test.diagnostics.join("\n");
    let message = [("message", test.reason.as_str())];
    match test.outcome {
        Outcome::Fail => element(xml, "failure", &message, &text)?,
        Outcome::Error => element(xml, "error", &message, &text)?,
        Outcome::Skip => element(xml, "skipped", &message, "")?,
        Outcome::Pass | Outcome::Xfail | Outcome::Todo => {}
    }
    end(xml, "testcase")
}

fn open_case(xml: &mut Xml, name: &str, class: &str, time: Option<Duration>) -> Result<()> {
    let mut tag = BytesStart::new("testcase");
    tag.push_attribute(("name", harmless(name).as_str()));
    tag.push_attribute(("classname", class));
    tag.push_attribute(("time", seconds(time.unwrap_or_default()).as_str()));
    Ok(xml.write_event(Event::Start(tag))?)
}

fn element(xml: &mut Xml, name: &str, attributes: &[(&str, &str)], text: &str) -> Result<()> {
    let mut tag = BytesStart::new(name);
    for (key, value) in attributes {
        tag.push_attribute((*key, harmless(value).as_str()));
    }
    if text.is_empty() {
        return Ok(xml.write_event(Event::Empty(tag))?);
    }
    xml.write_event(Event::Start(tag))?;
    xml.write_event(Event::Text(BytesText::new(&harmless(text))))?;
    end(xml, name)
}

/// What XML 1.0 allows, line breaks kept.
fn harmless(text: &str) -> String {
    text.split('\n').map(|line| clean(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
