//! The guest's report as it comes from its serial port: checked line by line, and passed on.

use super::report::Report;
use std::io::{BufRead, BufReader, Read, Write};

/// Bytes of the whole report; a guest that says more is broken.
const LIMIT: u64 = 1 << 20;

/// What has been heard from the guest.
#[derive(Debug, Default)]
pub struct Heard {
    plan: Option<usize>,
    /// Tests so far.
    tests: usize,
    failed: usize,
    /// The first thing that should not have been said.
    wrong: Option<String>,
}

impl Heard {
    /// Takes in everything until `from` ends. Tests go to `report`, with `prefix` before their names.
    pub fn listen<W: Write>(&mut self, from: impl Read, prefix: &str, report: &mut Report<W>) {
        let mut lines = BufReader::new(from.take(LIMIT));
        let mut line = Vec::new();
        loop {
            line.clear();
            match lines.read_until(b'\n', &mut line) {
                Err(e) => return self.complain(format!("read the guest's output: {e}")),
                Ok(0) => break,
                Ok(_) => self.line(String::from_utf8_lossy(&line).trim_end(), prefix, report),
            }
        }
        if lines.into_inner().limit() == 0 {
            self.complain(format!("the guest printed more than {LIMIT} bytes"));
        }
    }

    fn line<W: Write>(&mut self, line: &str, prefix: &str, report: &mut Report<W>) {
        if let Some(text) = line.strip_prefix('#') {
            return report.note(text.trim_start());
        }
        if let Some(why) = line.strip_prefix("Bail out!") {
            return self.complain(why.trim().to_string());
        }
        if let Some(plan) = line.strip_prefix("1..").and_then(|n| n.parse().ok()) {
            return match self.plan.replace(plan) {
                None if self.tests == 0 => {}
                _ => self.complain("the plan did not come first".to_string()),
            };
        }
        let (result, rest) = match line.strip_prefix("not ") {
            Some(rest) => (false, rest),
            None => (true, line),
        };
        let test = rest.strip_prefix("ok ").and_then(|rest| rest.split_once(" - "));
        let Some((number, name)) = test else {
            return self.complain(format!("the guest printed {line:?}"));
        };
        self.tests += 1;
        self.failed += usize::from(!result);
        if number.parse() != Ok(self.tests) {
            self.complain(format!("test {} came as number {number}", self.tests));
        }
        let (name, why) = name.split_once(" # ").unwrap_or((name, "the guest did not say why"));
        report.test(&format!("{prefix}: {name}"), if result { Ok(()) } else { Err(why.to_string()) });
    }

    fn complain(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// How many tests failed (they have been reported as such), or why the report was not complete.
    pub fn verdict(self) -> Result<usize, String> {
        match (self.wrong, self.plan) {
            (Some(wrong), _) => Err(wrong),
            (None, None) => Err("the guest printed no plan".to_string()),
            (None, Some(0)) => Err("the guest planned no test".to_string()),
            (None, Some(plan)) if plan != self.tests => Err(format!("{} tests of {plan} were run", self.tests)),
            (None, Some(_)) => Ok(self.failed),
        }
    }
}

#[cfg(test)]
mod tests;
