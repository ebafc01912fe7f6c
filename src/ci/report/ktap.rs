//! The whole matrix as KTAP: kernels, their machines, their tests, and what those told in KTAP themselves.

use super::{excerpt, pairs};
use crate::ci::judge::Verdict;
use crate::ci::matrix::Boot;
use crate::ci::schedule::Done;
use crate::ktap::{Outcome, Results, Test, write};

pub fn document(boots: &[Boot], all: &[Done]) -> String {
    let tests = pairs(boots, all).flat_map(|(boot, done)| tests(boot, done)).collect();
    write(&Results { tests, ..Results::default() })
}

fn tests(boot: &Boot, done: &Done) -> Vec<Test> {
    let path = vec![boot.kernel.clone(), boot.machine.clone(), boot.test.clone()];
    let results = done.tried.last().and_then(|t| t.seen.as_ref()).and_then(|s| s.ktap.as_ref());
    let below = |test: &Test| Test { path: [path.as_slice(), &test.path].concat(), ..test.clone() };
    let mut tests: Vec<Test> = results.map(|r| r.tests.iter().map(below).collect()).unwrap_or_default();
    // What its tests say already is not said again.
    let told = tests.iter().any(|t| t.outcome.is_bad()) || (done.verdict.is_fine() && !tests.is_empty());
    if !told {
        tests.push(own(path, done));
    }
    tests
}

fn own(path: Vec<String>, done: &Done) -> Test {
    let (outcome, word) = match done.verdict {
        Verdict::Passed => (Outcome::Pass, ""),
        Verdict::Flaky => (Outcome::Pass, "flaky: "),
        Verdict::Failed => (Outcome::Fail, ""),
        Verdict::Error => (Outcome::Error, ""),
        Verdict::Skipped => (Outcome::Skip, ""),
        // A skipped test is no failure, and this one has no result.
        Verdict::NotRun => (Outcome::Error, "not run: "),
    };
    let reason = super::super::text::short(&format!("{word}{}", done.reasons.join("; ")), super::super::text::SHOWN);
    let diagnostics =
        done.tried.iter().filter(|t| !t.verdict.is_fine()).flat_map(excerpt).take(super::QUOTED).collect();
    Test { path, outcome, reason, diagnostics, duration: Some(done.time()).filter(|t| !t.is_zero()) }
}
