//! The report on stdout: TAP version 13, with the plan at its end. Tests come from several guests and from the host.

use anyhow::{Context, Result};
use std::io::{self, Write};

pub struct Report<W> {
    out: W,
    /// The first error, told at the end: by then the guest's output has been taken in all the same.
    broken: Option<io::Error>,
    tests: usize,
    failed: usize,
}

impl<W: Write> Report<W> {
    pub fn new(out: W) -> Report<W> {
        let mut report = Report { out, broken: None, tests: 0, failed: 0 };
        report.line("TAP version 13");
        report
    }

    /// One test: it passed, or why not.
    pub fn test(&mut self, name: &str, result: Result<(), String>) {
        self.tests += 1;
        let n = self.tests;
        match result {
            Ok(()) => self.line(&format!("ok {n} - {name}")),
            Err(why) => {
                self.failed += 1;
                self.line(&format!("not ok {n} - {name} # {}", why.replace(char::is_control, " ")));
            }
        }
    }

    pub fn note(&mut self, text: &str) {
        self.line(&format!("# {}", text.replace(char::is_control, " ")));
    }

    fn line(&mut self, text: &str) {
        let result = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        if let Err(e) = result {
            self.broken.get_or_insert(e);
        }
    }

    /// Writes the plan. True when there were tests and all passed.
    pub fn finish(mut self) -> Result<bool> {
        let (tests, failed) = (self.tests, self.failed);
        self.line(&format!("1..{tests}"));
        self.note(&format!("{} of {tests} passed", tests - failed));
        match self.broken {
            Some(e) => Err(e).context("write the report"),
            None => Ok(tests > 0 && failed == 0),
        }
    }
}
