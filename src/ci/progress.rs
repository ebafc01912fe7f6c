//! What is to be seen while boots run: a line each on a terminal, else a line for each that is done. All on stderr.

use super::judge::Verdict;
use super::matrix::Boot;
use super::schedule::Done;
use super::text::{SHOWN, short};
use crate::sys::Lock;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

/// How often what is on the terminal is renewed.
const TICK: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::from_secs(1 << 30);

pub struct Progress {
    bars: Option<Bars>,
    total: usize,
    done: Lock<usize>,
}

struct Bars {
    multi: MultiProgress,
    whole: ProgressBar,
    running: Lock<Vec<ProgressBar>>,
}

/// The line of one running boot; gone when dropped.
pub struct Line<'a>(Option<(&'a Bars, ProgressBar)>);

impl Progress {
    /// For `total` boots; bars if stderr is a terminal that can have them.
    pub fn new(total: usize) -> Progress {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        let bars = (std::io::stderr().is_terminal() && !dumb).then(|| Bars::new(total));
        Progress { bars, total, done: Lock::new(0) }
    }

    /// Says nothing.
    #[cfg(test)]
    pub fn silent() -> Progress {
        Progress { bars: None, total: 0, done: Lock::default() }
    }

    /// How long the caller may sleep between two [`Self::tick`]s.
    pub fn interval(&self) -> Duration {
        if self.bars.is_some() { TICK } else { NEVER }
    }

    pub fn tick(&self) {
        let Some(bars) = &self.bars else { return };
        bars.whole.tick();
        for bar in bars.running.lock().iter() {
            bar.set_position(bar.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        }
    }

    /// A boot begins its attempt of that `number`.
    pub fn start(&self, name: &str, number: u32, timeout: Duration) -> Line<'_> {
        let Some(bars) = &self.bars else { return Line(None) };
        let again = if number > 1 { format!(" (attempt {number})") } else { String::new() };
        let bar = ProgressBar::new(timeout.as_millis().try_into().unwrap_or(u64::MAX));
        let bar =
            bars.multi.insert_before(&bars.whole, bar.with_style(running()).with_prefix(format!("{name}{again}")));
        bars.running.lock().push(bar.clone());
        Line(Some((bars, bar)))
    }

    /// A boot is done.
    pub fn finish(&self, boot: &Boot, done: &Done) {
        let mut n = self.done.lock();
        *n += 1;
        let line = outcome(*n, self.total, boot, done);
        match &self.bars {
            None if self.total == 0 => {}
            None => drop(writeln!(std::io::stderr(), "{line}")),
            Some(bars) => {
                bars.whole.inc(1);
                if done.verdict != Verdict::Passed {
                    let _ = bars.multi.println(line);
                }
            }
        }
    }

    /// Does `what`, which writes to the terminal, while there are no bars.
    pub fn suspend<T>(&self, what: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.multi.suspend(what),
            None => what(),
        }
    }

    /// Nothing is left on the terminal.
    pub fn end(&self) {
        if let Some(bars) = &self.bars {
            bars.whole.finish_and_clear();
            let _ = bars.multi.clear();
        }
    }
}

/// `FAILED 3/12 debian/small/boots 1.2 s: panic`.
fn outcome(n: usize, total: usize, boot: &Boot, done: &Done) -> String {
    let mut line = format!("{} {n}/{total} {}", done.verdict.word(), boot.name());
    if !done.tried.is_empty() {
        let _ = write!(line, " {:.1} s", done.time().as_secs_f64());
    }
    if let Some(reason) = done.reasons.first() {
        let _ = write!(line, ": {}", short(reason, SHOWN));
    }
    line
}

impl Bars {
    fn new(total: usize) -> Bars {
        let multi = MultiProgress::new();
        let whole = multi.add(ProgressBar::new(total as u64).with_style(whole()));
        whole.tick();
        Bars { multi, whole, running: Lock::default() }
    }
}

fn whole() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} boots, {elapsed}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn running() -> ProgressStyle {
    let clock = |state: &ProgressState, w: &mut dyn std::fmt::Write| {
        let all = Duration::from_millis(state.len().unwrap_or_default()).as_secs_f64();
        let _ = write!(w, "{:.0} of {all:.0} s", state.elapsed().as_secs_f64());
    };
    let style = ProgressStyle::with_template("{bar:10} {prefix:.bold} {clock} {wide_msg:.dim}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("clock", clock)
}

impl Line<'_> {
    /// The last line of the boot.
    pub fn show(&self, text: &str) {
        if let Some((_, bar)) = &self.0 {
            bar.set_message(text.to_string());
        }
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if let Some((bars, bar)) = &self.0 {
            bars.running.lock().retain(|b| b.elapsed() != bar.elapsed() || b.prefix() != bar.prefix());
            bar.finish_and_clear();
            bars.multi.remove(bar);
        }
    }
}
