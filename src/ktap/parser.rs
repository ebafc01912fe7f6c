//! Reads KTAP line by line.

use super::Results;

/// Reads one output line by line.
#[derive(Debug, Default)]
pub struct Parser {}

impl Parser {
    pub fn new() -> Parser {
        Parser::default()
    }

    /// The next line, without its end. Lines of a kernel's log are to be given without printk's prefix
    /// (`klog::Lines`, `klog::message`).
    pub fn line(&mut self, _line: &str) {
        todo!()
    }

    /// An output is over: what it says in all.
    pub fn finish(self) -> Results {
        todo!()
    }
}
