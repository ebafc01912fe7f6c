//! How a kernel was configured: from the files that builds and distributions leave, or from the kernel itself
//! (CONFIG_IKCONFIG).

use super::needs::{LOG_IN_MEMORY, NEEDS};
use super::tree::Tree;
use super::{Kernel, read};
use crate::boot::skip_past;
use std::cell::OnceCell;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

/// Bytes of the largest configuration; today's have 300 KiB.
const MAX: u64 = 4 << 20;
/// What stands before the packed configuration in a kernel (Linux: kernel/configs.c), and the start of its gzip header.
const IKCONFIG: &[u8] = b"IKCFG_ST\x1f\x8b\x08";
/// The same start, to be put before the rest again.
const GZIP: &[u8] = &[0x1f, 0x8b, 8];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Yes,
    Module,
    No,
}

/// The options that matter here.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    set: Vec<(&'static str, Value)>,
}

impl Config {
    /// None where the text sets no options at all: then it is something else.
    pub fn parse(text: &str) -> Option<Config> {
        let mut set = Vec::new();
        let mut any = false;
        for line in text.lines() {
            let Some((option, value)) = line.strip_prefix("CONFIG_").and_then(|l| l.split_once('=')) else { continue };
            any = true;
            let value = match value.trim_end() {
                "y" => Value::Yes,
                "m" => Value::Module,
                _ => continue,
            };
            let mut known = NEEDS.iter().map(|need| need.option).chain(LOG_IN_MEMORY);
            if let Some(name) = known.find(|name| *name == option) {
                set.push((name, value));
            }
        }
        any.then_some(Config { set })
    }

    /// The one in a kernel's image, if there is one.
    pub fn find(mut image: impl BufRead) -> Option<Config> {
        skip_past(&mut image, IKCONFIG).ok()?.then_some(())?;
        let mut text = Vec::new();
        flate2::bufread::GzDecoder::new(GZIP.chain(image)).take(MAX).read_to_end(&mut text).ok()?;
        Config::parse(&String::from_utf8_lossy(&text))
    }

    /// Of an option in [`NEEDS`] or [`LOG_IN_MEMORY`]. As for make, the last assignment counts.
    pub fn value(&self, option: &str) -> Value {
        self.set.iter().rev().find(|(name, _)| *name == option).map_or(Value::No, |(_, value)| *value)
    }
}

/// Where the configuration of a kernel may be; looked up when it is asked for, and only once.
pub struct Configs<'a> {
    root: &'a Path,
    kernel: &'a Kernel,
    tree: Option<&'a Tree>,
    noted: OnceCell<Option<Config>>,
    inside: OnceCell<Option<Config>>,
}

impl<'a> Configs<'a> {
    pub fn new(root: &'a Path, kernel: &'a Kernel, tree: Option<&'a Tree>) -> Configs<'a> {
        Configs { root, kernel, tree, noted: OnceCell::new(), inside: OnceCell::new() }
    }

    /// From a file.
    pub fn noted(&self) -> Option<&Config> {
        let read = || self.files().iter().find_map(|path| Config::parse(&read(path, MAX).ok()?));
        self.noted.get_or_init(read).as_ref()
    }

    /// From a file, else from the kernel, if that costs little: one that is packed is left alone.
    pub fn any(&self) -> Option<&Config> {
        let image = self.kernel.image();
        let look = || if image.is_packed() { None } else { Config::find(image.unpacked().ok()??) };
        self.noted().or_else(|| self.inside.get_or_init(look).as_ref())
    }

    /// The more certain ones first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut tree = |dir: &Path| {
            // What was built last; .config may have been changed since.
            files.push(dir.join("include/config/auto.conf"));
            files.push(dir.join(".config"));
        };
        if let Some(dir) = &self.kernel.tree {
            tree(dir);
        }
        if let Some(modules) = self.tree {
            tree(&modules.root);
            files.push(modules.root.join("config"));
            files.push(modules.root.join("build/.config"));
        }
        if let Some(release) = &self.kernel.release {
            let name = format!("config-{release}");
            files.push(self.kernel.path.with_file_name(&name));
            files.push(self.root.join("boot").join(name));
        }
        files
    }
}

#[cfg(test)]
mod tests;
