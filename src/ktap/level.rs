//! The tests between a version line and the result line they belong to, and what is found wrong with them.

use super::grammar::{Plan, Totals, Verdict, shortened};
use super::{Counts, Outcome, Results, Test};
use std::time::Duration;

/// Lines kept of what was written before a result, and bytes of each.
const DIAGNOSTICS_MAX: usize = 64;
const DIAGNOSTIC_MAX: usize = 512;
const TESTS_MAX: usize = 65536;
/// Bytes of all names, reasons and diagnostics kept.
const BYTES_MAX: usize = 16 << 20;
/// Problems and notes kept of each.
const REMARKS_MAX: usize = 100;

/// Where a line stands: "# " before it (a program's output shown by kselftest's runner), then columns of blanks.
pub type Key = (usize, usize);

/// What is wrong with an output, and how much of it has been kept.
#[derive(Debug, Default)]
pub struct Remarks {
    pub problems: Vec<String>,
    pub notes: Vec<String>,
    more_problems: u64,
    more_notes: u64,
    bytes: usize,
    tests: usize,
    full: bool,
}

impl Remarks {
    pub fn problem(&mut self, text: String) {
        remark(&mut self.problems, &mut self.more_problems, text);
    }

    pub fn note(&mut self, text: String) {
        remark(&mut self.notes, &mut self.more_notes, text);
    }

    /// Whether there is room for one more test; without it the whole cannot be trusted.
    fn room(&mut self, test: &Test) -> bool {
        let strings = test.path.iter().chain([&test.reason]).chain(&test.diagnostics);
        // A path grows by the names of the tests around it.
        let bytes = strings.map(|s| s.len() + size_of::<String>()).sum::<usize>() + size_of::<Test>();
        self.spend(bytes) && {
            self.tests += 1;
            self.tests <= TESTS_MAX || self.too_much()
        }
    }

    fn spend(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= BYTES_MAX || self.too_much()
    }

    fn too_much(&mut self) -> bool {
        if !std::mem::replace(&mut self.full, true) {
            self.problem("there are too many tests or too much text: results are left out".into());
        }
        false
    }

    pub fn results(mut self, tests: Vec<Test>) -> Results {
        for (list, more) in [(&mut self.problems, self.more_problems), (&mut self.notes, self.more_notes)] {
            if more > 0 {
                list.push(format!("and {more} more"));
            }
        }
        Results { tests, problems: self.problems, notes: self.notes }
    }
}

fn remark(list: &mut Vec<String>, more: &mut u64, text: String) {
    if list.len() < REMARKS_MAX {
        list.push(text);
    } else {
        *more = more.saturating_add(1);
    }
}

#[derive(Debug)]
pub struct Level {
    pub key: Key,
    /// From "# Subtest: name".
    pub name: Option<String>,
    /// The name that TAP 14 gives the next level, before it is indented.
    pub next_name: Option<String>,
    pub plan: Option<Plan>,
    /// Result lines.
    pub seen: u64,
    /// Tests that were begun and have none.
    lost: u64,
    last: u64,
    /// The tests of this level by their results.
    direct: Counts,
    /// The tests without subtests in and below this level.
    leaves: Counts,
    tests: Vec<Test>,
    diagnostics: Vec<String>,
    duration: Option<Duration>,
    /// The last line was the result of the last one of `tests`.
    pub after_result: bool,
}

impl Level {
    pub fn new(key: Key, name: Option<String>) -> Level {
        Level {
            key,
            name,
            next_name: None,
            plan: None,
            seen: 0,
            lost: 0,
            last: 0,
            direct: Counts::default(),
            leaves: Counts::default(),
            tests: Vec::new(),
            diagnostics: Vec::new(),
            duration: None,
            after_result: false,
        }
    }

    /// Nothing of it is there but its version line.
    pub fn fresh(&self) -> bool {
        self.name.is_none() && self.plan.is_none() && self.seen == 0 && self.diagnostics.is_empty()
    }

    pub fn complete(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| self.seen >= plan.count)
    }

    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or("the output")
    }

    pub fn text(&mut self, text: &str) {
        keep(&mut self.diagnostics, text);
    }

    pub fn took(&mut self, duration: Duration) {
        self.duration = Some(duration);
    }

    /// A line of the YAML block that TAP 13 has behind a result.
    pub fn text_after(&mut self, text: &str) {
        if let Some(test) = self.tests.last_mut() {
            keep(&mut test.diagnostics, text);
        }
    }

    pub fn took_before(&mut self, duration: Duration) {
        if let Some(test) = self.tests.last_mut() {
            test.duration = Some(duration);
        }
    }

    pub fn set_plan(&mut self, plan: Plan, remarks: &mut Remarks) {
        match &self.plan {
            Some(before) if before.count != plan.count => {
                remarks.problem(format!("{}: two plans, 1..{} and 1..{}", self.title(), before.count, plan.count));
            }
            Some(_) => remarks.note(format!("{}: the plan comes twice", self.title())),
            None => self.plan = Some(plan),
        }
    }

    /// Checks the producer's own sums: lines lost on the way show here.
    pub fn check(&self, totals: &Totals, remarks: &mut Remarks) {
        let ours = match totals.name {
            None => self.leaves,
            Some(name) if self.name.as_deref() == Some(name) => self.direct,
            Some(_) => return,
        };
        if totals.total > ours.total() || totals.bad > ours.bad() {
            remarks.problem(format!(
                "{}: by its totals {} of {} tests failed, its results are {} of {}",
                self.title(),
                totals.bad,
                totals.total,
                ours.bad(),
                ours.total()
            ));
        } else if (totals.total, totals.bad) != (ours.total(), ours.bad()) {
            remarks.note(format!("{}: its totals are not those of its results", self.title()));
        }
    }

    /// A result line, with the level of its subtests.
    pub fn result(&mut self, verdict: Verdict, child: Option<Level>, remarks: &mut Remarks) {
        self.next_name = None;
        let child = match child {
            Some(child) if child.name.as_ref().is_some_and(|n| !verdict.name.is_empty() && *n != verdict.name) => {
                self.lose(child, "no result", remarks);
                None
            }
            child => child,
        };
        self.seen = self.seen.saturating_add(1);
        self.number(&verdict, remarks);
        let number = verdict.number.unwrap_or(self.seen);
        let name = if verdict.name.is_empty() { number.to_string() } else { verdict.name };
        let mut test = Test {
            path: vec![name],
            outcome: verdict.outcome,
            reason: verdict.reason,
            diagnostics: std::mem::take(&mut self.diagnostics),
            duration: self.duration.take().or(verdict.duration),
        };
        self.after_result = match child {
            Some(child) => self.adopt(child, test, remarks),
            None => {
                self.direct.add(test.outcome);
                self.leaves.add(test.outcome);
                test.duration = test.duration.or(self.duration);
                self.keep(test, remarks)
            }
        };
    }

    fn number(&mut self, verdict: &Verdict, remarks: &mut Remarks) {
        let Some(number) = verdict.number else {
            remarks.note(format!("{}: a result has no number: {}", self.title(), verdict.name));
            return;
        };
        if number != self.last.saturating_add(1) {
            remarks.note(format!("{}: number {number} comes after {}", self.title(), self.last));
        }
        self.last = number;
    }

    fn keep(&mut self, test: Test, remarks: &mut Remarks) -> bool {
        let room = remarks.room(&test);
        if room {
            self.tests.push(test);
        }
        room
    }

    /// Takes in the subtests of a test whose result has come. Says whether the test itself is the last one kept.
    ///
    /// A test fails if one of its subtests does, whatever it says itself, as in kunit.py
    /// (tools/testing/kunit/kunit_parser.py, bubble_up_test_results: the counts of a test are those of its subtests).
    /// One that fails although none does is kept as a test of its own; kunit.py would lose it.
    fn adopt(&mut self, mut child: Level, mut test: Test, remarks: &mut Remarks) -> bool {
        let name = test.path.first().cloned().unwrap_or_default();
        child.name = Some(name.clone());
        child.check_plan(remarks);
        child.diagnostics.extend(test.diagnostics);
        child.diagnostics.truncate(DIAGNOSTICS_MAX);
        test.diagnostics = std::mem::take(&mut child.diagnostics);
        test.duration = test.duration.or(child.duration);
        let bad = child.leaves.bad() > 0;
        let empty = child.leaves.total() == 0;
        if empty && test.outcome == Outcome::Pass {
            // As kunit.py: "0 tests run!".
            (test.outcome, test.reason) = match child.plan.as_ref().and_then(|plan| plan.skip.clone()) {
                Some(why) => (Outcome::Skip, why),
                None => (Outcome::Error, "no subtest was run".into()),
            };
        }
        if bad && test.outcome == Outcome::Pass {
            remarks.problem(format!("{name}: it says ok, but {} of its subtests failed", child.leaves.bad()));
        }
        self.direct.add(if bad { Outcome::Fail } else { test.outcome });
        let own = empty || test.outcome.is_bad() && !bad;
        if own {
            self.leaves.add(test.outcome);
        }
        self.take_in(child, &name, remarks);
        own && self.keep(test, remarks)
    }

    fn take_in(&mut self, child: Level, name: &str, remarks: &mut Remarks) {
        self.leaves = sum(self.leaves, child.leaves);
        for mut test in child.tests {
            if remarks.spend(name.len() + size_of::<String>()) {
                test.path.insert(0, name.into());
                self.tests.push(test);
            }
        }
    }

    /// A test that was begun, and whose result never comes: never a pass.
    pub fn lose(&mut self, mut child: Level, reason: &str, remarks: &mut Remarks) {
        self.lost = self.lost.saturating_add(1);
        let name = child.name.clone().unwrap_or_else(|| format!("(test {})", self.seen.saturating_add(self.lost)));
        child.name = Some(name.clone());
        let inside = child.lost == 0 && child.plan.as_ref().is_some_and(|plan| child.seen < plan.count);
        child.check_plan(remarks);
        let mut diagnostics = std::mem::take(&mut child.diagnostics);
        if inside {
            child.missing(reason, std::mem::take(&mut diagnostics), remarks);
        }
        let own = !inside && child.lost == 0;
        self.take_in(child, &name, remarks);
        if own {
            let test =
                Test { path: vec![name], outcome: Outcome::Error, reason: reason.into(), diagnostics, duration: None };
            self.leaves.add(Outcome::Error);
            self.keep(test, remarks);
        }
    }

    fn missing(&mut self, reason: &str, diagnostics: Vec<String>, remarks: &mut Remarks) {
        let number = self.seen.saturating_add(1);
        self.leaves.add(Outcome::Error);
        let path = vec![format!("(test {number})")];
        let test = Test { path, outcome: Outcome::Error, reason: reason.into(), diagnostics, duration: None };
        self.keep(test, remarks);
    }

    fn check_plan(&self, remarks: &mut Remarks) {
        if let Some(plan) = &self.plan
            && plan.count != self.seen
        {
            let (planned, seen) = (plan.count, self.seen);
            remarks.problem(format!("{}: {planned} tests are planned, {seen} have a result", self.title()));
        }
    }

    /// The end of the outermost level. Here nothing but a plan tells that all tests ran; a level inside may go without
    /// one ("the test plan may be omitted"), as its parent's result line ends it.
    pub fn end(mut self, reason: &str, remarks: &mut Remarks) -> Vec<Test> {
        let none = self.seen == 0 && self.lost == 0;
        match self.plan.clone() {
            None => remarks.problem("the plan (1..N) is missing: nothing tells whether all tests ran".into()),
            Some(Plan { count: 0, skip: Some(why) }) if none => {
                let path = vec!["all tests".into()];
                let test = Test { path, outcome: Outcome::Skip, reason: why, diagnostics: Vec::new(), duration: None };
                self.keep(test, remarks);
            }
            Some(Plan { count: 0, .. }) if none => remarks.problem("no test was run: the plan is 1..0".into()),
            Some(plan) => {
                self.check_plan(remarks);
                // Of tests in tests, the innermost that was begun stands for all.
                if self.lost == 0 && self.seen < plan.count {
                    let diagnostics = std::mem::take(&mut self.diagnostics);
                    self.missing(reason, diagnostics, remarks);
                }
            }
        }
        self.tests
    }
}

fn keep(list: &mut Vec<String>, text: &str) {
    let text = shortened(text, DIAGNOSTIC_MAX);
    if list.len() < DIAGNOSTICS_MAX && !text.is_empty() {
        list.push(text.into());
    }
}

fn sum(a: Counts, b: Counts) -> Counts {
    Counts {
        pass: a.pass.saturating_add(b.pass),
        fail: a.fail.saturating_add(b.fail),
        skip: a.skip.saturating_add(b.skip),
        xfail: a.xfail.saturating_add(b.xfail),
        todo: a.todo.saturating_add(b.todo),
        error: a.error.saturating_add(b.error),
    }
}
