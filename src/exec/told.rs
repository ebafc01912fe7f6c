//! What a kernel's log told, once it has been read to its end.

use crate::klog::{Boot, Line, Lines, Report, Watcher};

/// How the guest's agent begins the line it leaves when it cannot use the channel.
const AGENT: &str = "kiln: ";

#[derive(Default)]
pub struct Told {
    lines: Lines,
    watcher: Watcher,
    pub boot: Boot,
    /// Why the agent gave up before it could say so itself.
    pub agent: Option<String>,
}

impl Told {
    pub fn of(log: &[u8]) -> Told {
        let mut told = Told::default();
        told.feed(log);
        told
    }

    /// The log as it comes, cut anywhere.
    pub fn feed(&mut self, log: &[u8]) {
        self.watcher.feed(log);
        self.boot.feed(log);
        let agent = &mut self.agent;
        self.lines.feed(log, |text| {
            if let (None, Some(why)) = (&agent, Line::parse(text).text.strip_prefix(AGENT)) {
                *agent = Some(why.to_string());
            }
        });
    }

    /// The reports, in the order in which they began, and how many others there were.
    pub fn reports(self) -> (Vec<Report>, u64) {
        let more = self.watcher.left_out();
        (self.watcher.finish(), more)
    }
}
