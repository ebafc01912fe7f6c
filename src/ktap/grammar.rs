//! The lines of KTAP: version, plan, result and diagnostic lines, each taken apart by itself.

use super::Outcome;
use std::borrow::Cow;
use std::time::Duration;

/// Bytes of a name and of a reason; what is longer is cut.
pub const NAME_MAX: usize = 256;
pub const REASON_MAX: usize = 1024;

#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// "KTAP version 1", "TAP version 13".
    Version,
    /// "# Subtest: name".
    Subtest(String),
    Plan(Plan),
    Result(Verdict),
    /// "Bail out! reason".
    Bail(&'a str),
    Totals(Totals<'a>),
    /// An attribute that KUnit gives a test (Documentation/dev-tools/kunit/running_tips.rst): nothing to keep.
    Attribute,
    Duration(Duration),
    /// What [`super::write`] has written of [`super::Results`] beside the tests.
    Problem(&'a str),
    Note(&'a str),
    /// A diagnostic, or a line that is none of KTAP's.
    Text(Cow<'a, str>),
}

/// "1..5", "1..0 # SKIP reason".
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub count: u64,
    pub skip: Option<String>,
}

/// "not ok 3 - name # TIMEOUT 30 seconds".
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub number: Option<u64>,
    pub name: String,
    pub outcome: Outcome,
    pub reason: String,
    pub duration: Option<Duration>,
}

/// "# Totals: pass:1 fail:0 skip:0 total:1"; with a name instead of "Totals", of that test's own subtests.
#[derive(Debug, PartialEq)]
pub struct Totals<'a> {
    pub name: Option<&'a str>,
    pub bad: u64,
    pub total: u64,
}

/// What a line without its indentation is.
pub fn item(body: &str) -> Item<'_> {
    if let Some(text) = body.strip_prefix('#') {
        return diagnostic(text.strip_prefix(' ').unwrap_or(text));
    }
    if is_version(body) {
        return Item::Version;
    }
    if let Some(reason) = body.strip_prefix("Bail out!") {
        return Item::Bail(reason.trim());
    }
    let parsed = plan(body).map(Item::Plan).or_else(|| verdict(body).map(Item::Result));
    parsed.unwrap_or(Item::Text(body.into()))
}

pub fn is_version(body: &str) -> bool {
    let number = body.strip_prefix("KTAP version ").or_else(|| body.strip_prefix("TAP version "));
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn diagnostic(text: &str) -> Item<'_> {
    if let Some(item) = special(text) {
        return item;
    }
    match text.strip_prefix('\\') {
        Some(rest) if needs_escape(rest) => Item::Text(rest.into()),
        _ => Item::Text(text.into()),
    }
}

/// A diagnostic that would be read as something else is written with a backslash before it.
pub fn needs_escape(text: &str) -> bool {
    text.starts_with('\\') || is_version(text.trim()) || special(text).is_some()
}

fn special(text: &str) -> Option<Item<'_>> {
    let (word, value) = text.split_once(": ")?;
    match word {
        "Subtest" => return Some(Item::Subtest(name(value))),
        "kiln problem" => return Some(Item::Problem(value)),
        "kiln note" => return Some(Item::Note(value)),
        "duration_ms" => return milliseconds(value).map(Item::Duration),
        _ => {}
    }
    let one = !value.is_empty() && !value.contains(char::is_whitespace);
    if one && (word == "module" || word == "speed" || word.ends_with(".speed")) {
        return Some(Item::Attribute);
    }
    totals(text).map(Item::Totals)
}

fn totals(text: &str) -> Option<Totals<'_>> {
    let (name, counts) = text.rsplit_once(": pass:").or_else(|| text.rsplit_once(":\tpass:"))?;
    let mut sums = Totals { name: (name != "Totals").then_some(name), bad: 0, total: 0 };
    let pass: &str = counts.split_whitespace().next()?;
    sums.total = pass.parse().ok()?;
    let mut said = None;
    for field in counts.split_whitespace().skip(1) {
        let (what, count) = field.split_once(':')?;
        let count: u64 = count.parse().ok()?;
        match what {
            "total" => said = Some(count),
            "fail" | "error" => {
                sums.bad = sums.bad.saturating_add(count);
                sums.total = sums.total.saturating_add(count);
            }
            _ => sums.total = sums.total.saturating_add(count),
        }
    }
    sums.total = said.unwrap_or(sums.total);
    Some(sums)
}

fn plan(body: &str) -> Option<Plan> {
    let rest = body.strip_prefix("1..")?;
    let (number, comment) = rest.split_once('#').map_or((rest, None), |(n, c)| (n, Some(c.trim())));
    let number = number.trim();
    number.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    let skip = comment.and_then(|c| directive(c).filter(|(d, _)| *d == Directive::Skip).map(|(_, why)| cut(why)));
    Some(Plan { count: number.parse().ok()?, skip })
}

fn cut(reason: &str) -> String {
    shortened(reason, REASON_MAX).into()
}

/// At most `max` bytes, whole characters.
pub fn shortened(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text).trim_end()
}

/// `<result> <number> [<description>][ # [<directive>] [<diagnostic data>]]` ("Test case result lines").
fn verdict(body: &str) -> Option<Verdict> {
    let (ok, rest) = match body.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, body.strip_prefix("ok")?),
    };
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some(())?;
    let rest = rest.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at(digits);
    // TAP lets the number go; a line of prose that begins with "ok" has none either.
    let described = rest.starts_with("- ") || rest.starts_with('#');
    (rest.is_empty() || described || digits > 0 && rest.starts_with([' ', '\t'])).then_some(())?;
    let rest = rest.trim_start();
    let text = rest.strip_prefix("- ").or_else(|| rest.strip_prefix('-').filter(|r| r.is_empty())).unwrap_or(rest);
    let at = data_at(text);
    let data = at.and_then(|at| text.get(at + 1..)).unwrap_or("").trim();
    let (outcome, reason) = outcome(ok, data);
    Some(Verdict {
        number: number.parse().ok(),
        name: name(at.and_then(|at| text.get(..at)).unwrap_or(text)),
        outcome,
        reason: cut(reason),
        duration: data.strip_prefix("time=").and_then(time),
    })
}

/// Where the `#` stands that ends the description: behind a blank and before one or a directive. `\#` is TAP 14's.
fn data_at(text: &str) -> Option<usize> {
    let found = text.match_indices('#').find(|(at, _)| {
        let before = text.get(..*at).unwrap_or("");
        let after = text.get(at + 1..).unwrap_or("");
        (before.is_empty() || before.ends_with([' ', '\t']))
            && (after.is_empty() || after.starts_with([' ', '\t']) || directive(after).is_some())
    });
    found.map(|(at, _)| at)
}

/// TAP 14's escapes taken out; what else stands behind a backslash is left as it is.
fn name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim().chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek() {
            Some(next @ ('#' | '\\')) if c == '\\' => {
                out.push(*next);
                rest.next();
            }
            _ => out.push(c),
        }
    }
    out.truncate(shortened(&out, NAME_MAX).len());
    out
}

/// A name as [`verdict`] reads it back.
pub fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('#', "\\#")
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Directive {
    Skip,
    Todo,
    Xfail,
    Timeout,
    Error,
}

/// The directive that `data` begins with, in any case, and what follows it.
fn directive(data: &str) -> Option<(Directive, &str)> {
    let end = data.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(data.len());
    let (word, rest) = data.split_at(end);
    let known = match word.to_ascii_uppercase().as_str() {
        "SKIP" | "SKIPPED" => Directive::Skip,
        "TODO" => Directive::Todo,
        "XFAIL" => Directive::Xfail,
        "TIMEOUT" => Directive::Timeout,
        "ERROR" => Directive::Error,
        _ => return None,
    };
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some((known, rest.trim()))
}

/// What "ok" or "not ok" and the data say together. No word in a text turns a failure into something else: directives
/// are in capitals, but for "ok # skip", which is no failure anyway, and "not ok # error", which is one anyway.
fn outcome(ok: bool, data: &str) -> (Outcome, &str) {
    let capitals = data.bytes().take_while(u8::is_ascii_alphabetic).all(|b| b.is_ascii_uppercase());
    let known =
        directive(data).filter(|(d, _)| capitals || ok && *d == Directive::Skip || !ok && *d == Directive::Error);
    match (known, ok) {
        (Some((Directive::Skip, why)), _) => (Outcome::Skip, why),
        (Some((Directive::Xfail, why)), _) => (Outcome::Xfail, why),
        (Some((Directive::Todo, why)), false) => (Outcome::Todo, why),
        (Some((Directive::Error, why)), false) => (Outcome::Error, why),
        // "The result should be not ok if the directive is used": then one of the two is wrong.
        (Some((Directive::Timeout | Directive::Error, _)), true) => (Outcome::Error, data),
        (Some((Directive::Timeout, _)), false) => (Outcome::Fail, data),
        (_, true) => (Outcome::Pass, plain(data)),
        (_, false) => (Outcome::Fail, plain(data)),
    }
}

/// A reason that would be read as a directive has a backslash before it.
fn plain(data: &str) -> &str {
    match data.strip_prefix('\\') {
        Some(rest) if directive(rest.trim_start_matches('\\')).is_some() => rest,
        _ => data,
    }
}

/// The data of a result line that is read back as this outcome and reason.
pub fn data(outcome: Outcome, reason: &str) -> String {
    let word = match outcome {
        Outcome::Skip => "SKIP",
        Outcome::Xfail => "XFAIL",
        Outcome::Todo => "TODO",
        Outcome::Error => "ERROR",
        Outcome::Pass | Outcome::Fail => {
            let escape = directive(reason.trim_start_matches('\\')).is_some();
            let same = self::outcome(outcome == Outcome::Pass, reason) == (outcome, reason);
            return if escape && !same { format!("\\{reason}") } else { reason.into() };
        }
    };
    if reason.is_empty() { word.into() } else { format!("{word} {reason}") }
}

/// "12ms", "1.5s".
fn time(text: &str) -> Option<Duration> {
    let text = text.split_whitespace().next()?;
    match text.strip_suffix("ms") {
        Some(number) => milliseconds(number),
        None => milliseconds(text.strip_suffix('s')?)?.checked_mul(1000),
    }
}

/// "12", "12.5": exactly, to the nanosecond.
fn milliseconds(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    (digits(whole) && digits(part) && part.len() <= 6).then_some(())?;
    let millis = Duration::from_millis(whole.parse().ok()?);
    millis.checked_add(Duration::from_nanos(format!("{part:0<6}").parse().ok()?))
}

#[cfg(test)]
mod tests;
