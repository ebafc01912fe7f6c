//! kiln.toml as it is written: tables of keys, defaults first. An error names the file's line and the key.

mod place;
mod values;

pub use values::{Checked, Command, Ends, FailSet, Kinds, Ktap, Memory, Strings, Vcpus};

use anyhow::{Context, Result, anyhow, ensure};
use place::Places;
use regex_lite::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::values::Period;

/// Bytes of a file that somebody wrote by hand, with room to spare.
const LARGEST: u64 = 4 << 20;

/// Declares a table of the file: its own keys, and those that every table may have.
macro_rules! table {
    ($(#[$m:meta])* $name:ident { $($(#[$f:meta])* $field:ident: $ty:ty),* $(,)? }) => {
        $(#[$m])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub struct $name {
            $($(#[$f])* pub $field: $ty,)*
            timeout: Option<Checked<Period>>,
            cpus: Option<Checked<Vcpus>>,
            memory: Option<Checked<Memory>>,
            transport: Option<values::Bus>,
            append: Option<String>,
            args: Strings,
            initrd: Strings,
            env: BTreeMap<String, String>,
            rw: Strings,
            ro: Strings,
            cwd: Option<PathBuf>,
            user: Option<String>,
            retry: Option<u32>,
            fail_on: Option<FailSet>,
            skip: Option<String>,
        }
        impl $name {
            /// The keys that every table may have.
            pub fn keys(&self) -> Keys {
                let s = self.clone();
                Keys {
                    timeout: s.timeout, cpus: s.cpus, memory: s.memory, transport: s.transport,
                    append: s.append, args: s.args, initrd: s.initrd, env: s.env, rw: s.rw, ro: s.ro, cwd: s.cwd,
                    user: s.user, retry: s.retry, fail_on: s.fail_on, skip: s.skip,
                }
            }
        }
    };
}

/// What a boot is made of, wherever in the file it stands.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    pub timeout: Option<Checked<Period>>,
    pub cpus: Option<Checked<Vcpus>>,
    pub memory: Option<Checked<Memory>>,
    pub transport: Option<values::Bus>,
    /// Kernel arguments.
    pub append: Option<String>,
    /// More flags for `kiln exec` or `kiln run`.
    pub args: Strings,
    pub initrd: Strings,
    pub env: BTreeMap<String, String>,
    pub rw: Strings,
    pub ro: Strings,
    pub cwd: Option<PathBuf>,
    pub user: Option<String>,
    pub retry: Option<u32>,
    pub fail_on: Option<FailSet>,
    /// Why it is not run.
    pub skip: Option<String>,
}

impl Keys {
    /// `self`, with what `over` says in its place or, where a key is a list, behind it.
    pub fn and(mut self, over: Keys) -> Keys {
        self.args.0.extend(over.args.0);
        self.initrd.0.extend(over.initrd.0);
        self.rw.0.extend(over.rw.0);
        self.ro.0.extend(over.ro.0);
        self.env.extend(over.env);
        let append: Vec<String> = self.append.into_iter().chain(over.append).filter(|a| !a.is_empty()).collect();
        Keys {
            timeout: over.timeout.or(self.timeout),
            cpus: over.cpus.or(self.cpus),
            memory: over.memory.or(self.memory),
            transport: over.transport.or(self.transport),
            append: (!append.is_empty()).then(|| append.join(" ")),
            cwd: over.cwd.or(self.cwd),
            user: over.user.or(self.user),
            retry: over.retry.or(self.retry),
            fail_on: over.fail_on.or(self.fail_on),
            skip: over.skip.or(self.skip),
            ..self
        }
    }
}

table! { Defaults {} }
table! { Machine {} }
table! {
    Kernel {
        path: Option<PathBuf>,
        modules: Option<PathBuf>,
    }
}
table! {
    Test {
        command: Option<Command>,
        /// Runs until this appears on the console.
        r#await: Option<Checked<Regex>>,
        ktap: Option<Ktap>,
        expect: Expect,
        kernels: Option<Strings>,
        machines: Option<Strings>,
    }
}

/// How a boot is to end. Without a word: with status 0.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    pub status: Option<u8>,
    pub ends: Option<Ends>,
    /// Must appear in the output of the command, or on the console.
    pub output: Option<Checked<Regex>>,
    /// Must appear in the kernel log.
    pub log: Option<Checked<Regex>>,
    /// Kinds of reports that must be in the kernel log.
    pub report: Kinds,
}

/// Boots that are left out: those that all given keys are true of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exclude {
    pub kernel: Option<Strings>,
    pub machine: Option<Strings>,
    pub test: Option<Strings>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tables {
    defaults: Defaults,
    kernels: BTreeMap<String, Kernel>,
    machines: BTreeMap<String, Machine>,
    tests: BTreeMap<String, Test>,
    exclude: Vec<Exclude>,
}

/// The file, checked as far as it can be without looking at anything else. Tables stand in the order of the file.
#[derive(Debug)]
pub struct File {
    pub defaults: Keys,
    pub kernels: Vec<(String, Kernel)>,
    pub machines: Vec<(String, Machine)>,
    pub tests: Vec<(String, Test)>,
    pub exclude: Vec<Exclude>,
    places: Places,
}

impl File {
    pub fn read(path: &Path) -> Result<File> {
        let open = std::fs::File::open(path).with_context(|| format!("open {}", path.display()));
        let file = open.map_err(|e| match e.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
            Some(std::io::ErrorKind::NotFound) => anyhow!("{e:#}; `kiln ci --help` shows one"),
            _ => e,
        })?;
        let mut text = String::new();
        let read = file.take(LARGEST + 1).read_to_string(&mut text);
        read.with_context(|| format!("read {}", path.display()))?;
        ensure!(text.len() as u64 <= LARGEST, "{}: larger than {} MiB", path.display(), LARGEST >> 20);
        File::parse(&path.display().to_string(), &text)
    }

    /// `name` is the file's, for errors.
    pub fn parse(name: &str, text: &str) -> Result<File> {
        let places = Places::of(name, text)?;
        let tables: Tables = toml::from_str(text).map_err(|e| places.explain(&e))?;
        let file = File {
            defaults: tables.defaults.keys(),
            kernels: places.in_order("kernels", tables.kernels),
            machines: places.in_order("machines", tables.machines),
            tests: places.in_order("tests", tables.tests),
            exclude: tables.exclude,
            places,
        };
        file.check()?;
        Ok(file)
    }

    /// An error about the key at `path`.
    pub fn wrong(&self, path: &[&str], what: &str) -> anyhow::Error {
        self.places.wrong(path, what)
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.tests.is_empty(), self.wrong(&[], "there is no test; add a table such as [tests.boots]"));
        let named = |table: &'static str, names: Vec<&String>| {
            let bad = names.into_iter().find(|n| !is_name(n));
            bad.map_or(Ok(()), |n| {
                let what = "a name has letters, digits and . _ + - in it, and begins with a letter or a digit";
                Err(self.wrong(&[table, n], what))
            })
        };
        named("kernels", self.kernels.iter().map(|(n, _)| n).collect())?;
        named("machines", self.machines.iter().map(|(n, _)| n).collect())?;
        named("tests", self.tests.iter().map(|(n, _)| n).collect())?;
        for (name, test) in &self.tests {
            self.check_test(name, test)?;
            self.known(&["tests", name, "kernels"], test.kernels.as_ref(), &names(&self.kernels))?;
            self.known(&["tests", name, "machines"], test.machines.as_ref(), &names(&self.machines))?;
        }
        for exclude in &self.exclude {
            self.known(&["exclude", "kernel"], exclude.kernel.as_ref(), &names(&self.kernels))?;
            self.known(&["exclude", "machine"], exclude.machine.as_ref(), &names(&self.machines))?;
            self.known(&["exclude", "test"], exclude.test.as_ref(), &names(&self.tests))?;
            let empty = exclude.kernel.is_none() && exclude.machine.is_none() && exclude.test.is_none();
            ensure!(!empty, self.wrong(&["exclude"], "leaves out everything; name a kernel, machine or test"));
        }
        Ok(())
    }

    fn check_test(&self, name: &str, test: &Test) -> Result<()> {
        let at = |key: &'static str, what: &str| Err(self.wrong(&["tests", name, key], what));
        let expect = &test.expect;
        if test.command.is_none() {
            if test.ktap == Some(Ktap::Output) {
                return at("ktap", "there is no output without a `command`; KUnit's results are in the \"log\"");
            }
            let keys = [
                ("env", test.env.is_empty()),
                ("rw", test.rw.0.is_empty()),
                ("ro", test.ro.0.is_empty()),
                ("cwd", test.cwd.is_none()),
                ("user", test.user.is_none()),
            ];
            if let Some((key, _)) = keys.into_iter().find(|(_, unset)| !unset) {
                return at(key, "is only for a test with a `command`");
            }
        } else if test.r#await.is_some() {
            return at("await", "a test has either a `command` or an `await`");
        }
        if test.r#await.is_some() {
            let keys = [("status", expect.status.is_some()), ("ends", expect.ends.is_some())];
            if let Some((key, _)) = keys.into_iter().find(|(_, set)| *set) {
                let what = "a test with `await` ends when that is seen: it has no end of its own";
                return Err(self.wrong(&["tests", name, "expect", key], what));
            }
        }
        if expect.status.is_some() && expect.ends.is_some_and(|e| e != Ends::Exited && e != Ends::DebugExit) {
            let what = "goes with `status` only where it is \"exited\" or \"debug-exit\"";
            return Err(self.wrong(&["tests", name, "expect", "ends"], what));
        }
        Ok(())
    }

    fn known(&self, path: &[&str], wanted: Option<&Strings>, there: &[&str]) -> Result<()> {
        let Some(name) = wanted.and_then(|w| w.0.iter().find(|n| !there.contains(&n.as_str()))) else { return Ok(()) };
        let what = if there.is_empty() {
            format!("`{name}` is not in the file")
        } else {
            format!("`{name}` is not in the file; there are: {}", there.join(", "))
        };
        Err(self.wrong(path, &what))
    }
}

fn names<T>(tables: &[(String, T)]) -> Vec<&str> {
    tables.iter().map(|(n, _)| n.as_str()).collect()
}

/// Names become parts of paths, of test names, and columns of a table.
fn is_name(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    name.len() <= 100 && name.chars().all(ok) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
