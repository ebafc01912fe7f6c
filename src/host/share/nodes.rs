//! What the client knows by number: for each inode that it looked up, where it was last seen and what it must be.
//! No descriptors are kept for them, but for those whose name was removed while they were known.

use super::budget::Held;
use super::errno::{Errno, Res};
use super::wire::FUSE_ROOT_ID;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// The most inodes that are known at a time; ENOMEM beyond.
pub const MOST: usize = 1 << 21;

/// An inode of the host, for as long as it exists. The time of its birth tells it from a later one with its number;
/// the mount keeps the places apart where a directory is mounted twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub mount: u64,
    pub device: u64,
    pub inode: u64,
    /// Seconds and nanoseconds; zero where the file system does not tell.
    pub birth: (i64, u32),
}

/// When the content was last changed, as far as attributes tell: mtime, ctime, size.
pub type Stamp = ((i64, u32), (i64, u32), u64);

pub struct Node {
    pub identity: Identity,
    /// The type bits of its mode.
    pub kind: u32,
    pub parent: u64,
    pub name: Box<CStr>,
    /// Of the last opening.
    pub stamp: Option<Stamp>,
    /// It has no name any more (that we know of).
    pub nameless: Option<Arc<Held>>,
    /// What the client is to forget before the number is free.
    lookups: u64,
    /// Nodes that were last seen in this directory.
    children: u32,
}

pub struct Nodes {
    root: Identity,
    by_id: HashMap<u64, Node>,
    by_identity: HashMap<Identity, u64>,
    next: u64,
    most: usize,
}

impl Nodes {
    /// With the root alone, which is never forgotten.
    pub fn new(root: Identity, most: usize) -> Nodes {
        let mut nodes =
            Nodes { root, by_id: HashMap::new(), by_identity: HashMap::new(), next: FUSE_ROOT_ID + 1, most };
        nodes.clear();
        nodes
    }

    /// As new. Numbers are not used again.
    pub fn clear(&mut self) {
        let root = Node {
            identity: self.root,
            kind: libc::S_IFDIR,
            parent: FUSE_ROOT_ID,
            name: CString::default().into_boxed_c_str(),
            stamp: None,
            nameless: None,
            lookups: 1,
            children: 0,
        };
        self.by_identity = HashMap::from([(self.root, FUSE_ROOT_ID)]);
        self.by_id = HashMap::from([(FUSE_ROOT_ID, root)]);
    }

    pub fn get(&self, id: u64) -> Res<&Node> {
        self.by_id.get(&id).ok_or(Errno::STALE)
    }

    pub fn get_mut(&mut self, id: u64) -> Option<&mut Node> {
        self.by_id.get_mut(&id)
    }

    pub fn find(&self, identity: &Identity) -> Option<u64> {
        self.by_identity.get(identity).copied()
    }

    /// The client looked `name` up in `parent` and found `identity`: the number it is given.
    pub fn found(&mut self, parent: u64, name: &CStr, identity: Identity, kind: u32) -> Res<u64> {
        if let Some(id) = self.find(&identity) {
            self.place(id, parent, name)?;
            let node = self.by_id.get_mut(&id).ok_or(Errno::STALE)?;
            node.lookups = node.lookups.saturating_add(1);
            node.kind = kind;
            return Ok(id);
        }
        let id = self.insert(identity, kind, parent, name, None)?;
        if let Some(parent) = self.by_id.get_mut(&parent) {
            parent.children += 1;
        }
        Ok(id)
    }

    /// A file that was made without a name.
    pub fn unnamed(&mut self, identity: Identity, kind: u32, fd: Held) -> Res<u64> {
        let id = self.insert(identity, kind, FUSE_ROOT_ID, c"", Some(Arc::new(fd)))?;
        if let Some(root) = self.by_id.get_mut(&FUSE_ROOT_ID) {
            root.children += 1;
        }
        Ok(id)
    }

    fn insert(
        &mut self,
        identity: Identity,
        kind: u32,
        parent: u64,
        name: &CStr,
        nameless: Option<Arc<Held>>,
    ) -> Res<u64> {
        if self.by_id.len() >= self.most || !self.by_id.contains_key(&parent) {
            return Err(Errno::NOMEM);
        }
        let id = self.next;
        self.next += 1;
        let node = Node { identity, kind, parent, name: name.into(), stamp: None, nameless, lookups: 1, children: 0 };
        self.by_id.insert(id, node);
        self.by_identity.insert(identity, id);
        Ok(id)
    }

    /// From now on `id` is found as `name` in `parent`.
    pub fn place(&mut self, id: u64, parent: u64, name: &CStr) -> Res<()> {
        if id == FUSE_ROOT_ID {
            return Err(Errno::STALE);
        }
        let node = self.get(id)?;
        let before = node.parent;
        if before == parent && node.nameless.is_none() && *node.name == *name {
            return Ok(());
        }
        // The host may have moved directories about, so what we know of two of them can contradict: a ring has no root.
        if before != parent && node.kind == libc::S_IFDIR && self.is_below(parent, id) {
            return Err(Errno::STALE);
        }
        self.by_id.get_mut(&parent).ok_or(Errno::STALE)?.children += 1;
        if let Some(node) = self.by_id.get_mut(&id) {
            (node.parent, node.name, node.nameless) = (parent, name.into(), None);
        }
        self.leave(before);
        Ok(())
    }

    fn is_below(&self, mut id: u64, ancestor: u64) -> bool {
        while id != ancestor {
            match self.by_id.get(&id) {
                Some(node) if id != FUSE_ROOT_ID => id = node.parent,
                _ => return false,
            }
        }
        true
    }

    /// The name is gone; `fd` is what is left of it, if it could be had.
    pub fn lost_name(&mut self, id: u64, parent: u64, name: &CStr, fd: Option<Arc<Held>>) {
        if let Some(node) = self.by_id.get_mut(&id)
            && node.parent == parent
            && *node.name == *name
        {
            node.nameless = fd;
        }
    }

    /// The client forgets `count` lookups of `id`. Calls `gone` for each number that is free now.
    pub fn forget(&mut self, id: u64, count: u64, mut gone: impl FnMut(u64)) {
        if id == FUSE_ROOT_ID {
            return;
        }
        let Some(node) = self.by_id.get_mut(&id) else { return };
        node.lookups = node.lookups.saturating_sub(count);
        self.sweep(id, &mut gone);
    }

    /// A directory has one child less.
    fn leave(&mut self, parent: u64) {
        if let Some(node) = self.by_id.get_mut(&parent) {
            node.children = node.children.saturating_sub(1);
        }
        self.sweep(parent, &mut |_| ());
    }

    fn sweep(&mut self, mut id: u64, gone: &mut impl FnMut(u64)) {
        while let Some(node) = self.by_id.get(&id)
            && (node.lookups, node.children) == (0, 0)
            && id != FUSE_ROOT_ID
        {
            let (identity, parent) = (node.identity, node.parent);
            self.by_id.remove(&id);
            if self.find(&identity) == Some(id) {
                self.by_identity.remove(&identity);
            }
            gone(id);
            if let Some(node) = self.by_id.get_mut(&parent) {
                node.children = node.children.saturating_sub(1);
            }
            id = parent;
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }
}
