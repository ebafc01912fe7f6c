//! One interrupt line that several sources pull, and which is up while any of them does:
//! INTx of PCI functions (PCI 3.0, 2.2.6), the serial ports of a PC.

use crate::irq::Line;
use crate::sys::Lock;
use std::sync::Arc;

/// A line that several sources share.
pub struct Shared {
    line: Arc<dyn Line>,
    /// Sources that assert it.
    asserted: Lock<usize>,
}

impl Shared {
    pub fn new(line: Arc<dyn Line>) -> Arc<Shared> {
        Arc::new(Shared { line, asserted: Lock::new(0) })
    }

    /// One more source's end of the line.
    pub fn wire(self: &Arc<Shared>) -> Arc<dyn Line> {
        Arc::new(Wire { shared: self.clone(), asserted: Lock::new(false) })
    }

    fn change(&self, asserted: bool) {
        let mut count = self.asserted.lock();
        let before = *count > 0;
        *count = if asserted { count.saturating_add(1) } else { count.saturating_sub(1) };
        if before != (*count > 0) {
            self.line.set(*count > 0);
        }
    }
}

/// A source's own end. Lock order: the wire's, then the shared line's.
struct Wire {
    shared: Arc<Shared>,
    asserted: Lock<bool>,
}

impl Line for Wire {
    fn set(&self, asserted: bool) {
        let mut now = self.asserted.lock();
        if *now != asserted {
            *now = asserted;
            self.shared.change(asserted);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests;
