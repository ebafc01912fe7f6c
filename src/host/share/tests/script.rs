//! A language of file operations, one a line, and what each says. Run on the mount and on a plain directory, the same
//! script must say the same.

use super::*;
use crate::sys::{mount, range};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};

pub struct Script {
    base: PathBuf,
    open: HashMap<String, File>,
}

type Said = io::Result<String>;

fn text(s: &str) -> CString {
    CString::new(s).unwrap()
}

/// The octal or decimal number of a word.
fn number(word: &str) -> i64 {
    match word.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).unwrap(),
        _ => word.parse().unwrap(),
    }
}

/// `ab*3` is `ababab`; `@` is nothing.
fn bytes(word: &str) -> Vec<u8> {
    match word.split_once('*') {
        _ if word == "@" => Vec::new(),
        Some((what, times)) => what.repeat(times.parse().unwrap()).into_bytes(),
        None => word.as_bytes().to_vec(),
    }
}

fn shown(data: &[u8]) -> String {
    let end = data.iter().rposition(|b| Some(b) != data.last()).map_or(0, |at| at + 1);
    let (head, tail) = data.split_at(end);
    let tail = tail.first().map_or(String::new(), |b| format!("{}x{:?}", tail.len(), *b as char));
    format!("{:?}+{tail}", String::from_utf8_lossy(head))
}

fn flags(word: &str) -> i32 {
    let one = |name: &str| match name {
        "r" => libc::O_RDONLY,
        "w" => libc::O_WRONLY,
        "rw" => libc::O_RDWR,
        "creat" => libc::O_CREAT,
        "excl" => libc::O_EXCL,
        "trunc" => libc::O_TRUNC,
        "append" => libc::O_APPEND,
        "dir" => libc::O_DIRECTORY,
        "nofollow" => libc::O_NOFOLLOW,
        "tmp" => libc::O_TMPFILE,
        "sync" => libc::O_SYNC,
        "nonblock" => libc::O_NONBLOCK,
        "path" => libc::O_PATH,
        _ => panic!("flag {name}"),
    };
    word.split('|').map(one).fold(0, |all, flag| all | flag)
}

fn stat(m: &fs::Metadata) -> String {
    let size = if m.is_dir() { 0 } else { m.len() };
    format!("{:o} links={} {}:{} size={size} rdev={:x}", m.mode(), m.nlink(), m.uid(), m.gid(), m.rdev())
}

impl Script {
    pub fn new(base: &Path) -> Script {
        Script { base: base.to_path_buf(), open: HashMap::new() }
    }

    /// What a line says: `ok`, a result, or the name of an error.
    pub fn line(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(("as", rest)) = line.split_once(' ') {
            return self.as_user(rest);
        }
        match self.run(&words) {
            Ok(said) if said.is_empty() => "ok".to_string(),
            Ok(said) => said,
            Err(e) => format!("{:?}", e.raw_os_error().map_or(e.to_string(), |n| format!("errno {n}"))),
        }
    }

    /// `as USER LINE`: in group USER too, with no rights of root.
    fn as_user(&mut self, rest: &str) -> String {
        let (user, line) = rest.split_once(' ').unwrap();
        let user = number(user) as u32;
        std::thread::scope(|scope| {
            let run = || {
                mount::become_user(user, user).unwrap();
                self.line(line)
            };
            scope.spawn(run).join().unwrap()
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        if name == "." {
            self.base.clone()
        } else {
            self.base.join(name.replace("%255", &"n".repeat(255)).replace("%256", &"n".repeat(256)))
        }
    }

    /// A descriptor of the path itself.
    fn place(&self, name: &str) -> io::Result<File> {
        File::options().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(self.path(name))
    }

    fn file(&self, name: &str) -> &File {
        self.open.get(name).unwrap_or_else(|| panic!("{name} is not open"))
    }

    fn run(&mut self, words: &[&str]) -> Said {
        match words {
            [
                "open" | "names" | "close" | "write" | "pwrite" | "pread" | "fstat" | "ftruncate" | "fallocate"
                | "seek" | "copy" | "linkfd" | "fsync" | "fchmod" | "futimens",
                ..,
            ] => self.on_file(words),
            ["setxattr" | "getxattr" | "listxattr" | "rmxattr", ..] => self.on_attributes(words),
            _ => self.on_path(words),
        }
    }

    fn on_path(&mut self, words: &[&str]) -> Said {
        let done = String::new();
        let root = File::open(&self.base)?;
        let root = root.as_fd();
        let full = |name: &str| CString::new(self.path(name).into_os_string().into_encoded_bytes()).unwrap();
        match words {
            ["mkdir", name, mode] => dir::make_dir(root, &full(name), number(mode) as u32).map(|()| done),
            ["rmdir", name] => dir::remove(root, &full(name), true).map(|()| done),
            ["unlink", name] => dir::remove(root, &full(name), false).map(|()| done),
            ["mknod", name, mode, device] => {
                dir::make_node(root, &full(name), number(mode) as u32, number(device) as u64).map(|()| done)
            }
            ["symlink", target, name] => dir::make_symlink(root, &full(name), &text(target)).map(|()| done),
            ["readlink", name] => Ok(fs::read_link(self.path(name))?.display().to_string()),
            ["link", from, to] => fs::hard_link(self.path(from), self.path(to)).map(|()| done),
            ["rename", from, to] => fs::rename(self.path(from), self.path(to)).map(|()| done),
            ["rename2", from, to, flags] => {
                dir::rename(root, &full(from), root, &full(to), number(flags) as u32).map(|()| done)
            }
            ["chmod", name, mode] => {
                fs::set_permissions(self.path(name), fs::Permissions::from_mode(number(mode) as u32)).map(|()| done)
            }
            ["chown", name, user, group] => {
                let id = |word: &str| u32::try_from(number(word)).ok();
                std::os::unix::fs::lchown(self.path(name), id(user), id(group)).map(|()| done)
            }
            ["truncate", name, size] => inode::truncate(self.place(name)?.as_fd(), number(size)).map(|()| done),
            ["utimens", name, access, change] => {
                let time = |word| libc::timespec { tv_sec: number(word), tv_nsec: 123_456_789 };
                inode::change_times(self.place(name)?.as_fd(), [time(access), time(change)]).map(|()| done)
            }
            ["times", name] => {
                let m = fs::symlink_metadata(self.path(name))?;
                Ok(format!("{}.{} {}.{}", m.atime(), m.atime_nsec(), m.mtime(), m.mtime_nsec()))
            }
            ["stat", name] => Ok(stat(&fs::symlink_metadata(self.path(name))?)),
            ["follow", name] => Ok(stat(&fs::metadata(self.path(name))?)),
            ["read", name] => Ok(shown(&fs::read(self.path(name))?)),
            ["ls", name] => self.list(name),
            ["same", a, b] => {
                let ino = |name| fs::symlink_metadata(self.path(name)).map(|m| m.ino());
                Ok((ino(a)? == ino(b)?).to_string())
            }
            ["statfs", name] => {
                let fs = inode::stat_fs(self.place(name)?.as_fd())?;
                Ok(format!("{} {} {} {}", fs.f_blocks, fs.f_files, fs.f_namelen, fs.f_bsize))
            }
            _ => panic!("{words:?}"),
        }
    }

    /// Names, types as the directory itself has them, and that inode numbers agree with those of stat.
    fn list(&self, name: &str) -> Said {
        let dir = File::open(self.path(name))?;
        let mut all = Vec::new();
        let mut buffer = vec![0; 4096];
        loop {
            let n = dir::read_entries(dir.as_fd(), &mut buffer)?;
            if n == 0 {
                break;
            }
            let mut rest = &buffer[..n];
            while !rest.is_empty() {
                let size = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
                let inode = u64::from_le_bytes(*rest.first_chunk().unwrap());
                let name = CStr::from_bytes_until_nul(&rest[19..]).unwrap().to_str().unwrap();
                let same = name == ".." || self.inode_of(&dir, name)? == inode;
                all.push(format!("{name}:{}{}", rest[18], if same { "" } else { "!" }));
                rest = &rest[size..];
            }
        }
        all.sort();
        Ok(format!("[{}]", all.join(" ")))
    }

    fn inode_of(&self, dir: &File, name: &str) -> io::Result<u64> {
        Ok(inode::stat_at(dir.as_fd(), &text(name))?.stx_ino)
    }

    fn on_file(&mut self, words: &[&str]) -> Said {
        let done = String::new();
        match words {
            ["open", handle, name, how, mode @ ..] => {
                let how = flags(how);
                let access = how & libc::O_ACCMODE;
                let mut options = File::options();
                options.read(access != libc::O_WRONLY).write(access != libc::O_RDONLY);
                options.custom_flags(how & !libc::O_ACCMODE).mode(mode.first().map_or(0, |m| number(m) as u32));
                let file = options.open(self.path(name))?;
                self.open.insert(handle.to_string(), file);
                Ok(done)
            }
            ["close", handle] => {
                drop(self.open.remove(*handle).unwrap());
                Ok(done)
            }
            ["write", handle, data] => io::Write::write(&mut self.file(handle), &bytes(data)).map(|n| n.to_string()),
            ["pwrite", handle, at, data] => {
                self.file(handle).write_at(&bytes(data), number(at) as u64).map(|n| n.to_string())
            }
            ["pread", handle, at, len] => {
                let mut data = vec![0; number(len) as usize];
                let n = self.file(handle).read_at(&mut data, number(at) as u64)?;
                Ok(shown(&data[..n]))
            }
            ["fstat", handle] => Ok(stat(&self.file(handle).metadata()?)),
            ["fchmod", handle, mode] => {
                self.file(handle).set_permissions(fs::Permissions::from_mode(number(mode) as u32)).map(|()| done)
            }
            ["futimens", handle, access, change] => {
                let time = |word| libc::timespec { tv_sec: number(word), tv_nsec: 5 };
                inode::change_times(self.file(handle).as_fd(), [time(access), time(change)]).map(|()| done)
            }
            ["ftruncate", handle, size] => range::set_size(self.file(handle).as_fd(), number(size)).map(|()| done),
            ["fallocate", handle, mode, at, len] => {
                let mode = number(mode) as i32;
                range::allocate(self.file(handle).as_fd(), mode, number(at), number(len)).map(|()| done)
            }
            ["seek", handle, at, what] => {
                let whence = if *what == "data" { libc::SEEK_DATA } else { libc::SEEK_HOLE };
                range::seek(self.file(handle).as_fd(), number(at), whence).map(|at| at.to_string())
            }
            ["copy", from, at, to, to_at, len] => {
                let (from, to) = (self.file(from).as_fd(), self.file(to).as_fd());
                let n = range::copy(from, number(at), to, number(to_at), number(len) as usize)?;
                Ok(n.to_string())
            }
            ["linkfd", handle, name] => {
                let root = File::open(&self.base)?;
                inode::link(self.file(handle).as_fd(), root.as_fd(), &text(name)).map(|()| done)
            }
            ["fsync", handle] => self.file(handle).sync_all().map(|()| done),
            _ => panic!("{words:?}"),
        }
    }

    fn on_attributes(&mut self, words: &[&str]) -> Said {
        match words {
            ["setxattr", name, key, value, flags] => {
                let place = self.place(name)?;
                let flags = number(flags) as i32;
                inode::set_attribute(place.as_fd(), &text(key), &bytes(value), flags).map(|()| String::new())
            }
            ["getxattr", name, key, room] => {
                let mut value = vec![0; number(room) as usize];
                let n = inode::attribute(self.place(name)?.as_fd(), &text(key), &mut value)?;
                Ok(format!("{n} {}", shown(value.get(..n).unwrap_or_default())))
            }
            ["listxattr", name, room] => {
                let mut names = vec![0; number(room) as usize];
                let n = inode::attributes(self.place(name)?.as_fd(), &mut names)?;
                Ok(format!("{n} {:?}", String::from_utf8_lossy(names.get(..n).unwrap_or_default())))
            }
            ["rmxattr", name, key] => {
                inode::remove_attribute(self.place(name)?.as_fd(), &text(key)).map(|()| String::new())
            }
            _ => panic!("{words:?}"),
        }
    }
}

/// A picture of a whole tree.
pub fn picture(at: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![at.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let m = fs::symlink_metadata(&path).unwrap();
            let what = match m.mode() & libc::S_IFMT {
                libc::S_IFREG => shown(&fs::read(&path).unwrap()),
                libc::S_IFLNK => fs::read_link(&path).unwrap().display().to_string(),
                _ => String::new(),
            };
            all.push(format!("{} {} {what}", path.strip_prefix(at).unwrap().display(), stat(&m)));
            if m.is_dir() {
                todo.push(path);
            }
        }
    }
    all.sort();
    all
}
