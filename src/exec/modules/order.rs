//! The modules a kernel has to load, each behind those it depends on.

use super::object::Object;
use super::tree::Tree;
use crate::boot::{Contents, contents};
use crate::config::Part;
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of the largest module, debug information and all.
const MAX: u64 = 256 << 20;
/// A chain of dependencies is not longer, nor are there more modules; Linux's longest chains have about ten.
const DEPTH: usize = 64;
const COUNT: usize = 256;

/// A module that goes into the guest.
pub struct Module {
    /// As the kernel has it: `virtio_fs`.
    pub name: String,
    /// On the host.
    pub path: PathBuf,
    /// What goes into the guest, in order: unpacked, without debug information.
    pub parts: Vec<Part>,
    /// Of the kernel it was built for.
    pub release: Option<String>,
}

/// Collects modules.
pub struct Order<'a> {
    tree: Option<&'a Tree>,
    modules: Vec<Module>,
    /// False while those are looked at that a module depends on.
    seen: HashMap<String, bool>,
}

impl<'a> Order<'a> {
    pub fn new(tree: Option<&'a Tree>) -> Order<'a> {
        Order { tree, modules: Vec::new(), seen: HashMap::new() }
    }

    /// Adds a module of the tree and all it depends on.
    pub fn add(&mut self, module: &str) -> Result<()> {
        let Some(tree) = self.tree else { return Ok(()) };
        self.visit(tree, module, 0)
    }

    pub fn finish(self) -> Vec<Module> {
        self.modules
    }

    fn visit(&mut self, tree: &Tree, name: &str, depth: usize) -> Result<()> {
        let dir = tree.root.display();
        match self.seen.get(name) {
            Some(true) => return Ok(()),
            Some(false) => anyhow::bail!("{dir}: module {name} depends on itself"),
            None => {}
        }
        ensure!(depth < DEPTH && self.seen.len() < COUNT, "{dir}: module {name} and others depend on too many");
        self.seen.insert(name.to_string(), false);
        let path = tree.path(name).with_context(|| format!("{dir}: there is no module {name}"))?;
        let object = open(&path).with_context(|| format!("module {}", path.display()))?;
        for needed in tree.dependencies(name, &object).with_context(|| format!("module {}", path.display()))? {
            if !tree.built_in(&needed) {
                self.visit(tree, &needed, depth + 1).with_context(|| format!("module {name} needs {needed}"))?;
            }
        }
        let release = object.release();
        let parts = object.lean();
        self.modules.push(Module { name: name.to_string(), path, parts, release });
        self.seen.insert(name.to_string(), true);
        Ok(())
    }
}

fn open(path: &std::path::Path) -> Result<Object> {
    Object::parse(match contents(path, MAX)? {
        Contents::Stored(file, len) => Part::File { file: Arc::new(file), range: 0..len },
        Contents::Unpacked(bytes) => Part::Bytes(Arc::new(bytes)),
    })
}

#[cfg(test)]
mod tests;
