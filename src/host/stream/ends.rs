//! A stream made of its two ends on the host: a queue of output, and an inbox that is filled once somebody listens.

use super::input::Inbox;
use super::output::Output;
use super::{Ready, Stream};
use crate::sys::Lock;
use std::sync::Arc;

/// Starts to fill the inbox.
pub type Reader = Box<dyn FnOnce(Arc<Inbox>) + Send>;

pub struct Ends {
    pub(super) output: Arc<Output>,
    pub(super) inbox: Arc<Inbox>,
    /// Until someone listens.
    reader: Lock<Option<Reader>>,
    size: fn() -> Option<(u16, u16)>,
}

impl Ends {
    pub fn new(output: Arc<Output>, reader: Option<Reader>) -> Ends {
        Ends { output, inbox: Arc::default(), reader: Lock::new(reader), size: || None }
    }

    /// The stream ends at a terminal, which has this size.
    pub fn sized(self, size: fn() -> Option<(u16, u16)>) -> Ends {
        Ends { size, ..self }
    }
}

impl Stream for Ends {
    fn write(&self, data: &[u8]) {
        self.output.write(data);
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        self.inbox.read(buf)
    }

    fn listen(&self, ready: Ready) {
        self.inbox.listen(ready);
        if let Some(reader) = self.reader.lock().take() {
            reader(self.inbox.clone());
        }
    }

    fn hung_up(&self) {
        self.output.end();
    }

    fn size(&self) -> Option<(u16, u16)> {
        (self.size)()
    }
}
