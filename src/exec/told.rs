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
        let Told { lines, watcher, boot, agent } = self;
        lines.feed(log, |text| {
            let line = Line::parse(text);
            watcher.line(&line);
            boot.line(&line);
            if let (None, Some(why)) = (&agent, line.text.strip_prefix(AGENT)) {
                *agent = Some(why.to_string());
            }
        });
    }

    /// The reports, in the order in which they began, and how many others there were.
    pub fn reports(mut self) -> (Vec<Report>, u64) {
        // The last line may have no end.
        self.lines.finish(|text| self.watcher.line(&Line::parse(text)));
        let more = self.watcher.left_out();
        (self.watcher.finish(), more)
    }
}
