//! How far a copy is: a bar on stderr, when that is a terminal and the copy takes longer than a second.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(1);

pub struct Progress {
    start: Instant,
    bar: Option<ProgressBar>,
    able: bool,
}

impl Default for Progress {
    fn default() -> Progress {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        Progress { start: Instant::now(), bar: None, able: std::io::stderr().is_terminal() && !dumb }
    }
}

impl Progress {
    pub fn show(&mut self, at: u64, of: u64) {
        if !self.able || (self.bar.is_none() && self.start.elapsed() < PATIENCE) {
            return;
        }
        self.bar.get_or_insert_with(|| ProgressBar::new(of).with_style(style())).set_position(at);
    }

    /// Nothing is left on the terminal.
    pub fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{bar:30} {binary_bytes} of {binary_total_bytes}, {eta} left");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
