//! The shared directory: nodes turned into descriptors and attributes, each found again by walking there from a
//! directory above it, and recognised by its identity.

use super::budget::{Budget, Held};
use super::devices::{Device, Devices};
use super::errno::{Errno, Res};
use super::nodes::{Identity, Node, Nodes};
use super::recent::Recent;
use super::wire::FUSE_ROOT_ID;
use crate::sys::{dir, inode};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// An O_PATH descriptor of whatever it is.
const PLACE: libc::c_int = libc::O_PATH | libc::O_NOFOLLOW;
/// Directories that are gone through to find one again.
const DEEPEST: usize = 1 << 14;
/// Bytes of a path that is walked with one call: less than PATH_MAX by a name.
const STRETCH: usize = libc::PATH_MAX as usize - 260;

pub struct Tree {
    root: Arc<Held>,
    pub nodes: Nodes,
    recent: Recent,
    pub devices: Devices,
    pub budget: Budget,
}

impl Tree {
    /// `root` is a descriptor of the shared directory, which may be an O_PATH one.
    pub fn new(root: Held, most_nodes: usize, budget: Budget) -> Res<Tree> {
        let stat = inode::stat(root.as_fd())?;
        let mut devices = Devices::default();
        let device = devices.add(device_of(&stat), root.as_fd());
        let nodes = Nodes::new(identity(&stat, device), most_nodes);
        Ok(Tree { root: Arc::new(root), nodes, recent: Recent::new(budget.cached()), devices, budget })
    }

    /// The client starts anew: all is forgotten.
    pub fn forget_all(&mut self) {
        self.nodes.clear();
        self.recent = Recent::new(self.budget.cached());
    }

    /// Everything has to be walked to again.
    #[cfg(test)]
    pub fn forget_descriptors(&mut self) {
        self.recent = Recent::new(self.budget.cached());
    }

    pub fn forget(&mut self, id: u64, count: u64) {
        self.nodes.forget(id, count, |id| self.recent.remove(id));
    }

    /// A descriptor (O_PATH) of a node. ESTALE when the host has something else there now, or nothing.
    pub fn fd(&mut self, id: u64) -> Res<Arc<Held>> {
        if let Some(fd) = self.at_hand(id)? {
            return Ok(fd);
        }
        let (base, path) = self.way(id)?;
        let fd = self.walk(base, &path).map_err(gone)?;
        let stat = inode::stat(fd.as_fd())?;
        self.expect(id, &stat, fd.as_fd())?;
        let fd = Arc::new(fd);
        self.recent.put(id, fd.clone());
        Ok(fd)
    }

    /// The same for a directory in which something is to be done.
    pub fn dir(&mut self, id: u64) -> Res<Arc<Held>> {
        if self.nodes.get(id)?.kind != libc::S_IFDIR {
            return Err(Errno(libc::ENOTDIR));
        }
        self.fd(id)
    }

    pub fn stat(&mut self, id: u64) -> Res<libc::statx> {
        if let Some(fd) = self.at_hand(id)? {
            return Ok(inode::stat(fd.as_fd())?);
        }
        // Not worth a descriptor of its own.
        let node = self.nodes.get(id)?;
        let (parent, name) = (node.parent, node.name.clone());
        let parent = self.fd(parent)?;
        let stat = inode::stat_at(parent.as_fd(), &name).map_err(|e| gone(e.into()))?;
        self.device(&stat, parent.as_fd(), &name)?;
        self.expect(id, &stat, parent.as_fd())?;
        Ok(stat)
    }

    /// Looks a name up and makes a node of it, which the client has looked up once more from now on.
    pub fn look_up(&mut self, parent: u64, name: &CStr) -> Res<(u64, libc::statx)> {
        let dir = self.dir(parent)?;
        self.look_up_in(parent, dir.as_fd(), name)
    }

    /// The same, with a descriptor of the parent.
    pub fn look_up_in(&mut self, parent: u64, dir: BorrowedFd<'_>, name: &CStr) -> Res<(u64, libc::statx)> {
        let stat = inode::stat_at(dir, name)?;
        let device = self.device(&stat, dir, name)?;
        let id = self.nodes.found(parent, name, identity(&stat, device), kind_of(&stat))?;
        Ok((id, stat))
    }

    /// Makes a node of a file that was just opened as `name` in `parent`.
    pub fn opened(&mut self, parent: u64, name: &CStr, fd: BorrowedFd<'_>) -> Res<(u64, libc::statx)> {
        let stat = inode::stat(fd)?;
        let device = self.device_behind(&stat, fd);
        let id = self.nodes.found(parent, name, identity(&stat, device), kind_of(&stat))?;
        Ok((id, stat))
    }

    /// Makes a node of a file without a name.
    pub fn opened_nameless(&mut self, fd: Held) -> Res<(u64, libc::statx)> {
        let stat = inode::stat(fd.as_fd())?;
        let device = self.device_behind(&stat, fd.as_fd());
        let id = self.nodes.unnamed(identity(&stat, device), kind_of(&stat), fd)?;
        Ok((id, stat))
    }

    /// The node that the client knows `name` in `parent` by, if it knows it, with a descriptor if there is room for one:
    /// what is needed of a name that is about to go.
    pub fn about_to_go(&mut self, dir: BorrowedFd<'_>, name: &CStr) -> Option<(u64, Option<Arc<Held>>)> {
        let stat = inode::stat_at(dir, name).ok()?;
        let device = self.devices.get(device_of(&stat))?;
        let id = self.nodes.find(&identity(&stat, device))?;
        self.budget.check().ok().and_then(|()| self.open(dir, name).ok()).map_or(Some((id, None)), |fd| {
            let stat = inode::stat(fd.as_fd()).ok()?;
            let same = self.nodes.find(&identity(&stat, device)) == Some(id);
            same.then(|| (id, Some(Arc::new(fd))))
        })
    }

    /// An O_PATH descriptor of a name.
    pub fn open(&self, dir: BorrowedFd<'_>, name: &CStr) -> Res<Held> {
        Ok(self.budget.hold(dir::open_beneath(dir, name, PLACE, 0)?))
    }

    fn at_hand(&mut self, id: u64) -> Res<Option<Arc<Held>>> {
        if id == FUSE_ROOT_ID {
            return Ok(Some(self.root.clone()));
        }
        let node = self.nodes.get(id)?;
        Ok(node.nameless.clone().or_else(|| self.recent.get(id)))
    }

    /// The nearest directory above `id` that is open, and the names from there.
    fn way(&mut self, id: u64) -> Res<(Arc<Held>, Vec<Box<CStr>>)> {
        let mut names = Vec::new();
        let mut at = id;
        loop {
            let Node { parent, name, .. } = self.nodes.get(at)?;
            names.push(name.clone());
            at = *parent;
            if let Some(fd) = self.at_hand(at)? {
                names.reverse();
                return Ok((fd, names));
            }
            if names.len() >= DEEPEST {
                return Err(Errno::STALE);
            }
        }
    }

    fn walk(&self, mut base: Arc<Held>, names: &[Box<CStr>]) -> Res<Held> {
        let mut names = names.iter().peekable();
        loop {
            let mut path = Vec::new();
            while let Some(name) = names.next_if(|_| path.len() < STRETCH) {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend(name.to_bytes());
            }
            let path = CString::new(path).map_err(|_| Errno::INVAL)?;
            let fd = self.open(base.as_fd(), &path)?;
            if names.peek().is_none() {
                return Ok(fd);
            }
            base = Arc::new(fd);
        }
    }

    /// ESTALE when `stat` is not of the inode that node `id` was; `fd` is on the same file system.
    fn expect(&mut self, id: u64, stat: &libc::statx, fd: BorrowedFd<'_>) -> Res<()> {
        let device = self.device_behind(stat, fd);
        let node = self.nodes.get(id)?;
        if node.identity == identity(stat, device) && node.kind == kind_of(stat) { Ok(()) } else { Err(Errno::STALE) }
    }

    /// The file system of `name` in `dir`, which has `stat`.
    fn device(&mut self, stat: &libc::statx, dir: BorrowedFd<'_>, name: &CStr) -> Res<Device> {
        if let Some(known) = self.devices.get(device_of(stat)) {
            return Ok(known);
        }
        let fd = self.open(dir, name)?;
        Ok(self.devices.add(device_of(stat), fd.as_fd()))
    }

    fn device_behind(&mut self, stat: &libc::statx, fd: BorrowedFd<'_>) -> Device {
        let known = self.devices.get(device_of(stat));
        known.unwrap_or_else(|| self.devices.add(device_of(stat), fd))
    }
}

pub fn device_of(stat: &libc::statx) -> u64 {
    libc::makedev(stat.stx_dev_major, stat.stx_dev_minor)
}

pub fn kind_of(stat: &libc::statx) -> u32 {
    u32::from(stat.stx_mode) & libc::S_IFMT
}

fn identity(stat: &libc::statx, device: Device) -> Identity {
    let birth = match device.births && stat.stx_mask & libc::STATX_BTIME != 0 {
        true => (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec),
        false => (0, 0),
    };
    Identity { mount: stat.stx_mnt_id, device: device_of(stat), inode: stat.stx_ino, birth }
}

/// On the way to a node that was there once.
fn gone(e: Errno) -> Errno {
    match e.0 {
        libc::ENOENT | libc::ENOTDIR | libc::ELOOP => Errno::STALE,
        _ => e,
    }
}
