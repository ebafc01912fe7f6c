//! What the client has open.

use super::budget::Held;
use super::errno::{Errno, Res};
use std::collections::HashMap;
use std::sync::Arc;

pub enum Handle {
    File(OpenFile),
    Dir(OpenDir),
}

#[derive(Clone)]
pub struct OpenFile {
    pub node: u64,
    pub fd: Arc<Held>,
}

pub struct OpenDir {
    pub node: u64,
    pub fd: Arc<Held>,
    /// struct linux_dirent64, as the host gave them.
    pub entries: Vec<u8>,
    /// Where the first entry that the client has not got begins.
    pub at: usize,
    /// The cookie that leads there.
    pub position: u64,
}

impl Handle {
    pub fn fd(&self) -> Arc<Held> {
        match self {
            Handle::File(file) => file.fd.clone(),
            Handle::Dir(dir) => dir.fd.clone(),
        }
    }

    fn node(&self) -> u64 {
        match self {
            Handle::File(file) => file.node,
            Handle::Dir(dir) => dir.node,
        }
    }
}

#[derive(Default)]
pub struct Handles {
    open: HashMap<u64, Handle>,
    last: u64,
}

impl Handles {
    pub fn add(&mut self, handle: Handle) -> u64 {
        self.last += 1;
        self.open.insert(self.last, handle);
        self.last
    }

    pub fn remove(&mut self, fh: u64) -> Res<Handle> {
        self.open.remove(&fh).ok_or(Errno::BADF)
    }

    pub fn get(&self, fh: u64) -> Res<&Handle> {
        self.open.get(&fh).ok_or(Errno::BADF)
    }

    pub fn file(&self, fh: u64) -> Res<&OpenFile> {
        match self.get(fh)? {
            Handle::File(file) => Ok(file),
            Handle::Dir(_) => Err(Errno::BADF),
        }
    }

    pub fn dir(&mut self, fh: u64) -> Res<&mut OpenDir> {
        match self.open.get_mut(&fh) {
            Some(Handle::Dir(dir)) => Ok(dir),
            _ => Err(Errno::BADF),
        }
    }

    /// A descriptor of a node that is open somehow.
    pub fn of_node(&self, node: u64) -> Option<Arc<Held>> {
        self.open.values().find(|handle| handle.node() == node).map(Handle::fd)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.open.len()
    }
}
