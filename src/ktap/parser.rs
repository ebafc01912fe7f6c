//! Reads KTAP line by line: which level a line belongs to, and when a level ends.

use super::grammar::{self, Item, Plan, Totals, Verdict, shortened};
use super::level::{Key, Level, Remarks};
use super::{Results, Test};

/// Longer lines are cut.
const LINE_MAX: usize = 4096;
/// Levels of tests in tests.
pub const DEPTH_MAX: usize = 16;
const NO_RESULT: &str = "no result: the output ends";

/// Reads one output line by line.
///
/// It is the output of a program, or the log of a kernel in which KUnit ran. Everything before the first version line
/// is passed over; several outputs behind each other, each with a version line, are read as one.
#[derive(Debug, Default)]
pub struct Parser {
    /// The outermost first. There are none before a version line and after the end.
    levels: Vec<Level>,
    tests: Vec<Test>,
    remarks: Remarks,
    started: bool,
    bailed: bool,
    /// In the YAML block behind a result.
    yaml: bool,
    too_deep: bool,
}

impl Parser {
    pub fn new() -> Parser {
        Parser::default()
    }

    /// The next line, without its end. Lines of a kernel's log are to be given without printk's prefix, those of
    /// either without colours (`klog::Lines`, `klog::message`).
    pub fn line(&mut self, line: &str) {
        if self.bailed {
            return;
        }
        let (key, body) = self.place(shortened(line, LINE_MAX));
        let item = grammar::item(body);
        if self.levels.is_empty() {
            if item == Item::Version {
                self.version(key);
            }
            return;
        }
        if self.in_yaml(key, body, &item) {
            return;
        }
        if !matches!(item, Item::Result(_))
            && let Some(top) = self.levels.last_mut()
        {
            top.after_result = false;
        }
        match item {
            Item::Version => self.version(key),
            Item::Subtest(name) => self.subtest(key, name),
            Item::Plan(plan) => self.plan(key, plan, body),
            Item::Result(verdict) => self.result(key, verdict, body),
            Item::Bail(reason) => self.bail(key, reason),
            Item::Totals(totals) => self.totals(&totals),
            Item::Attribute => {}
            Item::Duration(took) => self.top(|level| level.took(took)),
            Item::Problem(text) if self.levels.len() == 1 => self.remarks.problem(text.into()),
            Item::Note(text) if self.levels.len() == 1 => self.remarks.note(text.into()),
            Item::Problem(text) | Item::Note(text) => self.top(|level| level.text(text)),
            Item::Text(text) => self.top(|level| level.text(&text)),
        }
    }

    /// The output is over: what it says in all.
    pub fn finish(mut self) -> Results {
        self.end_document();
        if !self.started {
            let missing = "no KTAP in the output: no line \"KTAP version 1\" or \"TAP version 13\"";
            self.remarks.problem(missing.into());
        } else if self.tests.is_empty() && self.remarks.problems.is_empty() {
            self.remarks.problem("no test gave a result".into());
        }
        self.remarks.results(self.tests)
    }

    fn top(&mut self, act: impl FnOnce(&mut Level)) {
        if let Some(level) = self.levels.last_mut() {
            act(level);
        }
    }

    /// Where a line stands, and the line without what stands before it.
    ///
    /// kselftest's runner (tools/testing/selftests/kselftest/runner.sh) shows what a test writes with "# " before each
    /// line. That is a level of its own from a version line on; before that it is diagnostics.
    fn place<'a>(&self, line: &'a str) -> (Key, &'a str) {
        let open = self.levels.last().map_or(0, |top| top.key.0);
        let mut hashes = 0;
        let mut rest = line;
        while !self.levels.is_empty() {
            let Some(inner) = rest.trim_start().strip_prefix('#') else { break };
            let inner = inner.strip_prefix(' ').unwrap_or(inner);
            if hashes >= open && !grammar::is_version(inner.trim()) {
                break;
            }
            rest = inner;
            hashes += 1;
        }
        let body = rest.trim_start();
        let blanks = rest.len() - body.len();
        let columns = rest.chars().take(blanks).map(|c| if c == '\t' { 4 } else { 1 }).sum();
        ((hashes, columns), body)
    }

    fn in_yaml(&mut self, key: Key, body: &str, item: &Item) -> bool {
        let Some(top) = self.levels.last_mut() else { return false };
        if !self.yaml {
            self.yaml = body == "---" && top.after_result && key > top.key;
            return self.yaml;
        }
        if key <= top.key && !body.is_empty() || matches!(item, Item::Version) {
            self.yaml = false;
            return false;
        }
        match (body, grammar::item(&format!("# {body}"))) {
            ("...", _) => self.yaml = false,
            (_, Item::Duration(took)) => top.took_before(took),
            _ => top.text_after(body),
        }
        true
    }

    fn push(&mut self, key: Key, name: Option<String>) -> bool {
        if self.levels.len() >= DEPTH_MAX {
            if !std::mem::replace(&mut self.too_deep, true) {
                self.remarks.problem(format!("tests are nested more than {DEPTH_MAX} deep: results are left out"));
            }
            return false;
        }
        self.levels.push(Level::new(key, name));
        true
    }

    /// Levels that the line at `key` cannot belong to have ended without a result line.
    fn lose_above(&mut self, keep: impl Fn(&Level) -> bool) {
        while self.levels.len() > 1 && self.levels.last().is_some_and(|top| !keep(top)) {
            if let (Some(child), Some(parent)) = (self.levels.pop(), self.levels.last_mut()) {
                parent.lose(child, "no result", &mut self.remarks);
            }
        }
    }

    fn version(&mut self, key: Key) {
        self.started = true;
        if self.levels.last().is_some_and(|top| top.key == key && top.fresh()) {
            return;
        }
        if self.levels.first().is_some_and(|base| key <= base.key) {
            self.end_document();
        }
        self.lose_above(|level| level.key < key);
        let name = self.levels.last_mut().and_then(|top| top.next_name.take());
        self.push(key, name);
    }

    fn subtest(&mut self, key: Key, name: String) {
        self.lose_above(|level| level.key <= key);
        let nested = self.levels.len() > 1;
        let Some(top) = self.levels.last_mut() else { return };
        if key > top.key {
            self.push(key, Some(name));
        } else if nested && top.fresh() {
            top.name = Some(name);
        } else if nested && top.complete() {
            // KUnit before KTAP has no version line in front of it, so this is the next suite.
            self.lose_above(|level| level.key < key);
            self.push(key, Some(name));
        } else {
            top.next_name = Some(name);
        }
    }

    fn plan(&mut self, key: Key, plan: Plan, body: &str) {
        let named = self.levels.last_mut().filter(|top| key > top.key).and_then(|top| top.next_name.take());
        if let Some(name) = named
            && !self.push(key, Some(name))
        {
            return;
        }
        match self.levels.iter_mut().rev().find(|level| level.key == key) {
            Some(level) => level.set_plan(plan, &mut self.remarks),
            None => self.top(|level| level.text(body)),
        }
    }

    fn result(&mut self, key: Key, verdict: Verdict, body: &str) {
        if self.levels.first().is_none_or(|base| key < base.key) {
            return self.top(|level| level.text(body));
        }
        if let Some(top) = self.levels.last_mut()
            && key > top.key
        {
            let name = top.next_name.take();
            if name.is_none() {
                self.remarks.note(format!("subtests without a version line: {}", verdict.name));
            }
            if !self.push(key, name) {
                return;
            }
        }
        // The levels above the one right above this result have none.
        while self.levels.len() > 2 && self.levels.iter().rev().nth(1).is_some_and(|second| second.key > key) {
            if let (Some(child), Some(parent)) = (self.levels.pop(), self.levels.last_mut()) {
                parent.lose(child, "no result", &mut self.remarks);
            }
        }
        let child = self.levels.pop_if(|top| top.key > key);
        if let Some(level) = self.levels.last_mut() {
            level.result(verdict, child, &mut self.remarks);
        }
    }

    fn totals(&mut self, totals: &Totals) {
        if let Some(top) = self.levels.last() {
            top.check(totals, &mut self.remarks);
        }
    }

    /// A program shown by kselftest's runner ends itself only, and its result line follows.
    fn bail(&mut self, key: Key, reason: &str) {
        let why = if reason.is_empty() { "no reason given" } else { shortened(reason, grammar::REASON_MAX) };
        self.remarks.problem(format!("bail out: {why}"));
        if key.0 == 0 {
            self.end_document();
            self.bailed = true;
        }
    }

    fn end_document(&mut self) {
        while self.levels.len() > 1 {
            if let (Some(child), Some(parent)) = (self.levels.pop(), self.levels.last_mut()) {
                parent.lose(child, NO_RESULT, &mut self.remarks);
            }
        }
        if let Some(base) = self.levels.pop() {
            self.tests.extend(base.end(NO_RESULT, &mut self.remarks));
        }
        self.yaml = false;
    }
}

#[cfg(test)]
mod tests;
