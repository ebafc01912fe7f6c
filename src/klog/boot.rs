//! How long a boot took, by the kernel's own word: initcalls (`initcall_debug`) and marks in the log.

use super::line::Line;
use std::time::Duration;

/// A kernel has some two thousand.
const INITCALLS_MAX: usize = 16384;
const NAME_MAX: usize = 128;

/// One initcall, as `initcall NAME+0x0/0x10 returned 0 after 12 usecs` tells it (init/main.c, trace_initcall_finish_cb).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initcall {
    /// The function, without offset and module.
    pub name: String,
    /// What it returned: 0 or a negative errno.
    pub result: i32,
    pub took: Duration,
    /// When it returned, by the kernel's clock.
    pub at: Option<Duration>,
}

/// What the log tells of the boot.
#[derive(Debug, Default)]
pub struct Boot {
    /// In the order they returned; at most 16384.
    pub initcalls: Vec<Initcall>,
    /// "Freeing unused kernel image": the kernel's own initialisation has ended. By the kernel's clock.
    pub freed: Option<Duration>,
    /// "Run /init as init process": the first program is started. By the kernel's clock.
    pub init: Option<Duration>,
}

impl Boot {
    /// The next line.
    pub fn line(&mut self, line: &Line) {
        if self.initcalls.len() < INITCALLS_MAX
            && let Some(call) = initcall(line)
        {
            self.initcalls.push(call);
        } else if line.text.starts_with("Freeing unused kernel ") {
            self.freed = self.freed.or(line.at);
        } else if line.text.starts_with("Run /") && line.text.ends_with(" as init process") {
            self.init = self.init.or(line.at);
        }
    }
}

fn initcall(line: &Line) -> Option<Initcall> {
    let (function, rest) = line.text.strip_prefix("initcall ")?.split_once(" returned ")?;
    let name = function.split(['+', ' ']).next().filter(|n| !n.is_empty() && n.len() <= NAME_MAX)?;
    let (result, rest) = rest.split_once(" after ")?;
    let (number, unit) = rest.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    // Errors are followed by words such as "with preemption imbalance".
    let took = match unit.split_whitespace().next()? {
        "usecs" => Duration::from_micros(number),
        "msecs" => Duration::from_millis(number),
        _ => return None,
    };
    Some(Initcall { name: name.into(), result: result.parse().ok()?, took, at: line.at })
}

#[cfg(test)]
mod tests;
