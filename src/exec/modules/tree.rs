//! Where the modules of a kernel are, and which there are: an installed lib/modules/RELEASE, or a build tree.

use super::list::{List, PACKED, name};
use super::object::Object;
use super::{Kernel, read};
use anyhow::{Context, Result, bail, ensure};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

/// Bytes of the largest list of modules; distributions have 1 MiB.
const LIST_MAX: u64 = 32 << 20;
/// Directory entries looked at where there is no list at all, and how deep.
const WALK_MAX: usize = 100_000;
const WALK_DEPTH: usize = 16;
const LISTS: [&str; 3] = ["modules.dep", "modules.order", "modules.builtin"];

pub struct Tree {
    pub root: PathBuf,
    /// modules.builtin.
    built_in: Option<List>,
    modules: OnceCell<Modules>,
}

/// Which there are.
enum Modules {
    /// modules.dep.
    Dep(List),
    /// Paths only.
    Files(List),
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
        let built_in = read(&root.join("modules.builtin"), LIST_MAX).ok().map(List::new);
        Tree { root, built_in, modules: OnceCell::new() }
    }

    /// Whether it is where a kernel was built.
    pub fn is_build(&self) -> bool {
        self.root.join("include/config").is_dir()
    }

    pub fn built_in(&self, module: &str) -> bool {
        self.built_in.as_ref().is_some_and(|list| list.find(module).is_some())
    }

    pub fn has(&self, module: &str) -> bool {
        self.path(module).is_some()
    }

    /// Whether everything this kernel has is in one of its lists.
    pub fn is_complete(&self) -> bool {
        let listed = match self.modules() {
            Modules::Dep(_) => true,
            Modules::Files(list) => !list.is_empty(),
        };
        listed && self.built_in.as_ref().is_some_and(|list| !list.is_empty())
    }

    /// The file of a module.
    pub fn path(&self, module: &str) -> Option<PathBuf> {
        let (Modules::Dep(list) | Modules::Files(list)) = self.modules();
        resolve(&self.root, list.find(module)?.path)
    }

    /// The names of the modules that `module` needs, in an order in which they can be loaded if the list is depmod's:
    /// it has them all, the last one to be loaded first. Without it they are what the module says itself.
    pub fn dependencies(&self, module: &str, object: &Object) -> Result<Vec<String>> {
        match self.modules() {
            Modules::Dep(list) => {
                let needed = list.find(module).map(|entry| entry.rest).unwrap_or_default();
                Ok(needed.split_whitespace().rev().filter_map(name).collect())
            }
            Modules::Files(_) => object.depends(),
        }
    }

    fn modules(&self) -> &Modules {
        self.modules.get_or_init(|| {
            if let Ok(text) = read(&self.root.join("modules.dep"), LIST_MAX) {
                return Modules::Dep(List::new(text));
            }
            Modules::Files(List::new(match read(&self.root.join("modules.order"), LIST_MAX) {
                Ok(text) => text,
                // A tree of sources holds too much to look for modules in it.
                Err(_) if self.is_build() => String::new(),
                Err(_) => walk(&self.root),
            }))
        })
    }
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

/// The modules below a directory, relative to it, one a line. Links are not followed: `build` leads into the sources.
fn walk(root: &Path) -> String {
    let mut found = String::new();
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
                let relative = path.strip_prefix(root).ok().and_then(Path::to_str);
                relative.into_iter().for_each(|path| found.extend([path, "\n"]));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
