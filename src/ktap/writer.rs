//! Writes results as KTAP version 1, so that our own parser reads the same back and others read what they know.

use super::grammar::{self, NAME_MAX, REASON_MAX, shortened};
use super::parser::DEPTH_MAX;
use super::{Outcome, Results, Test};
use std::fmt::Write;

/// The results, nested by their paths; tests that follow each other and share the beginning of their path share a
/// parent. [`super::Parser`] reads the same results back, if names and texts are of one line.
pub fn write(results: &Results) -> String {
    let mut out = String::from("KTAP version 1\n");
    for (what, list) in [("problem", &results.problems), ("note", &results.notes)] {
        for text in list {
            line(&mut out, 0, &format!("# kiln {what}: {}", one_line(text, usize::MAX)));
        }
    }
    level(&mut out, &results.tests, 0);
    out
}

/// The tests of one level: `depth` names of their paths are those of the tests around them.
fn level(out: &mut String, tests: &[Test], depth: usize) {
    let groups = groups(tests, depth);
    line(out, depth, &format!("1..{}", groups.len()));
    for (i, group) in groups.iter().enumerate() {
        let number = i + 1;
        match group {
            Group::Leaf(test) => {
                about(out, depth, test);
                verdict(out, depth, number, &name(test, depth), test.outcome, &test.reason);
            }
            Group::Parent(subtests, own) => {
                let name = subtests.first().map(|test| name(test, depth)).unwrap_or_default();
                line(out, depth + 1, "KTAP version 1");
                line(out, depth + 1, &format!("# Subtest: {}", grammar::escaped(&name)));
                level(out, subtests, depth + 1);
                let (outcome, reason) = match own {
                    Some(test) => {
                        about(out, depth, test);
                        (test.outcome, test.reason.as_str())
                    }
                    None => (in_all(subtests), ""),
                };
                verdict(out, depth, number, &name, outcome, reason);
            }
        }
    }
}

enum Group<'a> {
    Leaf(&'a Test),
    /// Subtests, and the test around them if it failed by itself.
    Parent(&'a [Test], Option<&'a Test>),
}

fn groups(tests: &[Test], depth: usize) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    let mut rest = tests;
    while let Some((first, after)) = rest.split_first() {
        if is_leaf(first, depth) {
            groups.push(Group::Leaf(first));
            rest = after;
            continue;
        }
        let same = |test: &&Test| !is_leaf(test, depth) && name(test, depth) == name(first, depth);
        let count = rest.iter().take_while(same).count();
        let (subtests, after) = rest.split_at(count);
        let own = after.first().filter(|test| {
            is_leaf(test, depth)
                && name(test, depth) == name(first, depth)
                && test.outcome.is_bad()
                && !subtests.iter().any(|t| t.outcome.is_bad())
        });
        groups.push(Group::Parent(subtests, own));
        rest = after.get(usize::from(own.is_some())..).unwrap_or_default();
    }
    groups
}

fn is_leaf(test: &Test, depth: usize) -> bool {
    test.path.len() <= depth + 1 || depth + 1 >= DEPTH_MAX
}

/// The name at this depth; in the deepest level all names that are left.
fn name(test: &Test, depth: usize) -> String {
    let names = test.path.get(depth..).unwrap_or_default();
    let name = if depth + 1 >= DEPTH_MAX { names.join(".") } else { names.first().cloned().unwrap_or_default() };
    let name = one_line(&name, NAME_MAX);
    if name.is_empty() { "(no name)".into() } else { name }
}

/// How a test ended, by its subtests.
fn in_all(tests: &[Test]) -> Outcome {
    if tests.iter().any(|test| test.outcome.is_bad()) {
        Outcome::Fail
    } else if tests.iter().all(|test| test.outcome == Outcome::Skip) {
        Outcome::Skip
    } else {
        Outcome::Pass
    }
}

/// The diagnostics before a result.
fn about(out: &mut String, depth: usize, test: &Test) {
    if let Some(took) = test.duration {
        let nanos = took.as_nanos();
        line(out, depth, &format!("# duration_ms: {}.{:06}", nanos / 1_000_000, nanos % 1_000_000));
    }
    for text in &test.diagnostics {
        let text: String = text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
        let text = text.trim_end();
        let escape = if grammar::needs_escape(text) { "\\" } else { "" };
        line(out, depth, &format!("# {escape}{text}"));
    }
}

fn verdict(out: &mut String, depth: usize, number: usize, name: &str, outcome: Outcome, reason: &str) {
    // "not ok" is for what fails; XFAIL is "ok", as kselftest writes it (tools/testing/selftests/kselftest.h).
    let ok = if outcome.is_bad() || outcome == Outcome::Todo { "not ok" } else { "ok" };
    let data = grammar::data(outcome, &one_line(reason, REASON_MAX));
    let hash = if data.is_empty() { "" } else { " # " };
    line(out, depth, &format!("{ok} {number} - {}{hash}{data}", grammar::escaped(name)));
}

fn line(out: &mut String, depth: usize, text: &str) {
    // Writing to a String does not go wrong.
    let _ = writeln!(out, "{:1$}{text}", "", depth * 2);
}

fn one_line(text: &str, max: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    shortened(text.trim(), max).into()
}

#[cfg(test)]
mod tests;
