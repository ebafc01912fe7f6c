//! KTAP (Documentation/dev-tools/ktap.rst), the format in which kernel tests tell their results.
//!
//! [`Parser`] reads what kselftest, KUnit and other TAP 13/14 producers really write; [`write`] writes it.

mod grammar;
mod level;
mod parser;
mod writer;

pub use parser::Parser;
pub use writer::write;

use std::fmt;
use std::time::Duration;

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Pass,
    /// "not ok", with or without TIMEOUT.
    Fail,
    Skip,
    /// Expected to fail: no failure of the run.
    Xfail,
    /// Not expected to pass yet, and did not: no failure of the run.
    Todo,
    /// There is no result to trust: an ERROR directive, or the output ended first.
    Error,
}

impl Outcome {
    /// It fails the run.
    pub fn is_bad(self) -> bool {
        matches!(self, Outcome::Fail | Outcome::Error)
    }

    pub fn name(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Fail => "fail",
            Outcome::Skip => "skip",
            Outcome::Xfail => "xfail",
            Outcome::Todo => "todo",
            Outcome::Error => "error",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A test without subtests, or one that failed although none of its subtests did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The names from the outermost test to this one; a test without a name has its number.
    pub path: Vec<String>,
    pub outcome: Outcome,
    /// What stands behind the directive or the `#` of the result line; may be empty.
    pub reason: String,
    /// What was written before the result, without the leading `# `; at most 64 lines of 512 bytes.
    pub diagnostics: Vec<String>,
    /// Where the output tells it.
    pub duration: Option<Duration>,
}

/// How many tests ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub pass: u64,
    pub fail: u64,
    pub skip: u64,
    pub xfail: u64,
    pub todo: u64,
    pub error: u64,
}

impl Counts {
    pub fn add(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Pass => &mut self.pass,
            Outcome::Fail => &mut self.fail,
            Outcome::Skip => &mut self.skip,
            Outcome::Xfail => &mut self.xfail,
            Outcome::Todo => &mut self.todo,
            Outcome::Error => &mut self.error,
        };
        *count = count.saturating_add(1);
    }

    /// Failures and errors.
    pub fn bad(&self) -> u64 {
        self.fail.saturating_add(self.error)
    }

    pub fn total(&self) -> u64 {
        [self.pass, self.skip, self.xfail, self.todo].iter().fold(self.bad(), |sum, n| sum.saturating_add(*n))
    }
}

impl fmt::Display for Counts {
    /// "3 passed, 1 failed": what is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.pass, "passed"),
            (self.fail, "failed"),
            (self.error, "without a result"),
            (self.skip, "skipped"),
            (self.xfail, "failed as expected"),
            (self.todo, "to do"),
        ];
        if self.total() == 0 {
            return f.write_str("no tests");
        }
        let mut between = "";
        for (count, what) in all.iter().filter(|(count, _)| *count > 0) {
            write!(f, "{between}{count} {what}")?;
            between = ", ";
        }
        Ok(())
    }
}

/// What an output says, as far as it can be trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    /// In the order of their result lines.
    pub tests: Vec<Test>,
    /// What makes the whole a failure whatever the tests say: a missing or wrong plan, no result, `Bail out!`.
    pub problems: Vec<String>,
    /// What is odd and does not: numbers that are missing or come twice.
    pub notes: Vec<String>,
}

impl Results {
    /// Every test that was planned has a result, and none failed. An output without tests has not passed.
    pub fn passed(&self) -> bool {
        self.problems.is_empty() && !self.tests.is_empty() && !self.tests.iter().any(|t| t.outcome.is_bad())
    }

    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.tests.iter().for_each(|test| counts.add(test.outcome));
        counts
    }
}
