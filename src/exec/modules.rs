//! What a kernel needs to run a command for kiln: what of it is built in, what are modules, and what is missing.

mod config;
mod list;
#[cfg(test)]
pub mod made;
mod needs;
mod object;
mod order;
mod tree;

pub use order::Module;

use super::kernel::Kernel;
use crate::config::Transport;
use anyhow::{Context, Error, Result, anyhow, ensure};
use config::{Config, Configs, Value};
use needs::{LOG_IN_MEMORY, NEEDS, Need};
use std::fs::OpenOptions;
use std::io::{BufRead, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tree::Tree;

/// What the machine will have: each needs drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    pub transport: Transport,
    /// The command gets a terminal.
    pub terminal: bool,
    pub net: bool,
    pub disk: bool,
}

/// What goes into the guest with the kernel.
pub struct Plan {
    /// In the order of loading.
    pub modules: Vec<Module>,
    /// What will not be as the user may expect; one line each.
    pub warnings: Vec<String>,
    /// The kernel describes its log, so that it can be read out of its memory.
    pub readable_log: bool,
    /// Where this kernel's modules are on the host: a lib/modules/RELEASE directory, or its build tree.
    pub directory: Option<PathBuf>,
    /// Of which nobody could say whether the kernel has it.
    unknown: Vec<&'static Need>,
}

/// How a kernel has what is needed.
#[derive(Debug, PartialEq, Eq)]
enum State {
    BuiltIn,
    Module,
    /// The option that is not set.
    NotSet(&'static str),
    /// The option that makes it a module, of which there is no file.
    NoFile(&'static str),
    Unknown,
}

/// Finds what `kernel` needs. `dir`: where its modules are, `/lib/modules/RELEASE`, a directory with such a one in it
/// (`make modules_install INSTALL_MOD_PATH=`), or a build tree; without it the kernel's own tree and the usual places are
/// looked at. Errors name what is missing, where that is certain; what is not known is left to the boot.
pub fn plan(kernel: &Kernel, dir: Option<&Path>, wants: &Wants) -> Result<Plan> {
    plan_under(Path::new("/"), kernel, dir, wants)
}

/// The same, with the host's own files under `root`.
fn plan_under(root: &Path, kernel: &Kernel, dir: Option<&Path>, wants: &Wants) -> Result<Plan> {
    let tree = tree::locate(root, kernel, dir)?;
    let configs = Configs::new(root, kernel, tree.as_ref());
    let mut order = order::Order::new(tree.as_ref());
    let mut missing = Vec::new();
    let (mut unknown, mut warnings) = (Vec::new(), Vec::new());
    for need in NEEDS.iter().filter(|need| (need.when)(wants)) {
        match (state(need, tree.as_ref(), &configs), need.module) {
            (State::BuiltIn, _) | (State::Module, None) => {}
            (State::Unknown, _) => unknown.extend(need.required.then_some(need)),
            (State::Module, Some(module)) => order.add(module)?,
            (state, _) if need.required => missing.push((need, state)),
            (State::NotSet(option) | State::NoFile(option), _) => {
                warnings.push(format!("{}: CONFIG_{option} is not set: {}", kernel.name(), need.why));
            }
        }
    }
    if !missing.is_empty() {
        return Err(refusal(kernel, &missing, tree.as_ref()));
    }
    let modules = order.finish();
    warnings.extend(foreign(kernel, &modules));
    let readable_log = configs.noted().is_some_and(describes_log);
    Ok(Plan { modules, warnings, readable_log, directory: tree.map(|tree| tree.root), unknown })
}

impl Plan {
    /// Looks into the kernel itself (CONFIG_IKCONFIG) for what could not be known before: why a boot came to nothing.
    /// A packed kernel takes up to a second to look into. The error names what is missing.
    pub fn explain(&self, kernel: &Kernel) -> Result<()> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        kernel.image().unpacked()?.map_or(Ok(()), |image| self.check(kernel, image))
    }

    /// The same where the kernel lies unpacked already.
    pub fn check(&self, kernel: &Kernel, image: impl BufRead) -> Result<()> {
        let Some(config) = Config::find(image) else { return Ok(()) };
        let state = |need: &'static Need| match config.value(need.option) {
            Value::Yes => None,
            Value::Module => Some((need, State::NoFile(need.option))),
            Value::No => Some((need, State::NotSet(need.option))),
        };
        let missing: Vec<_> = self.unknown.iter().filter_map(|need| state(need)).collect();
        if missing.is_empty() { Ok(()) } else { Err(refusal(kernel, &missing, None)) }
    }
}

fn describes_log(config: &Config) -> bool {
    LOG_IN_MEMORY.iter().any(|option| config.value(option) == Value::Yes)
}

fn state(need: &Need, tree: Option<&Tree>, configs: &Configs<'_>) -> State {
    let listed = need.module.zip(tree);
    if let Some((module, tree)) = listed {
        if tree.built_in(module) {
            return State::BuiltIn;
        }
        if tree.has(module) {
            return State::Module;
        }
    }
    // A kernel is searched for its configuration only when something seems to be missing.
    let config = if need.module.is_some() { configs.any() } else { configs.noted() };
    match config.map(|config| config.value(need.option)) {
        Some(Value::Yes) => State::BuiltIn,
        Some(Value::Module) => State::NoFile(need.option),
        Some(Value::No) => State::NotSet(need.option),
        // Then it would be in one of the two lists.
        None if listed.is_some_and(|(_, tree)| tree.is_complete()) => State::NotSet(need.option),
        None => State::Unknown,
    }
}

/// What is missing and what to do, in one line.
fn refusal(kernel: &Kernel, missing: &[(&Need, State)], tree: Option<&Tree>) -> Error {
    let name = kernel.name();
    let needs = |of: &dyn Fn(&State) -> bool| -> Vec<&Need> {
        missing.iter().filter(|(_, state)| of(state)).map(|(need, _)| *need).collect()
    };
    let say = |needs: &[&Need], (one, many): (&str, &str)| {
        let options: Vec<_> = needs.iter().map(|n| format!("CONFIG_{}", n.option)).collect();
        let reasons: Vec<_> = needs.iter().map(|n| n.why.to_string()).collect();
        let (is, it) = if needs.len() == 1 { (one, "it") } else { (many, "them") };
        format!("{name}: {} {is}: kiln exec needs {it} {}", join(&options), join(&reasons))
    };
    let unset = needs(&|state| matches!(state, State::NotSet(_)));
    if !unset.is_empty() {
        let set: Vec<_> = unset.iter().map(|n| format!("CONFIG_{}=y", n.option)).collect();
        return anyhow!("{}; build it with {}", say(&unset, ("is not set", "are not set")), set.join(" "));
    }
    let lost = say(&needs(&|state| matches!(state, State::NoFile(_))), ("is a module", "are modules"));
    match tree {
        Some(tree) if tree.is_build() => {
            anyhow!("{lost}, and not in {}; `make modules` builds it", tree.root.display())
        }
        Some(tree) => anyhow!("{lost}, and not in {}; --modules DIR names another place", tree.root.display()),
        None => anyhow!("{lost}, and this kernel's modules were not found; --modules DIR says where they are"),
    }
}

fn join(words: &[String]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// A warning if modules are of another kernel.
fn foreign(kernel: &Kernel, modules: &[Module]) -> Option<String> {
    let release = kernel.release.as_deref()?;
    let other = modules.iter().find(|m| m.release.as_deref().is_some_and(|r| r != release))?;
    let built = other.release.as_deref().unwrap_or_default();
    Some(format!("{}: {} is for kernel {built} and may be refused", kernel.name(), other.path.display()))
}

/// The text of a file of at most `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> Result<String> {
    let name = || format!("read {}", path.display());
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).with_context(name)?;
    ensure!(file.metadata().with_context(name)?.is_file(), "read {}: is not a regular file", path.display());
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).with_context(name)?;
    ensure!(bytes.len() as u64 <= most, "read {}: has more than {most} bytes", path.display());
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests;
