//! Where the modules of a kernel are, and which there are: an installed lib/modules/RELEASE, or a build tree.

use super::object::Object;
use super::{Kernel, read};
use anyhow::{Context, Result, bail, ensure};
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of the largest list of modules; distributions have 1 MiB.
const LIST_MAX: u64 = 32 << 20;
/// Directory entries looked at where there is no list at all, and how deep.
const WALK_MAX: usize = 100_000;
const WALK_DEPTH: usize = 16;
const LISTS: [&str; 3] = ["modules.dep", "modules.order", "modules.builtin"];
const PACKED: [&str; 4] = ["", ".xz", ".zst", ".gz"];

pub struct Tree {
    pub root: PathBuf,
    /// The names in modules.builtin.
    built_in: Option<HashSet<String>>,
    index: OnceCell<Index>,
}

/// The modules by name, as far as there is a list.
enum Index {
    /// The lines of modules.dep.
    Dep(String, HashMap<String, Range<usize>>),
    Files(HashMap<String, PathBuf>),
}

/// The modules of `kernel`; `named` is the directory that the user gave. Errors when there are none in it.
pub fn locate(root: &Path, kernel: &Kernel, named: Option<&Path>) -> Result<Option<Tree>> {
    let Some(dir) = named else {
        return Ok(usual(root, kernel).into_iter().find(|dir| has_list(dir)).map(Tree::new));
    };
    let name = || format!("--modules {}", dir.display());
    ensure!(dir.metadata().with_context(name)?.is_dir(), "{}: is not a directory", name());
    let mut places = vec![dir.to_path_buf()];
    for under in ["lib/modules", "usr/lib/modules", ""] {
        match &kernel.release {
            Some(release) => places.push(dir.join(under).join(release)),
            None => places.extend(only(&dir.join(under))),
        }
    }
    if let Some(found) = places.into_iter().find(|dir| has_list(dir)) {
        return Ok(Some(Tree::new(found)));
    }
    let release = kernel.release.as_deref().unwrap_or("RELEASE");
    bail!("{}: has no {}, and no lib/modules/{release} with one", name(), LISTS.join(", "))
}

/// Where the modules of a kernel usually are.
fn usual(root: &Path, kernel: &Kernel) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = kernel.tree.iter().cloned().collect();
    let Some(release) = &kernel.release else { return places };
    let directory = kernel.path.parent();
    // Both lib/modules/RELEASE/vmlinuz and boot/vmlinuz-RELEASE, in whatever root they are.
    places
        .extend(directory.filter(|dir| dir.file_name().is_some_and(|n| n == release.as_str())).map(Path::to_path_buf));
    for root in directory.and_then(Path::parent).into_iter().chain([root]) {
        places.push(root.join("lib/modules").join(release));
        places.push(root.join("usr/lib/modules").join(release));
    }
    places
}

/// The directory in `dir` that has modules, if there is one such only.
fn only(dir: &Path) -> Option<PathBuf> {
    let mut found = dir.read_dir().ok()?.take(1000).filter_map(|e| Some(e.ok()?.path())).filter(|p| has_list(p));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn has_list(dir: &Path) -> bool {
    LISTS.iter().any(|name| dir.join(name).is_file())
}

impl Tree {
    fn new(root: PathBuf) -> Tree {
        let names = |text: String| text.lines().filter_map(name).collect();
        let built_in = read(&root.join("modules.builtin"), LIST_MAX).ok().map(names);
        Tree { root, built_in, index: OnceCell::new() }
    }

    /// Whether it is where a kernel was built.
    pub fn is_build(&self) -> bool {
        self.root.join("include/config").is_dir()
    }

    pub fn built_in(&self, module: &str) -> bool {
        self.built_in.as_ref().is_some_and(|names| names.contains(module))
    }

    pub fn has(&self, module: &str) -> bool {
        self.path(module).is_some()
    }

    /// Whether everything this kernel has is in one of its lists.
    pub fn is_complete(&self) -> bool {
        let listed = match self.index() {
            Index::Dep(..) => true,
            Index::Files(files) => !files.is_empty(),
        };
        listed && self.built_in.as_ref().is_some_and(|names| !names.is_empty())
    }

    /// The file of a module.
    pub fn path(&self, module: &str) -> Option<PathBuf> {
        match self.index() {
            Index::Dep(text, lines) => {
                let (path, _) = text.get(lines.get(module)?.clone())?.split_once(':')?;
                resolve(&self.root, path)
            }
            Index::Files(files) => files.get(module).and_then(|path| resolve(&self.root, path.to_str()?)),
        }
    }

    /// The names of the modules that `module` needs, in an order in which they can be loaded if the list is depmod's:
    /// it has them all, the last one to be loaded first. Without it they are what the module says itself.
    pub fn dependencies(&self, module: &str, object: &Object) -> Result<Vec<String>> {
        let Index::Dep(text, lines) = self.index() else { return object.depends() };
        let line = lines.get(module).and_then(|line| text.get(line.clone())).unwrap_or_default();
        let (_, needed) = line.split_once(':').unwrap_or_default();
        Ok(needed.split_whitespace().rev().filter_map(name).collect())
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            if let Ok(text) = read(&self.root.join("modules.dep"), LIST_MAX) {
                return dep(text);
            }
            match read(&self.root.join("modules.order"), LIST_MAX) {
                Ok(text) => Index::Files(named(text.lines().map(PathBuf::from))),
                // A tree of sources holds too much to look for modules in it.
                Err(_) if self.is_build() => Index::Files(HashMap::new()),
                Err(_) => Index::Files(named(walk(&self.root).into_iter())),
            }
        })
    }
}

fn dep(text: String) -> Index {
    let mut lines = HashMap::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.split_once(':').and_then(|(path, _)| name(path)) {
            lines.entry(name).or_insert(at..at + line.len());
        }
        at += line.len();
    }
    Index::Dep(text, lines)
}

/// The first of a name counts.
fn named(paths: impl Iterator<Item = PathBuf>) -> HashMap<String, PathBuf> {
    let mut files = HashMap::new();
    for path in paths {
        if let Some(name) = path.to_str().and_then(name) {
            files.entry(name).or_insert(path);
        }
    }
    files
}

/// The name of the module in a file: `_` for `-`, as the kernel has it. None for what is no module's name.
pub fn name(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let stem = PACKED.iter().filter(|s| !s.is_empty()).find_map(|s| file.strip_suffix(s)).unwrap_or(file);
    // Linux 6.2 and later list what a build makes as objects.
    let stem = stem.strip_suffix(".ko").or_else(|| stem.strip_suffix(".o")).unwrap_or(stem);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-+".contains(&b);
    (!stem.is_empty() && stem.len() < 64 && stem.bytes().all(fits)).then(|| stem.replace('-', "_"))
}

/// The file that a list means: lists of builds have `kernel/` before the path or not, the object for the module, and
/// none knows how it was packed when it was installed.
fn resolve(root: &Path, listed: &str) -> Option<PathBuf> {
    let stem = listed.strip_suffix(".o").map(|stem| format!("{stem}.ko"));
    let listed = stem.as_deref().unwrap_or(listed);
    let variants = [Some(listed), listed.strip_prefix("kernel/")];
    let paths = variants.into_iter().flatten();
    paths.flat_map(|path| PACKED.map(|suffix| root.join(format!("{path}{suffix}")))).find(|path| path.is_file())
}

/// The modules below a directory, relative to it. Links are not followed: `build` leads into the sources.
fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut seen = 0;
    let mut left = vec![(root.to_path_buf(), 0)];
    while let Some((dir, depth)) = left.pop() {
        for entry in dir.read_dir().into_iter().flatten().flatten() {
            seen += 1;
            if seen > WALK_MAX {
                return found;
            }
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() && depth < WALK_DEPTH {
                left.push((path, depth + 1));
            } else if kind.is_file() && entry.file_name().to_string_lossy().contains(".ko") {
                found.extend(path.strip_prefix(root).map(Path::to_path_buf));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
