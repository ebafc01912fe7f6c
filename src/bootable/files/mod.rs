//! File systems, read-only: enough of ext2/3/4, FAT and ISO 9660 to find a boot loader's files and read them.

mod ext;
mod fat;
mod foreign;
mod iso;

use super::disk::Part;
use anyhow::{Context, Result, ensure};

/// What the file system of a CD-ROM is called.
pub const ISO: &str = "ISO 9660";

/// Symbolic links on the way to one file, as Linux has it.
const LINKS_MAX: usize = 40;
const PATH_MAX: usize = 4096;
/// Entries of a directory that are looked at.
pub(super) const NAMES_MAX: usize = 100_000;

pub trait FileSystem {
    /// What it is, for people.
    fn kind(&self) -> &'static str;
    /// What `root=UUID=` and GRUB's `search --fs-uuid` call it.
    fn uuid(&self) -> Option<&str>;
    fn label(&self) -> Option<&str>;
    fn root(&self) -> Result<Node>;
    /// The names in a directory; `.` and `..` may be among them.
    fn names(&self, dir: &Node) -> Result<Vec<String>>;
    fn find(&self, dir: &Node, name: &str) -> Result<Option<Node>>;
    /// What is in a file, or the target of a link. An error when it has more than `most` bytes.
    fn content(&self, node: &Node, most: u64) -> Result<Content>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Link,
    Other,
}

/// A thing with a name.
#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    /// What the file system knows it by.
    pub id: u64,
    /// Bytes.
    pub len: u64,
    /// The target of a link, where that is not in its content.
    pub target: Option<String>,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// They follow each other, and together are as long as the file.
    Runs(Vec<Run>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Byte of the file system's part of the disk; none for zeros.
    pub at: Option<u64>,
    pub len: u64,
}

impl Content {
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Runs(runs) => runs.iter().fold(0, |sum, r| sum.saturating_add(r.len)),
        }
    }

    /// Adds a run; one that goes on where the last one ends becomes part of it.
    pub(super) fn push(runs: &mut Vec<Run>, run: Run) {
        match runs.last_mut() {
            Some(last) if last.at.map(|at| at.saturating_add(last.len)) == run.at => {
                last.len = last.len.saturating_add(run.len);
            }
            _ => runs.push(run),
        }
    }

    /// Fills `to`, which is as long.
    pub fn read(&self, part: &Part, to: &mut [u8]) -> Result<()> {
        let runs = match self {
            Content::Bytes(bytes) => {
                ensure!(bytes.len() == to.len(), "is not as long as it was");
                to.copy_from_slice(bytes);
                return Ok(());
            }
            Content::Runs(runs) => runs,
        };
        let mut rest = to;
        for run in runs {
            let len = usize::try_from(run.len)?;
            let (now, later) = rest.split_at_mut_checked(len).context("is longer than it was")?;
            match run.at {
                Some(at) => part.fill(at, now)?,
                None => now.fill(0),
            }
            rest = later;
        }
        ensure!(rest.is_empty(), "is shorter than it was");
        Ok(())
    }

    pub fn bytes(&self, part: &Part) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len())?];
        self.read(part, &mut bytes)?;
        Ok(bytes)
    }
}

/// What a part of a disk holds.
pub enum Held<'a> {
    Files(Box<dyn FileSystem + 'a>),
    /// Something that is not read here, by name.
    Foreign(&'static str),
    /// A file system that would be read if it were not broken, or had not a feature that is not known.
    Broken(anyhow::Error),
    Nothing,
}

pub use foreign::HEAD;

/// Whether a file system begins so, one that is read here or another.
pub fn is(head: &[u8]) -> bool {
    ext::is(head) || iso::is(head) || fat::is(head) || foreign::name(head).is_some()
}

pub fn open<'a>(part: Part<'a>) -> Result<Held<'a>> {
    let head = part.bytes(0, usize::try_from(part.len.min(foreign::HEAD))?)?;
    let files = if ext::is(&head) {
        ext::open(part, &head).map(|fs| Box::new(fs) as Box<dyn FileSystem>).context("ext2/3/4")
    } else if iso::is(&head) {
        iso::open(part, &head).map(|fs| Box::new(fs) as Box<dyn FileSystem>).context("ISO 9660")
    } else if let Some(name) = foreign::name(&head) {
        return Ok(Held::Foreign(name));
    } else if fat::is(&head) {
        fat::open(part, &head).map(|fs| Box::new(fs) as Box<dyn FileSystem>).context("FAT")
    } else {
        return Ok(Held::Nothing);
    };
    Ok(files.map_or_else(Held::Broken, Held::Files))
}

/// The file or directory behind an absolute `path`, links followed; none when there is nothing.
pub fn walk(fs: &dyn FileSystem, part: &Part, path: &str) -> Result<Option<Node>> {
    let mut links = 0;
    // The names still to go, the next one last.
    let mut names: Vec<String> = split(path);
    let mut above: Vec<Node> = Vec::new();
    let mut here = fs.root()?;
    while let Some(name) = names.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                here = above.pop().unwrap_or(here);
                continue;
            }
            _ => {}
        }
        if here.kind != Kind::Directory {
            return Ok(None);
        }
        let Some(next) = fs.find(&here, &name)? else { return Ok(None) };
        if next.kind != Kind::Link {
            above.push(std::mem::replace(&mut here, next));
            continue;
        }
        links += 1;
        ensure!(links <= LINKS_MAX, "{path}: more than {LINKS_MAX} symbolic links");
        let target = target(fs, part, &next).with_context(|| format!("{path}: symbolic link {name}"))?;
        if target.starts_with('/') {
            above.clear();
            here = fs.root()?;
        }
        names.extend(split(&target));
        ensure!(names.len() <= PATH_MAX, "{path}: too long");
    }
    Ok(Some(here))
}

fn target(fs: &dyn FileSystem, part: &Part, link: &Node) -> Result<String> {
    match &link.target {
        Some(target) => Ok(target.clone()),
        None => {
            let bytes = fs.content(link, PATH_MAX as u64)?.bytes(part)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

fn split(path: &str) -> Vec<String> {
    path.split('/').rev().map(String::from).collect()
}

#[cfg(test)]
mod tests;
