//! What doctor found: checks, and the verdict that follows from them; as a table and as JSON.

use crate::cli::table::{Cell, Colour, Style, table};
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Ok,
    /// Something is slower, odd or absent that guests can do without.
    Warn,
    /// Something needed is missing.
    Fail,
    /// A fact without judgement.
    Note,
}

/// Who cannot run when the check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    ByGuests,
    ByLinux,
}

#[derive(Debug, Clone)]
pub struct Check {
    /// Stable name for programs.
    pub key: &'static str,
    pub title: &'static str,
    pub mark: Mark,
    /// What was found, in words; for a failure also the reason in the verdict.
    pub detail: String,
    /// What was found, for programs.
    pub value: Value,
    pub needed: Needed,
}

impl Check {
    pub fn new(key: &'static str, title: &'static str, mark: Mark, detail: impl Into<String>, value: Value) -> Check {
        Check { key, title, mark, detail: detail.into(), value, needed: Needed::ByGuests }
    }

    pub fn needed(self, needed: Needed) -> Check {
        Check { needed, ..self }
    }
}

pub struct Report(pub Vec<Check>);

impl Report {
    fn failures(&self, needed: Needed) -> Vec<&str> {
        self.0.iter().filter(|c| c.mark == Mark::Fail && c.needed == needed).map(|c| c.detail.as_str()).collect()
    }

    /// kiln can run guests of its own here.
    pub fn runs_guests(&self) -> bool {
        self.failures(Needed::ByGuests).is_empty()
    }

    /// An unmodified Linux reaches user space here.
    pub fn runs_linux(&self) -> bool {
        self.runs_guests() && self.failures(Needed::ByLinux).is_empty()
    }

    /// One sentence.
    pub fn verdict(&self) -> String {
        if !self.runs_guests() {
            return format!("This host runs no guests: {}.", self.failures(Needed::ByGuests).join("; "));
        }
        if !self.runs_linux() {
            let why = self.failures(Needed::ByLinux).join("; ");
            return format!("This host runs kiln's self-test and ring-3 guests but no stock Linux: {why}.");
        }
        "This host runs kiln guests and stock Linux.".into()
    }

    pub fn json(&self) -> Value {
        let checks = self.0.iter().map(|c| {
            let mark = match c.mark {
                Mark::Ok => "ok",
                Mark::Warn => "warn",
                Mark::Fail => "fail",
                Mark::Note => "note",
            };
            let check = json!({ "mark": mark, "title": c.title, "detail": c.detail, "value": c.value });
            (c.key.to_string(), check)
        });
        json!({
            "guests": self.runs_guests(),
            "linux": self.runs_linux(),
            "verdict": self.verdict(),
            "checks": Value::Object(checks.collect()),
        })
    }

    pub fn text(&self, style: Style) -> String {
        let row = |c: &Check| {
            let (word, colour) = match c.mark {
                Mark::Ok => ("ok", Colour::Green),
                Mark::Warn => ("warn", Colour::Yellow),
                Mark::Fail => ("fail", Colour::Red),
                Mark::Note => ("-", Colour::Plain),
            };
            vec![Cell::new(word, colour), Cell::new(c.title, Colour::Plain), Cell::new(&c.detail, Colour::Plain)]
        };
        let rows: Vec<_> = self.0.iter().map(row).collect();
        let verdict = vec![vec![Cell::new(&self.verdict(), Colour::Bold)]];
        format!("{}\n{}", table(&rows, style), table(&verdict, style))
    }
}

#[cfg(test)]
mod tests;
