//! A file that kiln makes itself, as parts that lie in memory or in open files: they are read where they are needed and
//! never joined.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone)]
pub enum Part {
    Bytes(Arc<Vec<u8>>),
    File {
        file: Arc<File>,
        /// Which bytes of it.
        range: Range<u64>,
    },
}

impl Part {
    /// Bytes.
    pub fn len(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::File { range, .. } => range.end.saturating_sub(range.start),
        }
    }
}

/// Its parts follow each other without gaps.
#[derive(Clone, Default)]
pub struct Archive {
    parts: Vec<Part>,
    len: u64,
}

impl Archive {
    /// Adds a part at the end, unless it is empty.
    pub fn push(&mut self, part: Part) {
        let len = part.len();
        if len > 0 {
            self.len = self.len.saturating_add(len);
            self.parts.push(part);
        }
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Archive({} bytes in {} parts)", self.len, self.parts.len())
    }
}
