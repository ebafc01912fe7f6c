//! How long a boot took, stage by stage: the data of `--boot-report`.

use serde::{Serialize, Serializer};
use std::time::{Duration, Instant};

/// When each stage was reached, as seen from the host; none for what did not happen or was not seen.
#[derive(Debug, Clone)]
pub struct Times {
    pub start: Instant,
    /// The first vCPU enters the guest.
    pub first_instruction: Option<Instant>,
    /// The kernel's first words.
    pub kernel: Option<Instant>,
    /// The guest's init says that it is there.
    pub init: Option<Instant>,
    pub command_start: Option<Instant>,
    pub command_end: Option<Instant>,
    /// The machine is gone.
    pub end: Option<Instant>,
    pub initcalls: Vec<Initcall>,
}

/// One of the kernel's initcalls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Initcall {
    pub name: String,
    /// Microseconds.
    pub us: u64,
}

/// A stage, and when after the start it was reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    pub name: &'static str,
    #[serde(rename = "ms", serialize_with = "milliseconds")]
    pub at: Duration,
}

#[derive(Serialize)]
struct Report<'a> {
    stages: Vec<Stage>,
    initcalls: &'a [Initcall],
}

/// Initcalls in a table; there are a thousand, and most take no time.
const SLOWEST: usize = 20;

impl Times {
    /// Of a boot that began at `start`.
    pub fn since(start: Instant) -> Times {
        Times {
            start,
            first_instruction: None,
            kernel: None,
            init: None,
            command_start: None,
            command_end: None,
            end: None,
            initcalls: Vec::new(),
        }
    }

    /// The stages that were reached, in their order.
    pub fn stages(&self) -> Vec<Stage> {
        let stages = [
            ("kiln start", Some(self.start)),
            ("first guest instruction", self.first_instruction),
            ("kernel entry", self.kernel),
            ("init", self.init),
            ("command start", self.command_start),
            ("command end", self.command_end),
            ("end", self.end),
        ];
        let since = |at: Instant| at.saturating_duration_since(self.start);
        stages.into_iter().filter_map(|(name, at)| Some(Stage { name, at: since(at?) })).collect()
    }

    /// For people: stage, time since the start, time since the stage before; then the slowest initcalls with their own
    /// time. Three columns.
    pub fn rows(&self) -> Vec<[String; 3]> {
        let mut before = Duration::ZERO;
        let mut rows = vec![];
        for stage in self.stages() {
            let step = stage.at.saturating_sub(before);
            let step = if rows.is_empty() { String::new() } else { format!("+{}", text(step)) };
            rows.push([stage.name.to_string(), text(stage.at), step]);
            before = stage.at;
        }
        let mut calls: Vec<&Initcall> = self.initcalls.iter().filter(|call| call.us > 0).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.us));
        let slowest = calls.into_iter().take(SLOWEST);
        rows.extend(
            slowest.map(|c| [format!("initcall {}", c.name), String::new(), text(Duration::from_micros(c.us))]),
        );
        rows
    }

    /// As [`Times::json`], to be part of something larger.
    pub fn value(&self) -> serde_json::Value {
        serde_json::to_value(self.report()).unwrap_or_default()
    }

    /// For programs: `{"stages":[{"name","ms"}],"initcalls":[{"name","us"}]}` in one line.
    pub fn json(&self) -> String {
        // Text and numbers only: nothing in it can fail.
        serde_json::to_string(&self.report()).unwrap_or_default()
    }

    fn report(&self) -> Report<'_> {
        Report { stages: self.stages(), initcalls: &self.initcalls }
    }
}

fn text(time: Duration) -> String {
    format!("{:.1} ms", ms(time))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// To the microsecond.
fn milliseconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_micros() as f64 / 1e3)
}

#[cfg(test)]
mod tests;
