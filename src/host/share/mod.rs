//! A directory of the host, served to a guest: a FUSE server that knows no virtio.
//!
//! Every name is resolved beneath the directory, one component after the other, and no symbolic link is ever followed
//! here: the guest gets its text. Files that are neither regular nor directories are never opened.

mod attributes;
mod budget;
mod call;
mod devices;
mod dirs;
mod errno;
mod extended;
mod files;
mod handles;
mod locks;
mod names;
mod nodes;
mod recent;
mod session;
mod tree;
mod wire;

use crate::mem::{Slice, vectored};
use crate::sys::{dir, inode};
use anyhow::{Context, Result, bail, ensure};
use budget::{Budget, Held};
use call::Call;
use errno::{Errno, Res};
use handles::Handles;
use locks::Locks;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tree::Tree;
use wire::{Fields, Header, OUT_HEADER, Opcode, Reply};

/// How long the guest may believe what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// A second; file contents for as long as the attributes say that they are the same.
    Auto,
    /// For ever: nobody else changes the directory meanwhile.
    Always,
    /// Not at all.
    Never,
}

impl FromStr for Cache {
    type Err = String;
    fn from_str(text: &str) -> Result<Cache, String> {
        match text {
            "auto" => Ok(Cache::Auto),
            "always" => Ok(Cache::Always),
            "never" => Ok(Cache::Never),
            _ => Err("want auto, always or never".to_string()),
        }
    }
}

impl Cache {
    /// How long names and attributes hold.
    fn period(self) -> Duration {
        match self {
            Cache::Auto => Duration::from_secs(1),
            Cache::Always => Duration::from_secs(86400),
            Cache::Never => Duration::ZERO,
        }
    }
}

/// Whose locks the guest's programs see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// Each other's alone: the guest's kernel sees to it.
    Guest,
    /// Those of the host's programs too.
    Host,
}

impl FromStr for Locking {
    type Err = String;
    fn from_str(text: &str) -> Result<Locking, String> {
        match text {
            "guest" => Ok(Locking::Guest),
            "host" => Ok(Locking::Host),
            _ => Err("want guest or host".to_string()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub readonly: bool,
    pub cache: Cache,
    pub locks: Locking,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The reply is in the writable part, this many bytes of it.
    Reply(u32),
    /// There is none for requests of this kind.
    Nothing,
    /// It waits for a lock; [`Server::finished`] will name it.
    Later,
}

/// What an operation has to say, when it went well.
enum Done {
    /// What it put into `out`.
    Out,
    /// So many bytes, which are in the guest's memory already, behind the header.
    Data(usize),
    /// No reply at all.
    Nothing,
    /// Not yet.
    Later,
}

/// Serves one client at a time, one request after the other.
pub struct Server {
    tree: Tree,
    handles: Handles,
    /// None when the client keeps its locks to itself.
    locks: Option<Locks>,
    settings: Settings,
    /// The client has said INIT.
    initialised: bool,
    /// The user we are: files can be given away by 0 only.
    user: u32,
    /// Lends its buffer to requests, and to replies.
    body: Vec<u8>,
    out: Vec<u8>,
}

impl Server {
    /// Serves the directory `path`.
    pub fn open(path: &Path, settings: Settings) -> Result<Server> {
        Server::with_budget(path, settings, Budget::of_process(), nodes::MOST)
    }

    fn with_budget(path: &Path, settings: Settings, budget: Budget, most_nodes: usize) -> Result<Server> {
        let name = path.display();
        let open = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path);
        let root = open.with_context(|| format!("open {name}"))?;
        match dir::open_beneath(root.as_fd(), c".", libc::O_PATH, 0) {
            Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
                bail!("share {name}: this host has no openat2 (Linux 5.6 does), so the guest cannot be kept inside")
            }
            other => other.with_context(|| format!("open {name}"))?,
        };
        let again = inode::reopen(root.as_fd(), libc::O_PATH).ok().and_then(|again| inode::stat(again.as_fd()).ok());
        let same = inode::stat(root.as_fd()).ok().zip(again).is_some_and(|(a, b)| a.stx_ino == b.stx_ino);
        ensure!(same, "share {name}: /proc is not mounted, and files cannot be opened without /proc/self/fd");
        dir::ignore_file_size_signal();
        let root: Held = budget.hold(root);
        let tree = Tree::new(root, most_nodes, budget).map_err(|e| std::io::Error::from_raw_os_error(e.0));
        Ok(Server {
            tree: tree.with_context(|| format!("look at {name}"))?,
            handles: Handles::default(),
            locks: match settings.locks {
                Locking::Guest => None,
                Locking::Host => Some(Locks::new().context("prepare file locks")?),
            },
            settings,
            initialised: false,
            user: dir::effective_user(),
            body: Vec::new(),
            out: Vec::new(),
        })
    }

    /// To be called on the thread that serves: its files get exactly the modes that the client asks for.
    pub fn prepare_thread() -> Result<()> {
        dir::own_umask().context("give the thread a umask of its own")
    }

    /// The client is gone: all that it had open is closed.
    pub fn reset(&mut self) {
        self.initialised = false;
        self.close_all();
    }

    fn close_all(&mut self) {
        self.handles = Handles::default();
        if let Some(locks) = &mut self.locks {
            locks.reset();
        }
        self.tree.forget_all();
    }

    /// Serves the request in `readable`, and puts the reply into `writable`. `ticket` is what it is called by if it has
    /// to wait; `writable` is then the caller's to keep.
    pub fn serve(&mut self, readable: &[Slice], writable: &[Slice], ticket: u64) -> Answer {
        let Some(raw) = call::head(readable) else { return Answer::Nothing };
        let Ok(header) = Header::new(&raw) else { return Answer::Nothing };
        let mut body = std::mem::take(&mut self.body);
        self.out.clear();
        let result = Call::new(header, readable, writable, &mut body).and_then(|call| self.dispatch(&call, ticket));
        self.body = body;
        let (error, len) = match result {
            Ok(Done::Nothing) => return Answer::Nothing,
            Ok(Done::Later) => return Answer::Later,
            Ok(Done::Data(n)) => (0, n),
            Ok(Done::Out) => match vectored::copy_from(writable, OUT_HEADER, &self.out) {
                n if n == self.out.len() => (0, n),
                _ => (libc::EIO, 0),
            },
            Err(Errno(error)) => (error, 0),
        };
        reply(writable, header.unique, error, len)
    }

    fn dispatch(&mut self, call: &Call, ticket: u64) -> Res<Done> {
        let h = &call.header;
        let mut body = Fields(call.body);
        let body = &mut body;
        let opcode = Opcode::new(h.opcode).ok_or(Errno::NOSYS)?;
        match opcode {
            Opcode::Init => return self.init(body).map(|()| Done::Out),
            Opcode::Forget => return self.forget(h, body).map(|()| Done::Nothing).or(Ok(Done::Nothing)),
            Opcode::BatchForget => return self.batch_forget(body).map(|()| Done::Nothing).or(Ok(Done::Nothing)),
            Opcode::Interrupt => return self.interrupt(body).map(|()| Done::Nothing).or(Ok(Done::Nothing)),
            _ if !self.initialised => return Err(Errno::IO),
            Opcode::Read => return self.read(call, body).map(Done::Data),
            Opcode::Setlk => return self.setlk(call, body, None),
            Opcode::Setlkw => return self.setlk(call, body, Some(ticket)),
            _ => {}
        }
        match opcode {
            Opcode::Lookup => self.lookup(h, body),
            Opcode::Getattr => self.getattr(h, body),
            Opcode::Setattr => self.setattr(h, body),
            Opcode::Statx => self.statx(h, body),
            Opcode::Statfs => self.statfs(h),
            Opcode::Readlink => self.readlink(h),
            Opcode::Symlink => self.symlink(h, body),
            Opcode::Mknod => self.mknod(h, body),
            Opcode::Mkdir => self.mkdir(h, body),
            Opcode::Unlink => self.remove(h, body, false),
            Opcode::Rmdir => self.remove(h, body, true),
            Opcode::Rename => self.rename(h, body, false),
            Opcode::Rename2 => self.rename(h, body, true),
            Opcode::Link => self.link(h, body),
            Opcode::Create => self.create(h, body),
            Opcode::Tmpfile => self.tmpfile(h, body),
            Opcode::Open => self.open_file(h, body),
            Opcode::Write => self.write(call, body),
            Opcode::Flush => self.flush(body),
            Opcode::Release | Opcode::Releasedir => self.release(body),
            Opcode::Fsync | Opcode::Fsyncdir => self.fsync(body),
            Opcode::Syncfs => self.syncfs(),
            Opcode::Fallocate => self.fallocate(body),
            Opcode::Lseek => self.lseek(body),
            Opcode::CopyFileRange => self.copy_file_range(body),
            Opcode::Getlk => self.getlk(body),
            Opcode::Opendir => self.opendir(h),
            Opcode::Readdir => self.readdir(call, body, false),
            Opcode::Readdirplus => self.readdir(call, body, true),
            Opcode::Setxattr => self.setxattr(h, body),
            Opcode::Getxattr => self.getxattr(h, body),
            Opcode::Listxattr => self.listxattr(h, body),
            Opcode::Removexattr => self.removexattr(h, body),
            Opcode::Destroy => {
                self.reset();
                Ok(())
            }
            _ => Err(Errno::NOSYS),
        }?;
        Ok(Done::Out)
    }

    /// Before everything that changes something.
    fn may_write(&self) -> Res<()> {
        if self.settings.readonly { Err(Errno::ROFS) } else { Ok(()) }
    }
}

/// Puts a struct fuse_out_header before the `len` bytes of the reply.
fn reply(writable: &[Slice], unique: u64, error: i32, len: usize) -> Answer {
    let total = u32::try_from(OUT_HEADER + len).unwrap_or(u32::MAX);
    let mut header = Vec::with_capacity(OUT_HEADER);
    header.u32(total);
    header.extend((-error).to_le_bytes());
    header.u64(unique);
    match vectored::copy_from(writable, 0, &header) {
        OUT_HEADER => Answer::Reply(total),
        // Where there is no room for it, none was wanted.
        _ => Answer::Nothing,
    }
}

#[cfg(test)]
mod tests;
